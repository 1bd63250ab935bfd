/**
 * The replayer: runs the machine to the count of each entry and gives it the same input there. Twin
 * of recorder.ts; serves the shadow and recordings alike.
 *
 * From: decoded entries, in order of position. To: `machine.run` and `machine.apply`. Invariant: the
 * machine never runs beyond the count of the next entry, so it never runs ahead of the log. Where
 * the machine does not get there, or a fingerprint differs, the executions have diverged.
 */
import { assert } from '../base/assert.ts';
import { MalformedBytes } from '../base/bytes.ts';
import type { Input } from '../machine/effects.ts';
import type { Machine } from '../machine/machine.ts';
import type { DiskLedger } from './disk-ledger.ts';
import type { Entry, LogEvent } from './entries.ts';
import { RecentEntries } from './recorder.ts';
import type { Divergence } from './status.ts';

export type Advance =
  /** All that was received has been executed. */
  | { readonly kind: 'waiting' }
  /** The budget is used up. */
  | { readonly kind: 'budget' }
  /** A debugger's trap was met on the way. */
  | { readonly kind: 'trap' }
  /** The next entry is a disk completion that the own replica has not reached. */
  | { readonly kind: 'disk-wait' }
  /** The own replica failed where the primary's did not. */
  | { readonly kind: 'disk-failed'; readonly disk: number }
  | { readonly kind: 'entry'; readonly position: number; readonly event: LogEvent }
  | { readonly kind: 'diverged'; readonly divergence: Divergence };

export class Replayer {
  readonly machine: Machine;
  readonly recent = new RecentEntries();
  readonly #ledger: DiskLedger | undefined;
  #queue: Entry[] = [];
  #head = 0;
  /** The position of the next entry to be executed. */
  #nextPosition: number;
  #lastCount: bigint;
  #diverged: Divergence | undefined;
  /** Fingerprints of the log that this machine has met. */
  fingerprintsCompared = 0;
  /** The last one that was the same. */
  lastFingerprint: { readonly position: number; readonly count: bigint } | undefined;

  /** @param ledger the own replica's requests; a recording has none and carries all data */
  constructor(machine: Machine, nextPosition: number, ledger?: DiskLedger) {
    this.machine = machine;
    this.#nextPosition = nextPosition;
    this.#ledger = ledger;
    this.#lastCount = machine.count;
  }

  get executedPosition(): number {
    return this.#nextPosition - 1;
  }

  get receivedPosition(): number {
    return this.executedPosition + this.#queue.length - this.#head;
  }

  /** The count up to which the log reaches: the frontier. */
  get frontier(): bigint {
    return this.#lastCount;
  }

  get drained(): boolean {
    return this.#head === this.#queue.length;
  }

  /** The count of the next entry, if it has been received. */
  get nextCount(): bigint | undefined {
    return this.#queue[this.#head]?.count;
  }

  /** @param firstPosition must follow the last entry received */
  push(firstPosition: number, entries: readonly Entry[]): void {
    if (firstPosition !== this.receivedPosition + 1) {
      throw new MalformedBytes(`entry ${firstPosition} after ${this.receivedPosition}`);
    }
    for (const entry of entries) {
      if (entry.count < this.#lastCount) {
        throw new MalformedBytes(`count ${entry.count} after ${this.#lastCount}`);
      }
      this.#lastCount = entry.count;
      this.#queue.push(entry);
    }
  }

  /** Executes to the next entry and that entry, or as far as `until` lets it. */
  advance(until: bigint): Advance {
    if (this.#diverged !== undefined) return { kind: 'diverged', divergence: this.#diverged };
    const entry = this.#queue[this.#head];
    if (entry === undefined) return { kind: 'waiting' };
    const { machine } = this;
    if (machine.count < entry.count) {
      if (machine.count >= until) return { kind: 'budget' };
      const goal = entry.count < until ? entry.count : until;
      const stop = machine.run(goal);
      assert(machine.count <= goal, 'a machine ran beyond its limit');
      if (stop === 'trap') return { kind: 'trap' };
      if (machine.count < goal) {
        return this.#diverge(entry, `count ${entry.count}`, `${stop} at count ${machine.count}`);
      }
      if (goal < entry.count) return { kind: 'budget' };
    }
    return this.#execute(entry);
  }

  #execute(entry: Entry): Advance {
    const { event } = entry;
    const impossible = this.#impossible(event);
    if (impossible !== undefined) return this.#diverge(entry, ...impossible);
    if (event.kind === 'fingerprint') {
      const actual = this.machine.fingerprint();
      if (actual !== event.value) {
        return this.#diverge(entry, fingerprintText(event.value), fingerprintText(actual));
      }
      this.fingerprintsCompared += 1;
      this.lastFingerprint = { position: this.#nextPosition, count: entry.count };
    } else if (event.kind === 'disk') {
      const completion = this.#ledger?.completionOf(event.disk, event.request);
      if (event.data === undefined && event.ok) {
        if (completion === undefined) return { kind: 'disk-wait' };
        if (!completion.ok) return { kind: 'disk-failed', disk: event.disk };
      }
      this.#ledger?.applied(event.disk, event.request);
      const data = event.data ?? (event.ok ? completion!.data : new Uint8Array(0));
      this.machine.apply({ ...event, data });
    } else if (event.kind !== 'progress' && event.kind !== 'checkpoint') {
      const input: Input = event;
      this.machine.apply(input);
    }
    const position = this.#nextPosition++;
    this.recent.add(position, entry);
    if (++this.#head > 1024) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return { kind: 'entry', position, event };
  }

  /** What the recorded machine took and this one cannot: they differ already. */
  #impossible(event: LogEvent): [expected: string, actual: string] | undefined {
    const { machine } = this;
    if (event.kind === 'clock' && event.time < machine.time) {
      return [`a clock at ${event.time} or before`, `at ${machine.time}`];
    }
    if (event.kind !== 'disk') return undefined;
    const { disk, request } = event;
    const pending = machine.pendingDiskRequests();
    if (pending.some((one) => one.disk === disk && one.request === request)) return undefined;
    return [`request ${request} pending on disk ${disk}`, `${pending.length} others`];
  }

  #diverge(entry: Entry, expected: string, actual: string): Advance {
    const position = this.#nextPosition;
    const recent = this.recent.text();
    const divergence = { position, count: entry.count, expected, actual, recent };
    this.#diverged = divergence;
    return { kind: 'diverged', divergence };
  }
}

function fingerprintText(value: bigint): string {
  return `fingerprint ${value.toString(16).padStart(16, '0')}`;
}
