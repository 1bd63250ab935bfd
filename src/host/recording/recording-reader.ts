/**
 * A recording as its files hold it: the log by position, snapshots by count; read as it is needed.
 *
 * From: a folder that `RecordingFolder` has written, perhaps torn, perhaps altered. To: replays. Of
 * each file only the header is read at first, so a long recording opens as fast as a short one.
 */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { UmbraError } from '../../base/errors.ts';
import type { VirtMachineMaker } from '../../board/virt.ts';
import type { Beginning } from '../../debug/timeline.ts';
import {
  headerBytesMax,
  readSegment,
  readSegmentHeader,
  type Segment,
  type SegmentHeader,
} from '../../lockstep/recording.ts';
import type { Log, Stretch } from '../../lockstep/recording-replay.ts';
import {
  expectConfiguration,
  readSnapshot,
  readSnapshotHeader,
  restoreSnapshots,
  type Snapshot,
  type SnapshotHeader,
} from '../../lockstep/recording-snapshot.ts';
import type { Ticks } from '../../machine/effects.ts';
import type { RiscvMachine } from '../../machine/riscv-machine.ts';
import { damaged, readPart } from './machine-description.ts';
import { segmentName, segmentNumbers, snapshotName, snapshotNumbers } from './part-names.ts';
import { zstd } from './zstd.ts';

/** Segments that are kept decoded. */
const decodedMax = 3;

/** The last thing that the log says. */
export interface LogEnd {
  readonly position: number;
  readonly count: bigint;
  /** Bytes behind it that were no whole batch. */
  readonly cutBytes: number;
}

export class Recording implements Log {
  readonly folder: string;
  readonly maker: VirtMachineMaker;
  /** In order; without those that are torn within their header. */
  readonly segments: readonly SegmentHeader[];
  /** Those that can be restored, as far as is known, in order. */
  snapshots: readonly SnapshotHeader[];
  readonly #note: (text: string) => void;
  readonly #decoded = new Map<number, Segment>();
  #end: LogEnd | undefined;
  #damagedSnapshot: number | undefined;

  /** @param note told of snapshots that turn out to be damaged, and are passed over */
  constructor(folder: string, maker: VirtMachineMaker, note: (text: string) => void = () => {}) {
    this.#note = note;
    this.folder = folder;
    this.maker = maker;
    const names = readdirSync(folder);
    this.segments = this.#segmentHeaders(segmentNumbers(names));
    expectConfiguration(maker, this.segments[0]!.configuration);
    this.snapshots = this.#snapshotHeaders(snapshotNumbers(names));
  }

  /** Where a replay can begin. */
  get firstCount(): bigint {
    if (this.#beginsAtPowerOn) return 0n;
    const first = this.snapshots[0];
    if (first === undefined) throw damaged(this.folder, 'it begins with no whole snapshot');
    return first.at.count;
  }

  get end(): LogEnd {
    this.#end ??= this.#findEnd();
    return this.#end;
  }

  get #beginsAtPowerOn(): boolean {
    return this.segments[0]!.begins.position <= 1 && this.segments[0]!.begins.count === 0n;
  }

  // --- The log

  stretch(position: number): Stretch | undefined {
    const index = this.segments.findLastIndex(({ begins }) => begins.position <= position);
    const header = this.segments[index];
    if (header === undefined) return undefined;
    const { entries, cutBytes } = this.#segment(header);
    const firstPosition = header.begins.position;
    const last = index === this.segments.length - 1;
    if (position < firstPosition + entries.length) {
      return { firstPosition, entries };
    }
    if (last) return undefined;
    const name = segmentName(header.segment);
    if (cutBytes > 0) {
      throw damaged(this.folder, `${name} is damaged, and the log goes on behind it`);
    }
    throw damaged(this.folder, `entries behind ${name} are missing`);
  }

  #segment(header: SegmentHeader): Segment {
    const known = this.#decoded.get(header.segment);
    if (known !== undefined) return known;
    const segment = readSegment(readPart(this.folder, segmentName(header.segment)), zstd)!;
    this.#decoded.set(header.segment, segment);
    const oldest = this.#decoded.keys().next().value!;
    if (this.#decoded.size > decodedMax) this.#decoded.delete(oldest);
    return segment;
  }

  #findEnd(): LogEnd {
    const header = this.segments.at(-1)!;
    const { entries, cutBytes } = this.#segment(header);
    const { position, count } = header.begins;
    const last = entries.at(-1)?.count ?? count;
    return { position: position + entries.length - 1, count: last, cutBytes };
  }

  // --- Snapshots

  /** The latest at or before this count; undefined: power-on. */
  snapshotBefore(count: bigint): SnapshotHeader | undefined {
    return this.snapshots.findLast(({ at }) => at.count <= count);
  }

  /** The count of `machineBefore`, without making it. */
  countBefore(count: bigint): bigint {
    return this.snapshotBefore(count)?.at.count ?? 0n;
  }

  positionBefore(time: Ticks): number {
    const begins = this.segments.findLast((each) => each.begins.time < time)?.begins;
    return (begins ?? this.segments[0]!.begins).position;
  }

  /** The first machine that there is, and the entry that it needs next. */
  begin(): Beginning {
    return this.machineBefore(this.firstCount);
  }

  /**
   * The nearest machine at or before this count, and the entry that it needs next.
   * @param machine one of this recording that is not needed any more: it becomes that one, faster
   */
  machineBefore(count: bigint, machine?: RiscvMachine): Beginning {
    const snapshot = this.snapshotBefore(count);
    if (snapshot === undefined) return { machine: this.maker.powerOn(), position: 1 };
    const read = (number: number): Snapshot => this.#read(number);
    try {
      const restore = machine?.become() ?? this.maker.restore();
      const restored = restoreSnapshots(restore, snapshot, read) as RiscvMachine;
      return { machine: restored, position: snapshot.at.position };
    } catch (error) {
      if (!(error instanceof UmbraError)) throw error;
      // Without a beginning there is nothing earlier to go back to.
      if (this.#passOver() && count >= this.firstCount) return this.machineBefore(count, machine);
      throw error;
    }
  }

  #read(number: number): Snapshot {
    try {
      return readSnapshot(readPart(this.folder, snapshotName(number)), zstd);
    } catch (error) {
      this.#damagedSnapshot = number;
      throw error;
    }
  }

  /** The damaged snapshot and those that rest on it count no more. @returns false if none is known */
  #passOver(): boolean {
    const number = this.#damagedSnapshot;
    const own = this.snapshots.find((each) => each.number === number);
    if (number === undefined || own === undefined) return false;
    this.#damagedSnapshot = undefined;
    this.snapshots = this.snapshots.filter(
      (each) => each.number < number || each.base !== own.base,
    );
    this.#note(`${snapshotName(number)} is damaged; an earlier one serves, more slowly.`);
    return true;
  }

  // --- Opening

  #segmentHeaders(numbers: readonly number[]): SegmentHeader[] {
    const headers: SegmentHeader[] = [];
    for (const [index, number] of numbers.entries()) {
      const expected = numbers[0]! + index;
      if (number !== expected) throw damaged(this.folder, `${segmentName(expected)} is missing`);
      const header = readSegmentHeader(this.#head(segmentName(number)));
      if (header !== undefined) headers.push(header);
      else if (index < numbers.length - 1) {
        throw damaged(this.folder, `${segmentName(number)} is damaged, and the log goes on`);
      }
    }
    if (headers.length === 0) throw damaged(this.folder, 'it has no log');
    return headers;
  }

  /** A snapshot whose predecessors are missing or damaged is of no use: an earlier one serves. */
  #snapshotHeaders(numbers: readonly number[]): SnapshotHeader[] {
    const usable = new Map<number, SnapshotHeader>();
    for (const number of numbers) {
      let header: SnapshotHeader;
      try {
        header = readSnapshotHeader(this.#head(snapshotName(number)));
      } catch {
        continue;
      }
      const rests = header.base === number || usable.get(number - 1)?.base === header.base;
      if (header.number === number && rests) usable.set(number, header);
    }
    return [...usable.values()];
  }

  #head(name: string): Uint8Array {
    const bytes = new Uint8Array(headerBytesMax);
    try {
      const file = openSync(join(this.folder, name), 'r');
      try {
        return bytes.subarray(0, readSync(file, bytes));
      } finally {
        closeSync(file);
      }
    } catch (error) {
      throw damaged(this.folder, `${name} cannot be read`, error);
    }
  }
}
