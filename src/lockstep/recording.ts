/**
 * A recording: the log of one run as bytes, in segments, so that it can be replayed anywhere.
 *
 * From: the primary's batches. To: files, which the host writes; and back from them to entries. Pure
 * bytes here. Form of a segment:
 *
 *   header   'UMBRALOG', u16 format, u32 length, u32 CRC, and of that length: configuration, epoch,
 *            generation, number of the segment, first position
 *   block*   u32 length, u32 CRC of the body, body = first position, entries (entries.ts)
 *
 * A block that is not whole ends its segment: a torn tail is cut there, never guessed at. Whatever
 * is missing in the middle shows as a hole between positions and is an error. A snapshot is a file
 * of the same blocks, behind a header of its own.
 */
import { ByteReader, ByteWriter, MalformedBytes } from '../base/bytes.ts';
import { crc32 } from '../base/crc32.ts';
import { UmbraError } from '../base/errors.ts';
import type { Checkpoint, Machine, MachineMaker } from '../machine/machine.ts';
import { decodeEntries, type Entry } from './entries.ts';
import { Replayer } from './replayer.ts';
import type { Divergence } from './status.ts';

export const recordingFormat = 1;
const logMagic = new TextEncoder().encode('UMBRALOG');
const snapshotMagic = new TextEncoder().encode('UMBRASNP');

export interface RecordingHeader {
  readonly configuration: Uint8Array;
  readonly epoch: number;
  readonly generation: number;
  /** Segments of a recording are numbered from 0. */
  readonly segment: number;
  readonly firstPosition: number;
}

export interface Segment {
  readonly header: RecordingHeader;
  readonly entries: readonly Entry[];
  /** Bytes at the end that were no whole block. */
  readonly cutBytes: number;
}

// --- writing -------------------------------------------------------------------------------

/** What to append, and whether it begins a new file. */
export interface Written {
  readonly segment: number;
  readonly begins: boolean;
  readonly bytes: Uint8Array;
}

export class RecordingWriter {
  readonly #header: Omit<RecordingHeader, 'segment' | 'firstPosition'>;
  readonly #segmentBytesMax: number;
  #segment = -1;
  #bytes = 0;

  constructor(
    header: Omit<RecordingHeader, 'segment' | 'firstPosition'>,
    segmentBytesMax = 16 * 1024 * 1024,
  ) {
    this.#header = header;
    this.#segmentBytesMax = segmentBytesMax;
  }

  batch(firstPosition: number, entries: Uint8Array): Written {
    const body = new ByteWriter(entries.length + 8).varint(firstPosition).raw(entries).finish();
    const begins = this.#segment < 0 || this.#bytes >= this.#segmentBytesMax;
    const writer = new ByteWriter(body.length + 256);
    if (begins) {
      this.#segment++;
      this.#bytes = 0;
      writer.raw(encodeHeader({ ...this.#header, segment: this.#segment, firstPosition }));
    }
    writeBlock(writer, body);
    this.#bytes += writer.length;
    return { segment: this.#segment, begins, bytes: writer.finish() };
  }
}

function encodeHeader(header: RecordingHeader): Uint8Array {
  const body = new ByteWriter(128).bytes(header.configuration);
  body.varint(header.epoch).varint(header.generation);
  body.varint(header.segment).varint(header.firstPosition);
  const writer = new ByteWriter(128).raw(logMagic).u16(recordingFormat);
  writeBlock(writer, body.finish());
  return writer.finish();
}

function writeBlock(writer: ByteWriter, body: Uint8Array): void {
  writer.u32(body.length).u32(crc32(body)).raw(body);
}

// --- reading -------------------------------------------------------------------------------

/**
 * Throws an `UmbraError` for what is no segment at all, or of another format.
 * @returns undefined for a file that was torn within its header: it holds nothing
 */
export function readSegment(bytes: Uint8Array): Segment | undefined {
  const reader = new ByteReader(bytes);
  const header = readHeader(reader);
  if (header === undefined) return undefined;
  const entries: Entry[] = [];
  let next = header.firstPosition;
  const cutBytes = readBlocks(reader, (body) => {
    const block = new ByteReader(body);
    const first = block.varint();
    if (first !== next) throw hole(next, first);
    const decoded = decodeEntries(block.raw(block.remaining));
    next += decoded.length;
    for (const entry of decoded) entries.push(entry);
  });
  return { header, entries, cutBytes };
}

function readHeader(reader: ByteReader): RecordingHeader | undefined {
  try {
    const magic = reader.raw(Math.min(reader.remaining, logMagic.length));
    if (magic.some((byte, at) => byte !== logMagic[at])) throw new MalformedBytes('no log');
    if (reader.remaining < 2) return undefined;
    const format = reader.u16();
    if (format !== recordingFormat) throw unknownFormat(format);
    if (reader.remaining < 8) return undefined;
    const length = reader.u32();
    const crc = reader.u32();
    if (length > reader.remaining) return undefined;
    const bytes = reader.raw(length);
    if (crc32(bytes) !== crc) throw new MalformedBytes('the header is damaged');
    const body = new ByteReader(bytes);
    const configuration = body.bytes();
    const [epoch, generation] = [body.varint(), body.varint()];
    const [segment, firstPosition] = [body.varint(), body.varint()];
    body.end();
    return { configuration, epoch, generation, segment, firstPosition };
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error;
    throw noRecording(error);
  }
}

/** @returns bytes at the end that are no whole block */
function readBlocks(reader: ByteReader, take: (body: Uint8Array) => void): number {
  for (;;) {
    const left = reader.remaining;
    if (left < 8) return left;
    const length = reader.u32();
    const crc = reader.u32();
    if (length > reader.remaining) return left;
    const body = reader.raw(length);
    if (crc32(body) !== crc) return left;
    try {
      take(body);
    } catch (error) {
      if (error instanceof MalformedBytes) throw noRecording(error);
      throw error;
    }
  }
}

// --- snapshots -----------------------------------------------------------------------------

export interface Snapshot {
  readonly configuration: Uint8Array;
  /** The log goes on at `position + 1`. */
  readonly position: number;
  readonly chunks: readonly Uint8Array[];
}

/** A file of the checkpoint's chunks; an empty block says that it is complete. */
export function* writeSnapshot(
  configuration: Uint8Array,
  position: number,
  checkpoint: Checkpoint,
): Generator<Uint8Array> {
  const header = new ByteWriter(64).raw(snapshotMagic).u16(recordingFormat);
  yield header.bytes(configuration).varint(position).finish();
  for (;;) {
    const chunk = checkpoint.next(1024 * 1024);
    if (chunk?.length === 0) continue;
    const block = new ByteWriter((chunk?.length ?? 0) + 8);
    writeBlock(block, chunk ?? new Uint8Array(0));
    yield block.finish();
    if (chunk === undefined) return;
  }
}

/** Twin of `writeSnapshot`. An incomplete snapshot is an `UmbraError`. */
export function readSnapshot(bytes: Uint8Array): Snapshot {
  const reader = new ByteReader(bytes);
  const chunks: Uint8Array[] = [];
  let complete = false;
  try {
    const magic = reader.raw(snapshotMagic.length);
    if (magic.some((byte, at) => byte !== snapshotMagic[at]))
      throw new MalformedBytes('no snapshot');
    const format = reader.u16();
    if (format !== recordingFormat) throw unknownFormat(format);
    const configuration = reader.bytes();
    const position = reader.varint();
    const cut = readBlocks(reader, (chunk) => {
      if (complete) throw new MalformedBytes('chunks after the last');
      if (chunk.length === 0) complete = true;
      else chunks.push(chunk);
    });
    if (!complete || cut > 0) throw new MalformedBytes('the snapshot is not complete');
    return { configuration, position, chunks };
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error;
    throw noRecording(error);
  }
}

export function restoreSnapshot(maker: MachineMaker, snapshot: Snapshot): Machine {
  expectConfiguration(maker, snapshot.configuration);
  const restore = maker.restore();
  for (const chunk of snapshot.chunks) restore.add(chunk);
  return restore.finish();
}

// --- replaying -----------------------------------------------------------------------------

export type ReplayEnd =
  | { readonly kind: 'end' | 'until'; readonly position: number; readonly count: bigint }
  | { readonly kind: 'diverged'; readonly divergence: Divergence };

/**
 * Replays segments, in order, on a machine at power-on or restored from a snapshot. The caller takes
 * the outputs between two steps, and runs as fast or slowly as it likes.
 */
export class RecordingReplay {
  readonly machine: Machine;
  readonly #maker: MachineMaker;
  readonly #replayer: Replayer;
  #next: number;

  /** @param position the machine has executed everything up to here; 0 at power-on */
  constructor(maker: MachineMaker, machine: Machine, position: number) {
    this.machine = machine;
    this.#maker = maker;
    this.#replayer = new Replayer(machine, position + 1);
    this.#next = position + 1;
  }

  get position(): number {
    return this.#replayer.executedPosition;
  }

  get fingerprintsCompared(): number {
    return this.#replayer.fingerprintsCompared;
  }

  /** Segments that end before the machine's position are passed over. */
  add(segment: Segment): void {
    expectConfiguration(this.#maker, segment.header.configuration);
    const { firstPosition } = segment.header;
    if (firstPosition > this.#next) throw hole(this.#next, firstPosition);
    const entries = segment.entries.slice(this.#next - firstPosition);
    this.#replayer.push(this.#next, entries);
    this.#next += entries.length;
  }

  /** Executes up to `until` or some entries; undefined means that there is more. */
  step(until: bigint, entriesMax = 1000): ReplayEnd | undefined {
    for (let executed = 0; executed < entriesMax; executed++) {
      const advance = this.#replayer.advance(until);
      const { position } = this;
      const { count } = this.machine;
      switch (advance.kind) {
        case 'entry':
          break;
        case 'waiting':
          return { kind: 'end', position, count };
        case 'budget':
          return { kind: 'until', position, count };
        case 'diverged':
          return advance;
        default:
          throw new UmbraError(
            'recording-incomplete',
            `entry ${position + 1} is a disk completion without its data`,
            'This is the log of a pair, not a recording; it cannot be replayed without its disks.',
          );
      }
    }
    return undefined;
  }
}

function expectConfiguration(maker: MachineMaker, configuration: Uint8Array): void {
  const own = maker.configuration;
  if (own.length === configuration.length && own.every((byte, at) => byte === configuration[at])) {
    return;
  }
  throw new UmbraError(
    'recording-of-another-machine',
    'the recording was made with another machine configuration',
    'Use the kernel, firmware, memory size and machine version that it was recorded with.',
  );
}

function noRecording(cause: MalformedBytes): UmbraError {
  return new UmbraError(
    'recording-malformed',
    `this is no recording, or it is damaged: ${cause.message}`,
    'Use a directory that `umbra run --record` has written.',
    { cause },
  );
}

function unknownFormat(format: number): UmbraError {
  return new UmbraError(
    'recording-format',
    `format ${format} is unknown here; this release reads format ${recordingFormat}`,
    'Replay it with the release that recorded it.',
  );
}

function hole(expected: number, found: number): UmbraError {
  return new UmbraError(
    'recording-hole',
    `entry ${expected} should follow, but ${found} does`,
    'A segment is missing or damaged in the middle; only what lies before it can be replayed.',
  );
}
