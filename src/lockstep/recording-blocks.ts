/**
 * What the files of a recording are made of (docs/recording-format.md): a magic, a format, and
 * blocks, each with its length and CRC, packed where that saves anything.
 *
 * Pure bytes: who packs is given. Whatever does not fit is `MalformedBytes` or an `UmbraError`, and
 * nothing is allocated that a length alone asks for.
 */
import { ByteReader, ByteWriter, MalformedBytes } from '../base/bytes.ts';
import { crc32 } from '../base/crc32.ts';
import { UmbraError } from '../base/errors.ts';

/** 1: blocks were not packed, and there was one snapshot at most. */
export const recordingFormat = 2;

/** How blocks are made smaller: zstd on a host. Unpacking what was not packed may throw anything. */
export interface Packing {
  pack(bytes: Uint8Array): Uint8Array;
  /** @param length of the result; one that is not of this length is refused */
  unpack(bytes: Uint8Array, length: number): Uint8Array;
}

export const notPacked: Packing = {
  pack: (bytes) => bytes,
  unpack: (bytes) => bytes,
};

/** What a block holds at most, unpacked; longer ones are not believed. */
const blockBytesMax = 80 * 1024 * 1024;
/** Shorter ones are not worth the time. */
export const packedBytesMin = 256;
const form = { plain: 0, packed: 1 } as const;

export function writeMagic(writer: ByteWriter, magic: string): void {
  writer.raw(new TextEncoder().encode(magic)).u16(recordingFormat);
}

/** @returns undefined if the file ends within its first ten bytes */
export function readMagic(reader: ByteReader, magic: string): number | undefined {
  const expected = new TextEncoder().encode(magic);
  const found = reader.raw(Math.min(reader.remaining, expected.length));
  if (found.some((byte, at) => byte !== expected[at])) {
    throw new MalformedBytes(`it does not begin with ${magic}`);
  }
  if (found.length < expected.length || reader.remaining < 2) return undefined;
  const format = reader.u16();
  if (format !== recordingFormat) throw unknownFormat(format);
  return format;
}

export function block(content: Uint8Array, packing: Packing): Uint8Array {
  const parts =
    content.length < packedBytesMin
      ? framed(form.plain, [content], crc32)
      : blockParts(content, [packing.pack(content)], crc32);
  const writer = new ByteWriter(lengthOf(parts));
  for (const part of parts) writer.raw(part);
  return writer.close();
}

/** Of all parts together. */
export const lengthOf = (parts: readonly Uint8Array[]): number =>
  parts.reduce((sum, part) => sum + part.length, 0);

/** Goes on from the checksum of what came before; from 0 at the beginning. */
type Checksum = (bytes: Uint8Array, previous: number) => number;

/**
 * A block of what has been packed elsewhere, in parts, so that nothing long is copied.
 * @param packed the content's, in parts of its own
 * @param checksum CRC-32, as quick as one has it
 */
export function blockParts(
  content: Uint8Array,
  packed: readonly Uint8Array[],
  checksum: Checksum,
): Uint8Array[] {
  if (lengthOf(packed) >= content.length) return framed(form.plain, [content], checksum);
  const announced = new ByteWriter(8).varint(content.length).finish();
  return framed(form.packed, [announced, ...packed], checksum);
}

function framed(how: number, stored: readonly Uint8Array[], checksum: Checksum): Uint8Array[] {
  const body = [Uint8Array.of(how), ...stored];
  const crc = body.reduce((sum, part) => checksum(part, sum), 0);
  return [new ByteWriter(8).u32(lengthOf(body)).u32(crc).finish(), ...body];
}

/** @returns undefined where no whole block follows; the reader is behind the last whole one */
export function readBlock(reader: ByteReader, packing: Packing): Uint8Array | undefined {
  if (reader.remaining < 8) return undefined;
  const length = reader.u32();
  const crc = reader.u32();
  if (length === 0 || length > reader.remaining) return undefined;
  const body = reader.raw(length);
  if (crc32(body) !== crc) return undefined;
  return unpacked(new ByteReader(body), packing);
}

function unpacked(body: ByteReader, packing: Packing): Uint8Array {
  const how = body.u8();
  if (how === form.plain) return body.raw(body.remaining);
  if (how !== form.packed) throw new MalformedBytes(`a block of form ${how}`);
  const length = body.varint();
  if (length > blockBytesMax) throw new MalformedBytes(`a block of ${length} bytes`);
  let content: Uint8Array;
  try {
    content = packing.unpack(body.raw(body.remaining), length);
  } catch (error) {
    throw new MalformedBytes(`a block cannot be unpacked: ${String(error)}`);
  }
  if (content.length !== length) throw new MalformedBytes('a block of another length');
  return content;
}

/** Turns what bytes do not hold into what a person can act on. */
export function asRecordingError(error: unknown): unknown {
  if (!(error instanceof MalformedBytes)) return error;
  return new UmbraError(
    'recording-malformed',
    `this is no recording, or it is damaged: ${error.message}`,
    'Use a directory that `umbra run --record` has written.',
    { cause: error },
  );
}

function unknownFormat(format: number): UmbraError {
  return new UmbraError(
    'recording-format',
    `format ${format} is unknown here; this release reads format ${recordingFormat}`,
    'Replay it with the release that recorded it.',
  );
}

export function hole(expected: number, found: number): UmbraError {
  return new UmbraError(
    'recording-hole',
    `entry ${expected} should follow, but ${found} does`,
    'A segment is missing or damaged in the middle; only what lies before it can be replayed.',
  );
}
