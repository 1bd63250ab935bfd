/**
 * The recorder: writes an input down, then gives it to the machine. Twin of replayer.ts.
 *
 * From: the primary's queue of inputs. To: batches of entries, for the link and for recordings. The
 * primary is the first replayer of its own log: `input` ends in the same `machine.apply` with which
 * the shadow ends. While nobody listens, positions are counted and nothing is encoded.
 */
import { assert } from '../base/assert.ts';
import { ByteWriter } from '../base/bytes.ts';
import type { Input } from '../machine/effects.ts';
import type { Machine } from '../machine/machine.ts';
import { type Entry, encodeEntry, entryText, type LogEvent } from './entries.ts';
import { batchHeadroomBytes } from './messages.ts';

export interface Batch {
  readonly firstPosition: number;
  readonly lastPosition: number;
  /** Behind `batchHeadroomBytes` that are free for a message. */
  readonly entries: Uint8Array;
}

/** The last entries, for the report of a divergence. */
export class RecentEntries {
  readonly #max: number;
  #entries: { position: number; entry: Entry }[] = [];

  constructor(max = 16) {
    this.#max = max;
  }

  add(position: number, entry: Entry): void {
    this.#entries.push({ position, entry });
    if (this.#entries.length >= 2 * this.#max) this.#entries = this.#entries.slice(-this.#max);
  }

  text(): string[] {
    return this.#entries.slice(-this.#max).map(({ position, entry }) => entryText(position, entry));
  }
}

/** Entries of one batch beyond which their memory is not kept for the next. */
const keptBytesMax = 1 << 18;

export class Recorder {
  readonly #machine: Machine;
  readonly recent = new RecentEntries();
  /** Somebody wants the log: a shadow or a recording. */
  listening = false;
  #nextPosition: number;
  /** Kept from batch to batch, since memory that is given up for each keeps the host collecting. */
  #writer = new ByteWriter(4096);
  #firstPosition: number;
  #previousCount = 0n;
  #pending = 0;
  /** The count of the last entry: the shadow may execute up to there. */
  #frontier = -1n;

  constructor(machine: Machine, nextPosition: number) {
    this.#machine = machine;
    this.#nextPosition = nextPosition;
    this.#firstPosition = nextPosition;
  }

  get nextPosition(): number {
    return this.#nextPosition;
  }

  /** Bytes of entries not yet taken. */
  get pendingBytes(): number {
    return this.#writer.length;
  }

  /** Whether a progress entry would tell the shadow anything new. */
  get behind(): boolean {
    return this.#pending > 0 || this.#machine.count > this.#frontier;
  }

  /** @param withData whether a disk completion carries its data (see `DiskEvent`) */
  input(input: Input, withData: boolean): void {
    const event: LogEvent =
      input.kind === 'disk' ? { ...input, data: withData ? input.data : undefined } : input;
    this.note(event);
    this.#machine.apply(input);
  }

  /** Writes down an event that is no input. @returns its position */
  note(event: LogEvent): number {
    const position = this.#nextPosition++;
    const entry = { count: this.#machine.count, event };
    this.recent.add(position, entry);
    this.#frontier = entry.count;
    if (!this.listening) return position;
    if (this.#pending === 0) this.#firstPosition = position;
    encodeEntry(this.#writer, entry, this.#pending === 0 ? 0n : this.#previousCount);
    this.#previousCount = entry.count;
    this.#pending++;
    return position;
  }

  /** What has been written since the last call. */
  take(): Batch | undefined {
    if (this.#pending === 0) return undefined;
    const firstPosition = this.#firstPosition;
    const lastPosition = this.#nextPosition - 1;
    assert(lastPosition - firstPosition + 1 === this.#pending, 'a batch with a hole');
    const entries = this.#writer.finish(batchHeadroomBytes);
    if (entries.length > keptBytesMax) this.#writer = new ByteWriter(4096);
    else this.#writer.clear();
    this.#pending = 0;
    return { firstPosition, lastPosition, entries };
  }
}
