/**
 * Changes of a VM's disks as a file: what is to be written where, in order. Carrying all of it out a
 * second time changes nothing, so whoever was interrupted begins again.
 *
 * Form (docs/recording-format.md, of blocks: lockstep/recording-blocks.ts):
 *
 *   'UMBRADSK', u16 format
 *   block   varint number, text anchor
 *   block*  varint disk, varint offset, the bytes
 *
 * A block that is torn or altered is found when it is read; whether blocks are missing at the end is
 * for its maker to say, by the file's length.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { ByteReader, ByteWriter, MalformedBytes } from '../../base/bytes.ts';
import { block, readBlock, readMagic, writeMagic } from '../../lockstep/recording-blocks.ts';
import type { Output } from '../../machine/effects.ts';
import type { ReplayExport } from './exports.ts';
import { zstd } from './zstd.ts';

const magic = 'UMBRADSK';
const magicBytes = magic.length + 2;
/** Of one change; a longer one is cut into several. */
export const changeBytesMax = 1 << 20;
/** A block is hardly longer than what is in it. */
const blockBytesMax = 2 * changeBytesMax;

export interface ChangesHeader {
  /** Files of one series count from 0 without gaps. */
  readonly number: number;
  /** The moment from which on this holds what was changed; empty: none that could be gone back to. */
  readonly anchor: string;
}

export interface DiskChange {
  readonly disk: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export function encodeHeader({ number, anchor }: ChangesHeader): Uint8Array {
  const writer = new ByteWriter(128);
  writeMagic(writer, magic);
  return writer.raw(block(new ByteWriter(128).varint(number).text(anchor).finish(), zstd)).finish();
}

/** What a change's block holds. */
export const contentOf = ({ disk, offset, bytes }: DiskChange): Uint8Array =>
  new ByteWriter(bytes.length + 16).varint(disk).varint(offset).raw(bytes).finish();

// --- reading -------------------------------------------------------------------------------

/** @returns undefined for a file that is none of these, or is torn within its header */
export async function readChangesHeader(path: string): Promise<ChangesHeader | undefined> {
  const file = await open(path, 'r');
  try {
    return await new ChangesReader(file).header();
  } catch (error) {
    if (error instanceof MalformedBytes) return undefined;
    throw error;
  } finally {
    await file.close();
  }
}

/**
 * Passes every change on, in order, each with its checksum looked at.
 * @throws MalformedBytes where a block is not whole
 */
export async function eachChange(
  path: string,
  take: (change: DiskChange) => Promise<void> | void,
): Promise<void> {
  const file = await open(path, 'r');
  try {
    const reader = new ChangesReader(file);
    if ((await reader.header()) === undefined) throw new MalformedBytes(`${path} has no header`);
    for (;;) {
      const content = await reader.block();
      if (content === undefined) return;
      const body = new ByteReader(content);
      const [disk, offset] = [body.varint(), body.varint()];
      await take({ disk, offset, bytes: body.raw(body.remaining) });
    }
  } finally {
    await file.close();
  }
}

class ChangesReader {
  readonly #file: FileHandle;
  #at = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async header(): Promise<ChangesHeader | undefined> {
    const start = await this.#read(magicBytes);
    if (readMagic(new ByteReader(start), magic) === undefined) return undefined;
    const content = await this.block();
    if (content === undefined) return undefined;
    const body = new ByteReader(content);
    const header = { number: body.varint(), anchor: body.text() };
    body.end();
    return header;
  }

  /** @returns undefined at the end of the file */
  async block(): Promise<Uint8Array | undefined> {
    const frame = await this.#read(8);
    if (frame.length === 0) return undefined;
    const length =
      frame.length < 8 ? 0 : new DataView(frame.buffer, frame.byteOffset).getUint32(0, true);
    if (length === 0 || length > blockBytesMax) throw new MalformedBytes('a torn block');
    const body = await this.#read(length);
    const content = readBlock(new ByteReader(Buffer.concat([frame, body])), zstd);
    if (content === undefined) throw new MalformedBytes('a torn or altered block');
    return content;
  }

  async #read(length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.#file.read(bytes, done, length - done, this.#at);
      if (bytesRead === 0) break;
      done += bytesRead;
      this.#at += bytesRead;
    }
    return bytes.subarray(0, done);
  }
}

// --- what a replay writes --------------------------------------------------------------------

const zeros = new Uint8Array(changeBytesMax);

/** What the guest of a replay writes to its disks, for another process to carry out. */
export class RedoExport implements ReplayExport {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'wx', 0o600);
    this.#write(encodeHeader({ number: 0, anchor: '' }));
  }

  output(output: Output): void {
    if (output.kind !== 'disk') return;
    const { action, disk, offset, length, data } = output.request;
    if (action !== 'write' && action !== 'discard') return;
    for (let at = 0; at < length; at += changeBytesMax) {
      const end = Math.min(length, at + changeBytesMax);
      // What is discarded reads as zeros (vm/file-disk.ts).
      const bytes = action === 'write' ? data.subarray(at, end) : zeros.subarray(0, end - at);
      this.#write(block(contentOf({ disk, offset: offset + at, bytes }), zstd));
    }
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
  }
}
