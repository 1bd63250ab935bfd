/**
 * One disk as it was at one moment, copied while it stays in use.
 *
 * Where the file system can share blocks between files (FICLONE), the copy is made at once. Elsewhere
 * blocks are copied one after the other in the background, and a block that is about to be
 * overwritten is copied first (copy before write): the write waits for that one block.
 *
 * The moment is one in the order of submission: requests submitted before it count, those submitted
 * after it do not, whenever they end. Invariant: a block is read for the copy after the former and
 * before any of the latter. Blocks of zeros are not written: the copy is sparse.
 *
 * A failure of the copy is never one of the disk: nobody waits for a copy that has failed.
 */
import { constants } from 'node:fs';
import { copyFile, type FileHandle, open, rm } from 'node:fs/promises';

const blockBytes = 64 * 1024;
/** Copied at a time in the background, and before the event loop has its turn. */
const stretchBlocks = 16;

export interface DiskSnapshotOptions {
  readonly source: string;
  readonly file: FileHandle;
  readonly bytes: number;
  /** Of the copy; must not exist. */
  readonly path: string;
  /** Ends of the requests submitted before the moment. */
  readonly before: readonly Promise<void>[];
}

export class DiskSnapshot {
  readonly #options: DiskSnapshotOptions;
  readonly #blocks: number;
  /** 1: copied, or on its way; its end is in `#underWay`. */
  readonly #taken: Uint8Array;
  readonly #underWay = new Map<number, Promise<void>>();
  /** Settled once it is known how the disk is copied. */
  readonly #begun: Promise<void>;
  readonly copied: Promise<void>;
  /** Resolves when it is given up: a request it waits for may be waiting for that. */
  readonly #givenUp = Promise.withResolvers<void>();
  #copy: FileHandle | undefined;
  #isWhole = false;
  #failure: Error | undefined;
  #blocksDone = 0;

  constructor(options: DiskSnapshotOptions) {
    this.#options = options;
    this.#blocks = Math.ceil(options.bytes / blockBytes);
    this.#taken = new Uint8Array(this.#blocks);
    this.#begun = this.#begin();
    this.copied = this.#run();
    // Whoever gave up does not ask how it ended.
    this.copied.catch(() => {});
  }

  get bytesDone(): number {
    return Math.min(this.#options.bytes, this.#blocksDone * blockBytes);
  }

  /**
   * A request that changes this range has just been submitted.
   * @returns what it must wait for, if anything; never rejects
   */
  keep(from: number, to: number): Promise<void> | undefined {
    if (this.#isWhole || this.#failure !== undefined) return undefined;
    const first = Math.floor(from / blockBytes);
    const end = Math.min(this.#blocks, Math.ceil(to / blockBytes));
    return this.#begun.then(() => this.#keepBlocks(first, end));
  }

  async giveUp(): Promise<void> {
    this.#failure ??= new Error('given up');
    this.#givenUp.resolve();
    await this.copied.catch(() => {});
    await rm(this.#options.path, { force: true });
  }

  async #begin(): Promise<void> {
    const { source, path, bytes, before } = this.#options;
    await Promise.race([Promise.all(before), this.#givenUp.promise]);
    if (this.#failure !== undefined) return;
    try {
      await copyFile(source, path, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
      this.#isWhole = true;
      this.#blocksDone = this.#blocks;
    } catch {
      // This file system cannot, or says so by failing: a real failure comes again below.
      try {
        await rm(path, { force: true });
        this.#copy = await open(path, 'wx', 0o600);
        await this.#copy.truncate(bytes);
      } catch (error) {
        this.#failure ??= error as Error;
      }
    }
  }

  async #run(): Promise<void> {
    await this.#begun;
    for (let block = 0; block < this.#blocks && !this.#isWhole; ) {
      if (this.#failure !== undefined) break;
      if (this.#taken[block] === 1) {
        block++;
        continue;
      }
      let end = block + 1;
      while (end < this.#blocks && end < block + stretchBlocks && this.#taken[end] === 0) end++;
      await this.#copyBlocks(block, end);
      block = end;
    }
    await Promise.all(this.#underWay.values());
    await this.#copy?.close();
    this.#copy = undefined;
    if (this.#failure !== undefined) throw this.#failure;
    this.#isWhole = true;
  }

  async #keepBlocks(first: number, end: number): Promise<void> {
    const waits: Promise<void>[] = [];
    for (let block = first; block < end; ) {
      if (this.#isWhole || this.#failure !== undefined) return;
      if (this.#taken[block] === 1) {
        const underWay = this.#underWay.get(block);
        if (underWay !== undefined) waits.push(underWay);
        block++;
        continue;
      }
      let stop = block + 1;
      while (stop < end && stop < block + stretchBlocks && this.#taken[stop] === 0) stop++;
      waits.push(this.#copyBlocks(block, stop));
      block = stop;
    }
    await Promise.all(waits);
  }

  /** Never rejects: a failure ends the copy as a whole. */
  #copyBlocks(first: number, end: number): Promise<void> {
    const copied = this.#copyRange(first, end).catch((error: Error) => {
      this.#failure ??= error;
    });
    this.#taken.fill(1, first, end);
    const done = copied.then(() => {
      this.#blocksDone += end - first;
      for (let block = first; block < end; block++) this.#underWay.delete(block);
    });
    for (let block = first; block < end; block++) this.#underWay.set(block, done);
    return done;
  }

  async #copyRange(first: number, end: number): Promise<void> {
    const { file, bytes } = this.#options;
    const offset = first * blockBytes;
    const length = Math.min(end * blockBytes, bytes) - offset;
    const buffer = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; ) {
      const { bytesRead } = await file.read(buffer, at, length - at, offset + at);
      if (bytesRead === 0) throw new Error('the file is shorter than its disk');
      at += bytesRead;
    }
    for (let at = 0; at < length; at += blockBytes) {
      const block = buffer.subarray(at, Math.min(length, at + blockBytes));
      if (isZero(block)) continue;
      for (let done = 0; done < block.length; ) {
        const position = offset + at + done;
        const { bytesWritten } = await this.#copy!.write(
          block,
          done,
          block.length - done,
          position,
        );
        done += bytesWritten;
      }
    }
  }
}

const zeros = Buffer.alloc(blockBytes);
const isZero = (block: Buffer): boolean => block.equals(zeros.subarray(0, block.length));
