/**
 * A recording: the log of one run as bytes, in segments, so that it can be replayed anywhere.
 *
 * From: the primary's batches. To: files, which the host writes; and back from them to entries. Pure
 * bytes here. Form of a segment (of blocks: recording-blocks.ts):
 *
 *   'UMBRALOG', u16 format
 *   block   configuration, epoch, generation, number of the segment, and where it begins: position,
 *           count and the guest's time
 *   block*  first position, entries (entries.ts)
 *
 * A block that is not whole ends its segment: a torn tail is cut there, never guessed at. Whatever
 * is missing in the middle shows as a hole between positions and is an error.
 */
import { ByteReader, ByteWriter, MalformedBytes } from '../base/bytes.ts';
import type { Ticks } from '../machine/effects.ts';
import { decodeEntries, type Entry } from './entries.ts';
import {
  asRecordingError,
  block,
  hole,
  type Packing,
  readBlock,
  readMagic,
  writeMagic,
} from './recording-blocks.ts';

const magic = 'UMBRALOG';

/** A moment of the machine, as the log names it. */
export interface Moment {
  /** The next entry, or the first. */
  readonly position: number;
  readonly count: bigint;
  readonly time: Ticks;
}

export interface SegmentHeader {
  readonly configuration: Uint8Array;
  readonly epoch: number;
  readonly generation: number;
  /** Segments of a recording are numbered from 0; the first ones may have been retired. */
  readonly segment: number;
  readonly begins: Moment;
}

export interface Segment {
  readonly header: SegmentHeader;
  readonly entries: readonly Entry[];
  /** Bytes at the end that were no whole block. */
  readonly cutBytes: number;
}

// --- writing -------------------------------------------------------------------------------

/** What to append: a block of `content`, packed by whoever writes it. */
export interface Written {
  readonly segment: number;
  /** It begins a new file, with `header`. */
  readonly begins: boolean;
  readonly header: Uint8Array;
  readonly content: Uint8Array;
}

export type RecordingIdentity = Pick<SegmentHeader, 'configuration' | 'epoch' | 'generation'>;

export class RecordingWriter {
  readonly #identity: RecordingIdentity;
  readonly #segmentBytesMax: number;
  #segment = -1;
  #bytes = 0;
  #cut = true;

  /** @param segmentBytesMax of a file, about, before what it holds is packed */
  constructor(identity: RecordingIdentity, segmentBytesMax = 16 * 1024 * 1024) {
    this.#identity = identity;
    this.#segmentBytesMax = segmentBytesMax;
  }

  /** The next batch begins a new segment. */
  cut(): void {
    this.#cut = true;
  }

  /** @param begins the machine at the first entry of this batch, or a moment before */
  batch(begins: Moment, entries: Uint8Array): Written {
    const content = new ByteWriter(entries.length + 8).varint(begins.position).raw(entries).close();
    const opens = this.#cut || this.#bytes >= this.#segmentBytesMax;
    if (opens) {
      this.#segment++;
      this.#bytes = 0;
      this.#cut = false;
    }
    this.#bytes += content.length;
    const segment = this.#segment;
    const header = opens ? encodeHeader({ ...this.#identity, segment, begins }) : nothing;
    return { segment, begins: opens, header, content };
  }
}

const nothing = new Uint8Array(0);

function encodeHeader({ configuration, epoch, generation, ...header }: SegmentHeader): Uint8Array {
  const content = new ByteWriter(128).bytes(configuration).varint(epoch).varint(generation);
  content.varint(header.segment);
  writeMoment(content, header.begins);
  const writer = new ByteWriter(128);
  writeMagic(writer, magic);
  return writer.raw(block(content.finish(), neverPacked)).finish();
}

/** Headers are read by themselves, from the first bytes of their file. */
export const headerBytesMax = 4096;
export const neverPacked: Packing = {
  pack: (bytes) => bytes,
  unpack() {
    throw new MalformedBytes('a header that is packed');
  },
};

export function writeMoment(writer: ByteWriter, { position, count, time }: Moment): void {
  writer.varint(position).varint64(count).varint64(time);
}

export function readMoment(reader: ByteReader): Moment {
  return { position: reader.varint(), count: reader.varint64(), time: reader.varint64() };
}

// --- reading -------------------------------------------------------------------------------

/**
 * Throws an `UmbraError` for what is no segment at all, or of another format.
 * @returns undefined for a file that was torn within its header: it holds nothing
 */
export function readSegment(bytes: Uint8Array, packing: Packing): Segment | undefined {
  try {
    const reader = new ByteReader(bytes);
    const header = decodeHeader(reader);
    return header && { header, ...decodeBatches(reader, header.begins.position, packing) };
  } catch (error) {
    throw asRecordingError(error);
  }
}

/** The same of the header alone, of which the first `headerBytesMax` bytes are enough. */
export function readSegmentHeader(bytes: Uint8Array): SegmentHeader | undefined {
  try {
    return decodeHeader(new ByteReader(bytes));
  } catch (error) {
    throw asRecordingError(error);
  }
}

function decodeHeader(reader: ByteReader): SegmentHeader | undefined {
  if (readMagic(reader, magic) === undefined) return undefined;
  const whole = reader.remaining;
  const content = readBlock(reader, neverPacked);
  if (content === undefined) {
    if (whole < 200) return undefined;
    throw new MalformedBytes('the header is damaged');
  }
  const body = new ByteReader(content);
  const configuration = body.bytes();
  const [epoch, generation, segment] = [body.varint(), body.varint(), body.varint()];
  const begins = readMoment(body);
  body.end();
  return { configuration, epoch, generation, segment, begins };
}

function decodeBatches(
  reader: ByteReader,
  firstPosition: number,
  packing: Packing,
): { entries: Entry[]; cutBytes: number } {
  const entries: Entry[] = [];
  for (;;) {
    const cutBytes = reader.remaining;
    const content = readBlock(reader, packing);
    if (content === undefined) return { entries, cutBytes };
    const batch = new ByteReader(content);
    const next = firstPosition + entries.length;
    const first = batch.varint();
    if (first !== next) throw hole(next, first);
    for (const entry of decodeEntries(batch.raw(batch.remaining))) entries.push(entry);
  }
}
