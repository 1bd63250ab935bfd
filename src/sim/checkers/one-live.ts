/**
 * At most one copy is live per generation; a copy that has been succeeded says nothing beyond what
 * its successor had received; and one that has been replaced by its lease says nothing at all.
 */
import type { Output } from '../../machine/effects.ts';
import type { Cluster } from '../cluster.ts';
import type { Process } from '../process.ts';
import { Checker } from './checker.ts';

interface Succession {
  readonly rank: number;
  readonly process: Process;
  readonly life: number;
  readonly count: bigint;
}

export class OneLive extends Checker {
  readonly #liveOf = new Map<string, Process>();
  #successions: Succession[] = [];
  #restart: Pick<Succession, 'rank' | 'process'> | undefined;

  override wentLive(cluster: Cluster, process: Process): void {
    const { epoch, generation } = cluster.entry.record;
    const count = process.copy.shadow?.machine?.count ?? 0n;
    const rank = epoch * 1e6 + generation;
    this.#successions.push({ rank, process, life: process.life, count });
  }

  override restarted(cluster: Cluster, process: Process): void {
    const { epoch, generation } = cluster.entry.record;
    this.#restart = { rank: epoch * 1e6 + generation, process };
  }

  override released(cluster: Cluster, from: Process, output: Output): void {
    const { epoch, generation } = from.copy.status() ?? cluster.entry.record;
    const key = `${epoch}.${generation}`;
    const live = this.#liveOf.get(key);
    this.#liveOf.set(key, live ?? from);
    if (live !== undefined && live !== from) {
      cluster.violation('one-live', `${live.name} and ${from.name} at generation ${key}`);
    }
    const rank = epoch * 1e6 + generation;
    if (this.#restart !== undefined && rank < this.#restart.rank) {
      const text = `${from.name} says something after ${this.#restart.process.name} was started`;
      cluster.violation('one-live', text);
    }
    const after = this.#successions.find(
      (one) => one.life === from.life && one.process !== from && one.rank > rank,
    );
    if (after !== undefined && output.count > after.count) {
      const text = `${from.name} says something of count ${output.count}, but ${after.process.name}`;
      cluster.violation('one-live', `${text} took over at count ${after.count}`);
    }
  }
}
