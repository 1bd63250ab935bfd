/**
 * The world sees the history of one uninterrupted machine: every answer and every console byte that
 * is said twice is said the same, and no answer tells of lost work or of a stale disk.
 */
import type { Output } from '../../machine/effects.ts';
import type { Cluster } from '../cluster.ts';
import type { Process } from '../process.ts';
import { decodeAnswer } from '../toy-machine.ts';
import { Checker } from './checker.ts';

export class OneHistory extends Checker {
  readonly #answers = new Map<string, bigint>();
  readonly #consoles = new Map<number, number[]>();

  override released(cluster: Cluster, from: Process, output: Output): void {
    if (output.kind === 'frame') this.#answer(cluster, from, output.frame);
    else if (output.kind === 'console') {
      this.#console(cluster, from, Number(output.offset), output.bytes);
    }
  }

  #answer(cluster: Cluster, from: Process, frame: Uint8Array): void {
    const { client, sequence, verdict, history } = decodeAnswer(frame);
    const key = `${client}:${sequence}`;
    if (verdict !== 'done') {
      cluster.violation('one-history', `${from.name} answers ${key} with ${verdict}`);
      return;
    }
    const before = this.#answers.get(key);
    this.#answers.set(key, history);
    if (before !== undefined && before !== history) {
      cluster.violation('one-history', `${from.name} answers ${key} in two ways`);
    }
  }

  #console(cluster: Cluster, from: Process, offset: number, bytes: Uint8Array): void {
    const seen = this.#consoles.get(from.life) ?? [];
    this.#consoles.set(from.life, seen);
    if (offset > seen.length) {
      cluster.violation('one-history', `${from.name}: console bytes are missing at ${seen.length}`);
    }
    for (const [at, byte] of bytes.entries()) {
      const before = seen[offset + at];
      if (before !== undefined && before !== byte) {
        cluster.violation('one-history', `${from.name}: console byte ${offset + at} differs`);
        return;
      }
      seen[offset + at] = byte;
    }
  }
}
