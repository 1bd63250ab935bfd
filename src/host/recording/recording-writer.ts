/**
 * Writes a recording while its VM runs: the log at once, a snapshot now and then, and removes what a
 * limit leaves no room for.
 *
 * From: the primary's batches, and a call behind each of its steps. To: the files of a folder. A
 * snapshot is due when replaying from the last one would take longer than the bound: what counts is
 * the time that the machine has worked, not the time that has passed. The VM stands still for the
 * moment alone; copying happens between slices, packing and writing (log-file.ts, snapshot-file.ts)
 * on other threads.
 *
 * Invariant: whatever fails here costs the VM nothing. A log that cannot be written ends the
 * recording at its last whole batch; a snapshot that cannot is left out.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { UmbraError } from '../../base/errors.ts';
import type { Primary } from '../../lockstep/primary.ts';
import { type Moment, RecordingWriter } from '../../lockstep/recording.ts';
import type { CheckpointSeries, Machine } from '../../machine/machine.ts';
import { nowUs } from '../clock.ts';
import { LogFile } from './log-file.ts';
import { unwritable } from './machine-description.ts';
import { segmentName, snapshotName } from './part-names.ts';
import { SnapshotFile } from './snapshot-file.ts';

export interface RecordingOptions {
  readonly folder: string;
  readonly configuration: Uint8Array;
  readonly machine: Machine;
  /** The first entry; without it that of a power-on, from where a replay needs no snapshot. */
  readonly position?: number;
  /** Who is live by the arbiter's word; a machine alone is in no generation. */
  readonly generation?: { readonly epoch: number; readonly generation: number };
  /** Told once, when the recording has ended before its VM. */
  readonly failed: (error: UmbraError) => void;
  /** Told of the moment of a snapshot, between two steps, before anything else happens. */
  readonly moment?: (snapshot: number) => void;
  /** Told of anything short of that. */
  readonly note?: (text: string) => void;
  /** How long a replay may take from a snapshot to any point before the next. */
  readonly snapshotMicros?: number;
  /** What the files may take together, about; the oldest goes first. */
  readonly bytesMax?: number | undefined;
  /** How much of the guest's time is enough, about; what is older goes. */
  readonly secondsMax?: number | undefined;
}

export interface RecordingStatus {
  /** Of the guest's time that can be replayed. */
  readonly guestSeconds: number;
  readonly logBytes: number;
  readonly snapshotBytes: number;
  readonly snapshots: number;
  readonly seconds: number;
  /** Of all files, over the whole time. */
  readonly bytesPerSecond: number;
}

interface Part {
  readonly number: number;
  readonly begins: Moment;
  bytes: number;
}

interface SnapshotPart extends Part {
  readonly base: number;
}

const defaultSnapshotMicros = 1_000_000;
/** A ring that is kept by time goes on by so many whole snapshots. */
const wholesPerRing = 4;
const ticksPerSecond = 10_000_000;

export class RecordingFolder {
  readonly #options: RecordingOptions;
  readonly #writer: RecordingWriter;
  readonly #series: CheckpointSeries;
  readonly #startedAt = nowUs();
  readonly #log: LogFile;
  #failure: UmbraError | undefined;
  #overAt: number | undefined;
  /** The machine where the last batch ended. */
  #ended: Moment;
  #segments: Part[] = [];
  #snapshots: SnapshotPart[] = [];
  #nextSnapshot = 0;
  #wholeWanted = true;
  #workedMicros = 0;
  /** When a ring that is kept by time has to go on by a whole one, on the guest's clock. */
  #wholeDueAt: bigint | undefined;
  /** Snapshots in a row that could not be written. */
  #failures = 0;
  #making: Promise<void> | undefined;
  #removedBytes = 0;

  constructor(options: RecordingOptions) {
    const { configuration, folder, machine, position = 1 } = options;
    const { epoch, generation } = options.generation ?? { epoch: 0, generation: 0 };
    this.#options = options;
    this.#writer = new RecordingWriter({ configuration, epoch, generation });
    this.#log = new LogFile({
      folder,
      wrote: (segment, bytes) => this.#wrote(segment, bytes),
      failed: (error) => this.#fail(error),
    });
    this.#series = machine.checkpointSeries();
    this.#ended = { position, count: machine.count, time: machine.time };
  }

  get #over(): boolean {
    return this.#overAt !== undefined;
  }

  get status(): RecordingStatus {
    const sum = (parts: readonly Part[]): number =>
      parts.reduce((all, { bytes }) => all + bytes, 0);
    const [logBytes, snapshotBytes] = [sum(this.#segments), sum(this.#snapshots)];
    const seconds = ((this.#overAt ?? nowUs()) - this.#startedAt) / 1e6;
    const written = logBytes + snapshotBytes + this.#removedBytes;
    const bytesPerSecond = seconds > 0 ? written / seconds : 0;
    const begins = this.#segments[0]?.begins.time ?? this.#ended.time;
    const guestSeconds = Number(this.#ended.time - begins) / ticksPerSecond;
    const sizes = { logBytes, snapshotBytes, guestSeconds };
    return { ...sizes, snapshots: this.#snapshots.length, seconds, bytesPerSecond };
  }

  // --- The log

  batch(firstPosition: number, entries: Uint8Array): void {
    if (this.#over) return;
    const begins = { ...this.#ended, position: firstPosition };
    const written = this.#writer.batch(begins, entries);
    if (written.begins) this.#segments.push({ number: written.segment, begins, bytes: 0 });
    const { count, time } = this.#options.machine;
    this.#ended = { position: firstPosition, count, time };
    this.#log.add(written);
  }

  #wrote(number: number, bytes: number): void {
    const segment = this.#segments.find((each) => each.number === number);
    if (segment !== undefined) segment.bytes += bytes;
  }

  /** What is whole stays; the VM goes on. */
  #fail(error: unknown): void {
    this.#failure = unwritable(this.#options.folder, error);
    this.#end();
    this.#options.failed(this.#failure);
  }

  // --- Snapshots

  /**
   * Takes the snapshot with which a recording begins that does not begin at power-on. The log comes
   * by `batch` before and after.
   * @returns microseconds for which the machine stood still; undefined: there is no snapshot
   */
  async begin(primary: Primary): Promise<number | undefined> {
    const began = nowUs();
    // Copying hashes what a first fingerprint would otherwise have to hash at once.
    primary.isCopied = true;
    const made = this.#makeSnapshot(primary);
    const pauseMicros = nowUs() - began;
    this.#making = made.finally(() => {
      this.#making = undefined;
      primary.isCopied = false;
    });
    await this.#making;
    await this.#log.settled();
    return this.#snapshots.length > 0 && !this.#over ? pauseMicros : undefined;
  }

  /** Behind a step of the primary that took so long. */
  stepped(primary: Primary, micros: number): void {
    if (this.#over) return;
    this.#workedMicros += micros;
    // Where there is no room it is tried ever more rarely.
    const bound = (this.#options.snapshotMicros ?? defaultSnapshotMicros) * 2 ** this.#failures;
    if (this.#making !== undefined) return;
    if (this.#workedMicros < bound && !this.#isOverdue()) return;
    if (primary.ended !== undefined) return;
    this.#workedMicros = 0;
    this.#making = this.#makeSnapshot(primary).finally(() => {
      this.#making = undefined;
    });
  }

  /** What a guest that hardly works has behind it goes, too, when it is older than is wanted. */
  #isOverdue(): boolean {
    const due = this.#wholeDueAt;
    return due !== undefined && this.#failures === 0 && this.#options.machine.time >= due;
  }

  /** Resolves when it is whole, or given up. */
  async #makeSnapshot(primary: Primary): Promise<void> {
    const { folder, configuration, machine } = this.#options;
    const whole = this.#wholeDue();
    if (whole) this.#writer.cut();
    const position = primary.mark(nowUs()) + 1;
    if (this.#over) return;
    const at: Moment = { position, count: machine.count, time: machine.time };
    const checkpoint = this.#series.next(whole);
    const number = this.#nextSnapshot++;
    this.#options.moment?.(number);
    const base = whole ? number : this.#snapshots.at(-1)!.base;
    this.#wholeWanted = false;
    const file = new SnapshotFile(join(folder, snapshotName(number)));
    try {
      const header = { configuration, number, base, at };
      const bytes = await file.write(header, checkpoint, () => this.#over);
      if (bytes === undefined) return;
      this.#snapshots.push({ number, base, begins: at, bytes });
      this.#failures = 0;
      const { secondsMax } = this.#options;
      if (whole && secondsMax !== undefined) {
        const ticks = Math.round((secondsMax * ticksPerSecond) / wholesPerRing);
        this.#wholeDueAt = at.time + BigInt(ticks);
      }
      // No part of the log is removed that is still on its way.
      await this.#log.settled();
      this.#retire();
    } catch (error) {
      // What changed meanwhile is not known of any more, and its number stays without a file.
      this.#wholeWanted = true;
      this.#failures++;
      if (this.#failures > 1) return;
      const { message } = unwritable(folder, error);
      this.#options.note?.(`Snapshots are left out of the recording. ${message}`);
    }
  }

  /** Together, what a restore reads is at most twice a whole one. */
  #wholeDue(): boolean {
    if (this.#wholeWanted) return true;
    const { base } = this.#snapshots.at(-1)!;
    if (this.#age(this.#snapshots.find(({ number }) => number === base)!) >= 1 / wholesPerRing) {
      return true;
    }
    const chain = this.#snapshots.filter((each) => each.base === base);
    const sum = chain.reduce((all, { bytes }) => all + bytes, 0);
    const { bytesMax } = this.#options;
    if (bytesMax !== undefined && this.#sinceLastWhole() > bytesMax / 2) return true;
    return sum > 2 * chain[0]!.bytes;
  }

  /** As a share of the time that is wanted; 0 where all of it is. */
  #age({ begins }: Part): number {
    const { secondsMax, machine } = this.#options;
    if (secondsMax === undefined) return 0;
    return Number(machine.time - begins.time) / ticksPerSecond / secondsMax;
  }

  #sinceLastWhole(): number {
    const { base } = this.#snapshots.at(-1)!;
    const from = this.#snapshots.find(({ number }) => number === base)!.begins.position;
    const later = [...this.#segments, ...this.#snapshots].filter(
      ({ begins }) => begins.position >= from,
    );
    return later.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  // --- Retention

  /** Removes whatever comes before a whole snapshot, as long as another such one is left. */
  #retire(): void {
    const { bytesMax = Number.POSITIVE_INFINITY } = this.#options;
    for (;;) {
      const { logBytes, snapshotBytes } = this.status;
      const wholes = this.#snapshots.filter(({ base, number }) => base === number);
      const oldestLeft = this.#segments[0]!.begins.position <= 1 ? wholes[0] : wholes[1];
      if (oldestLeft === undefined) return;
      const isTooMuch = logBytes + snapshotBytes > bytesMax;
      // From there on it is still as long as is wanted.
      if (!isTooMuch && this.#age(oldestLeft) < 1) return;
      if (!this.#removeBefore(oldestLeft)) return;
    }
  }

  /** @returns whether anything was removed */
  #removeBefore(snapshot: SnapshotPart): boolean {
    const { folder } = this.#options;
    const { position } = snapshot.begins;
    const next = (index: number): number =>
      this.#segments[index + 1]?.begins.position ?? Number.POSITIVE_INFINITY;
    const segments = this.#segments.filter((_, index) => next(index) <= position);
    const snapshots = this.#snapshots.filter(({ number }) => number < snapshot.number);
    // Snapshots first, then the oldest log: what is left at any moment is a recording.
    for (const { number, bytes } of snapshots) {
      rmSync(join(folder, snapshotName(number)), { force: true });
      this.#removedBytes += bytes;
    }
    for (const { number, bytes } of segments) {
      rmSync(join(folder, segmentName(number)), { force: true });
      this.#removedBytes += bytes;
    }
    this.#segments = this.#segments.filter((each) => !segments.includes(each));
    this.#snapshots = this.#snapshots.filter((each) => !snapshots.includes(each));
    return segments.length + snapshots.length > 0;
  }

  // --- The end

  /**
   * Resolves when every file is whole.
   * @returns why it has ended before, or why its end is missing
   */
  async close(): Promise<UmbraError | undefined> {
    this.#end();
    await this.#log.close();
    await this.#making;
    return this.#failure;
  }

  #end(): void {
    this.#overAt ??= nowUs();
    this.#series.end();
  }
}
