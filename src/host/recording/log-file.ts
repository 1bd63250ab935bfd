/**
 * The log of a recording on its way to the disk, in order, beside a VM that runs on: packed and
 * written on other threads, as much at a time as has come meanwhile.
 *
 * From: batches (lockstep/recording.ts). To: the segments of a folder, each block whole or not there.
 * What has been added and not written is lost with the process, which is a few milliseconds of it.
 *
 * Invariant: a disk that stalls never makes the VM wait. One that does not keep up fails here, as one
 * that is full does, once this much is waiting.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Written } from '../../lockstep/recording.ts';
import { segmentName } from './part-names.ts';
import { writeParts } from './write-parts.ts';
import { BlockPacker } from './zstd.ts';

const waitingBytesMax = 64 << 20;
/** Packed and written together. */
const togetherBytesMax = 1 << 20;

export interface LogFileOwner {
  readonly folder: string;
  /** So much more of a segment is on its way to the disk's keeping. */
  wrote(segment: number, bytes: number): void;
  /** Nothing more is written; what is whole stays. */
  failed(error: unknown): void;
}

export class LogFile {
  readonly #owner: LogFileOwner;
  readonly #packer = new BlockPacker({ sparing: true });
  #waiting: Written[] = [];
  #waitingBytes = 0;
  #file: { readonly handle: FileHandle; bytes: number } | undefined;
  #draining: Promise<void> | undefined;
  #isOver = false;

  constructor(owner: LogFileOwner) {
    this.#owner = owner;
  }

  add(written: Written): void {
    if (this.#isOver) return;
    this.#waiting.push(written);
    this.#waitingBytes += written.content.length;
    if (this.#waitingBytes > waitingBytesMax) return this.#fail(tooSlow());
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined;
    });
  }

  /** Resolves when all that was added has been written, or nothing more will be. */
  async settled(): Promise<void> {
    while (this.#draining !== undefined) await this.#draining;
  }

  /** Resolves when it is on the disk. */
  async close(): Promise<void> {
    await this.settled();
    await (this.#isOver ? this.#leaveFile() : this.#closeFile());
    this.#isOver = true;
    this.#packer.close();
  }

  async #drain(): Promise<void> {
    try {
      while (this.#waiting.length > 0 && !this.#isOver) await this.#writeSome(this.#takeSome());
    } catch (error) {
      if (!this.#isOver) this.#fail(error);
    }
    if (this.#isOver) await this.#leaveFile();
  }

  /** Of one segment, of which only the first may begin it. */
  #takeSome(): readonly Written[] {
    let [count, bytes] = [0, 0];
    for (const { begins, content } of this.#waiting) {
      if (count > 0 && (begins || bytes >= togetherBytesMax)) break;
      count += 1;
      bytes += content.length;
    }
    this.#waitingBytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  async #writeSome(some: readonly Written[]): Promise<void> {
    const [{ begins, header, segment }] = some as readonly [Written];
    const blocks = await Promise.all(some.map(({ content }) => this.#packer.block(content)));
    if (begins) await this.#begin(segment);
    const file = this.#file!;
    const bytes = await writeParts(file.handle, [header, ...blocks.flat()]);
    file.bytes += bytes;
    this.#owner.wrote(segment, bytes);
  }

  async #begin(segment: number): Promise<void> {
    await this.#closeFile();
    const handle = await open(join(this.#owner.folder, segmentName(segment)), 'wx');
    this.#file = { handle, bytes: 0 };
  }

  async #closeFile(): Promise<void> {
    const { handle } = this.#file ?? {};
    this.#file = undefined;
    // A disk that fails here has everything as durable as it has anything.
    await handle?.datasync().catch(() => {});
    await handle?.close();
  }

  #fail(error: unknown): void {
    this.#isOver = true;
    this.#waiting = [];
    this.#owner.failed(error);
  }

  /** What is not whole goes; a torn tail that stays is cut when it is read. */
  async #leaveFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.truncate(file.bytes).catch(() => {});
    await file?.handle.close().catch(() => {});
  }
}

const tooSlow = (): Error =>
  new Error(`the disk does not keep up: ${waitingBytesMax >> 20} MiB are waiting for it`);
