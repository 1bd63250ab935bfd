/**
 * Snapshots of a recording: the machine at a position of its log, from which a replay can begin.
 *
 * From: a series of checkpoints (machine/machine.ts). To: files, and back to a machine. One that is
 * whole needs no other; the others hold what has changed since the one numbered before, so a restore
 * reads from the last whole one on. Form (of blocks: recording-blocks.ts):
 *
 *   'UMBRASNP', u16 format
 *   block   configuration, number, number of the whole one that it goes back to, and where the log
 *           goes on: position, count, the guest's time
 *   block*  a chunk of the checkpoint each
 *   block   empty: it is complete
 */
import { ByteReader, ByteWriter, MalformedBytes } from '../base/bytes.ts';
import { UmbraError } from '../base/errors.ts';
import type { Machine, MachineMaker, Restore } from '../machine/machine.ts';
import { type Moment, neverPacked, readMoment, writeMoment } from './recording.ts';
import {
  asRecordingError,
  block,
  type Packing,
  readBlock,
  readMagic,
  writeMagic,
} from './recording-blocks.ts';

const magic = 'UMBRASNP';

export interface SnapshotHeader {
  readonly configuration: Uint8Array;
  /** In the order in which they were taken. */
  readonly number: number;
  /** The whole one on which it rests; itself if it is whole. */
  readonly base: number;
  /** The log goes on here. */
  readonly at: Moment;
}

export interface Snapshot {
  readonly header: SnapshotHeader;
  readonly chunks: readonly Uint8Array[];
}

export function encodeSnapshotHeader(header: SnapshotHeader): Uint8Array {
  const content = new ByteWriter(128).bytes(header.configuration);
  content.varint(header.number).varint(header.base);
  writeMoment(content, header.at);
  const writer = new ByteWriter(128);
  writeMagic(writer, magic);
  return writer.raw(block(content.finish(), neverPacked)).finish();
}

/** Behind the last chunk. */
export const snapshotEnd = (): Uint8Array => block(new Uint8Array(0), neverPacked);

/** An incomplete snapshot is an `UmbraError`. */
export function readSnapshot(bytes: Uint8Array, packing: Packing): Snapshot {
  try {
    const reader = new ByteReader(bytes);
    const header = decodeHeader(reader);
    const chunks: Uint8Array[] = [];
    for (;;) {
      const chunk = readBlock(reader, packing);
      if (chunk === undefined) throw new MalformedBytes('the snapshot is not complete');
      if (chunk.length === 0) break;
      chunks.push(chunk);
    }
    reader.end();
    return { header, chunks };
  } catch (error) {
    throw asRecordingError(error);
  }
}

/** Of the header alone; the first `headerBytesMax` bytes are enough. */
export function readSnapshotHeader(bytes: Uint8Array): SnapshotHeader {
  try {
    return decodeHeader(new ByteReader(bytes));
  } catch (error) {
    throw asRecordingError(error);
  }
}

function decodeHeader(reader: ByteReader): SnapshotHeader {
  const known = readMagic(reader, magic) !== undefined;
  const content = known ? readBlock(reader, neverPacked) : undefined;
  if (content === undefined) throw new MalformedBytes('the header is damaged');
  const body = new ByteReader(content);
  const configuration = body.bytes();
  const [number, base] = [body.varint(), body.varint()];
  const at = readMoment(body);
  body.end();
  if (base > number) throw new MalformedBytes(`snapshot ${number} on ${base}`);
  return { configuration, number, base, at };
}

/**
 * The machine of a snapshot, from that one and those before it, back to a whole one.
 * @param read gives the one with this number; they are read one after the other
 */
export function restoreSnapshots(
  restore: Restore,
  { base, number }: SnapshotHeader,
  read: (number: number) => Snapshot,
): Machine {
  try {
    for (let each = number; each >= base; each--) {
      const { header, chunks } = read(each);
      if (header.number !== each || header.base !== base) {
        throw new MalformedBytes(`snapshot ${each} is missing`);
      }
      const skipped = each === number ? 0 : 1;
      for (const chunk of chunks.slice(skipped)) restore.add(chunk);
    }
    return restore.finish();
  } catch (error) {
    throw asRecordingError(error);
  }
}

export function expectConfiguration(maker: MachineMaker, configuration: Uint8Array): void {
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
