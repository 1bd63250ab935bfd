/** A recorded run in memory: a guest in turmoil, its log, and a series of snapshots on the way. */
import type { RecordedRun } from '../../src/debug/timeline.ts';
import type { Entry } from '../../src/lockstep/entries.ts';
import type { EngineMaker } from '../../src/machine/engine.ts';
import type { RiscvMachine } from '../../src/machine/riscv-machine.ts';
import { type Event, type Guest, guestMaker } from './machines.ts';

interface Kept {
  readonly count: bigint;
  readonly position: number;
  /** The state, then RAM: whole in the first, what has changed in the others. */
  readonly chunks: readonly Uint8Array[];
}

export class RunInMemory implements RecordedRun {
  readonly entries: Entry[] = [];
  readonly firstCount = 0n;
  readonly #guest: Guest;
  readonly #engine: EngineMaker;
  readonly #kept: Kept[] = [];

  /**
   * @param engine what replays it
   * @param snapshotEvery events between two snapshots; 0: none
   */
  constructor(guest: Guest, events: readonly Event[], engine: EngineMaker, snapshotEvery: number) {
    this.#guest = guest;
    this.#engine = engine;
    const machine = guestMaker(guest).powerOn();
    const series = machine.checkpointSeries();
    for (const [index, { count, input }] of events.entries()) {
      const stop = machine.run(count);
      machine.takeOutputs();
      if (stop === 'off') break;
      const note = (event: Entry['event']): void => {
        this.entries.push({ count: machine.count, event });
      };
      if (input) {
        const made = input(machine);
        note(made);
        machine.apply(made);
        machine.takeOutputs();
      }
      if (index % 5 === 0) note({ kind: 'fingerprint', value: machine.fingerprint() });
      if (snapshotEvery === 0 || index % snapshotEvery !== 0) continue;
      const checkpoint = series.next(this.#kept.length === 0);
      const chunks: Uint8Array[] = [];
      for (let chunk = checkpoint.next(60_000); chunk; chunk = checkpoint.next(60_000)) {
        chunks.push(chunk);
      }
      this.#kept.push({ count: machine.count, position: this.entries.length + 1, chunks });
    }
    machine.run(machine.count + 10_000n);
    this.entries.push({ count: machine.count, event: { kind: 'progress' } });
    series.end();
  }

  get end() {
    return { position: this.entries.length, count: this.entries.at(-1)!.count };
  }

  /** A hundred entries at a time. */
  stretch(position: number) {
    if (position > this.entries.length) return undefined;
    const firstPosition = Math.floor((position - 1) / 100) * 100 + 1;
    const entries = this.entries.slice(firstPosition - 1, firstPosition + 99);
    return { firstPosition, entries };
  }

  positionBefore(): number {
    return 1;
  }

  countBefore(count: bigint): bigint {
    return this.#before(count)?.count ?? 0n;
  }

  machineBefore(count: bigint, machine?: RiscvMachine) {
    const maker = guestMaker(this.#guest, this.#engine);
    const last = this.#kept.findLastIndex((each) => each.count <= count);
    if (last < 0) return { machine: maker.powerOn(), position: 1 };
    const restore = machine?.become() ?? maker.restore();
    for (let index = last; index >= 0; index--) {
      const { chunks } = this.#kept[index]!;
      for (const chunk of chunks.slice(index === last ? 0 : 1)) restore.add(chunk);
    }
    const { position } = this.#kept[last]!;
    return { machine: restore.finish() as RiscvMachine, position };
  }

  #before(count: bigint): Kept | undefined {
    return this.#kept.findLast((each) => each.count <= count);
  }
}
