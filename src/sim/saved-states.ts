/**
 * What a host does about saved states: saves a machine that stands still for a suspend, and continues
 * from it. Twin, in the simulator, of host/vm/saved-state.ts and host/vm/suspending.ts.
 *
 * Saving takes a while, in which processes, hosts and the arbiter may fail. A state is whole or not
 * there; it is durable before the arbiter is told, and gone before its machine runs again.
 */
import { HostClock } from '../lockstep/clock.ts';
import type { MachineMaker } from '../machine/machine.ts';
import type { Cluster, SimHost } from './cluster.ts';
import type { Process } from './process.ts';

export interface SavedState {
  readonly id: string;
  readonly life: number;
  readonly chunks: readonly Uint8Array[];
  readonly ticks: bigint;
  /** Simulated time at which the machine stood still. */
  readonly at: number;
}

export class Suspending {
  readonly #cluster: Cluster;
  #names = 0;
  #saving: Process | undefined;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** After each step: whether the machine stands still and waits to be saved. */
  look(process: Process): void {
    const { primary } = process.copy;
    if (primary?.protection.quiet !== true || this.#saving === process) return;
    const { scheduler } = this.#cluster;
    this.#saving = process;
    const id = `s${this.#names++}`;
    scheduler.trace(`${process.name} is being saved as ${id}`);
    this.#cluster.onTransition();
    const checkpoint = primary.machine.checkpoint();
    const chunks: Uint8Array[] = [];
    for (let chunk = checkpoint.next(4096); chunk; chunk = checkpoint.next(4096)) {
      chunks.push(chunk);
    }
    const at = scheduler.now;
    const { life } = process;
    const state = { id, life, chunks, ticks: primary.hostTicks(at), at };
    scheduler.after(scheduler.random.between(1_000, 200_000), () => this.#saved(process, state));
  }

  #saved(process: Process, state: SavedState): void {
    const host = this.#cluster.host(process.host);
    if (!process.alive || !host.up) return;
    const { scheduler } = this.#cluster;
    const full = scheduler.random.chance(0.2);
    process.deliver(() => {
      // One that was paused has been saving until now: it saves and steps on one thread.
      if (this.#saving === process) this.#saving = undefined;
      const protection = process.copy.primary?.protection;
      if (full) return protection?.cancelSuspend('the disk is full');
      for (const disk of host.disks) disk.sync();
      host.saved = state;
      scheduler.trace(`${process.name} has been saved as ${state.id}`);
      this.#cluster.onTransition();
      return protection?.saved(state.id);
    });
  }
}

/** The machine that a state describes, and the clock by which it goes on. */
export function continued(maker: MachineMaker, state: SavedState, now: number) {
  const restore = maker.restore();
  for (const chunk of state.chunks) restore.add(chunk);
  const clock = new HostClock(state.ticks + BigInt(Math.floor((now - state.at) * 10)), now);
  return { machine: restore.finish(), clock };
}

/** A state that the arbiter's record does not name belongs to a past that did not come. */
export function forgetStale(host: SimHost, named: string | undefined): void {
  if (host.saved?.id !== named) host.saved = undefined;
}
