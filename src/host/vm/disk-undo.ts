/**
 * What a VM's disks held before they were written, since moments to which they may have to go back:
 * the snapshots of its recordings (docs/decisions/recordings-in-a-cluster.md). Twin of disk-rewind.ts.
 *
 *   VM/undo/undo-000000 ...    a part for each moment: of every block the content before its first
 *                              write since then (recording/disk-changes.ts)
 *   VM/undo/end.json           all parts are whole, and the disks are since then as they are here
 *
 * From: `FileDisks`, ahead of each write. Going back to a moment is writing back the parts from the
 * last one down to that moment's, each whole: of a block that comes again the oldest content stays.
 *
 * A write waits until what it overwrites has been read, at most once for each block and moment, and
 * not until that has been written down: after a crash, be it of the process, which leaves no
 * `end.json`, or of the host, which is then another boot, nothing of this is believed. The oldest
 * parts go where there are too many bytes. Invariant: whatever fails here costs the guest nothing;
 * then all of it goes, and its room with it.
 */
import { existsSync } from 'node:fs';
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { uptime } from 'node:os';
import { join } from 'node:path';
import { contentOf, encodeHeader } from '../recording/disk-changes.ts';
import { writeParts } from '../recording/write-parts.ts';
import { BlockPacker } from '../recording/zstd.ts';
import { syncFolder } from './state-folder.ts';

const blockBytes = 4096;
/** Of one read and one change: 1 MiB. */
const runBlocks = 256;
/** Read and not written yet; who reads more waits. */
const pendingBytesMax = 16 << 20;
const partsMax = 4096;
/** So long the next recording may take to begin behind the last one. */
const lingerMs = 60_000;

export const undoFolder = (vmFolder: string): string => join(vmFolder, 'undo');
export const undoName = (number: number): string => `undo-${String(number).padStart(6, '0')}`;
export const undoEnd = (folder: string): string => join(folder, 'end.json');
/** The moment of a recording's snapshot. */
export const anchorOf = (recording: string, snapshot: number): string => `${recording}/${snapshot}`;

/** A file as whoever wrote it left it. */
export interface DiskMark {
  readonly inode: string;
  readonly bytes: string;
  readonly writtenAtNs: string;
}

export interface UndoEnd {
  readonly format: 1;
  /** Of the host: what it had not written to its disk by its end is lost. */
  readonly boot: string;
  readonly parts: readonly { readonly number: number; readonly bytes: number }[];
  readonly disks: readonly DiskMark[];
}

export async function markOf(path: string): Promise<DiskMark> {
  const { ino, size, mtimeNs } = await stat(path, { bigint: true });
  return { inode: String(ino), bytes: String(size), writtenAtNs: String(mtimeNs) };
}

/** Another one after every start of this host. */
export async function bootOf(): Promise<string> {
  const linux = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => undefined);
  return linux?.trim() ?? `about ${Math.round((Date.now() / 1000 - uptime()) / 30)}`;
}

/** @returns undefined if there is none that can be read */
export async function readUndoEnd(folder: string): Promise<UndoEnd | undefined> {
  try {
    const end = JSON.parse(await readFile(undoEnd(folder), 'utf8')) as UndoEnd;
    return end.format === 1 ? end : undefined;
  } catch {
    return undefined;
  }
}

interface Part {
  readonly number: number;
  readonly path: string;
  readonly taken: Map<number, Set<number>>;
  /** Blocks that are being read, until then nobody may write them. */
  readonly reading: Map<string, Promise<void>>;
  file: FileHandle | undefined;
  bytes: number;
  /** Never rejects. */
  written: Promise<void>;
  closed: Promise<void> | undefined;
}

export interface DiskUndoOptions {
  readonly folder: string;
  /** Told once, when what had been kept is lost; nothing is kept until the next moment. */
  readonly failed: (error: Error) => void;
}

export class DiskUndo {
  /** What all parts may take together, about. */
  bytesMax = Number.POSITIVE_INFINITY;
  readonly #options: DiskUndoOptions;
  #parts: Part[] = [];
  #next = 0;
  #pendingBytes = 0;
  #packer: BlockPacker | undefined;
  /** The folder is there, and holds nothing but what counts. */
  #ready: Promise<void> | undefined;
  /** All that was kept has been removed; until something is kept again. */
  #given: Promise<void> | undefined;
  #linger: NodeJS.Timeout | undefined;

  constructor(options: DiskUndoOptions) {
    this.#options = options;
  }

  get isOn(): boolean {
    return this.#parts.length > 0;
  }

  get bytes(): number {
    return this.#parts.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  // --- Moments

  /** A process begins whose disks are others than those of an earlier one, or may be. */
  async clear(): Promise<void> {
    const { folder } = this.#options;
    if (!existsSync(folder)) return;
    for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true });
  }

  /**
   * The VM goes on from a moment within what an earlier process has kept, its disks put back to it:
   * what that one has kept goes on being good, for places before that moment.
   */
  async resume(): Promise<void> {
    const { folder } = this.#options;
    const end = await readUndoEnd(folder);
    if (end === undefined) return this.clear();
    await rm(undoEnd(folder));
    await syncFolder(folder);
    this.#ready = Promise.resolve();
    for (const { number, bytes } of end.parts) {
      const path = join(folder, undoName(number));
      const none = { taken: new Map(), reading: new Map(), file: undefined };
      const written = Promise.resolve();
      this.#parts.push({ number, path, bytes, ...none, written, closed: written });
      this.#next = number + 1;
    }
    this.#begin('');
    this.letGo();
  }

  /**
   * From here on, between two requests, what is written is kept.
   * @param anchor by which this moment is found again
   */
  moment(anchor: string): void {
    clearTimeout(this.#linger);
    this.#ready ??= this.#prepare(this.#given);
    this.#begin(anchor);
    this.#retire();
  }

  /** Nobody needs it, unless somebody begins anew soon. */
  letGo(): void {
    clearTimeout(this.#linger);
    this.#linger = setTimeout(() => void this.giveRoom(), lingerMs).unref();
  }

  #begin(anchor: string): void {
    const last = this.#parts.at(-1);
    if (last !== undefined) this.#close(last);
    const number = this.#next++;
    const path = join(this.#options.folder, undoName(number));
    const none = { taken: new Map(), reading: new Map(), file: undefined, closed: undefined };
    const part: Part = { number, path, bytes: 0, ...none, written: Promise.resolve() };
    part.written = this.#ready!.then(async () => {
      part.file = await open(path, 'wx', 0o600);
      await write(part, [encodeHeader({ number, anchor })]);
    }).catch((error: Error) => this.#fail(error));
    this.#parts.push(part);
    this.#given = undefined;
  }

  async #prepare(after: Promise<void> | undefined): Promise<void> {
    await after;
    await this.clear();
    await mkdir(this.#options.folder, { recursive: true, mode: 0o700 });
  }

  #close(part: Part): Promise<void> {
    part.closed ??= Promise.all(part.reading.values())
      .then(() => closeFile(part))
      .catch((error: Error) => this.#fail(error));
    return part.closed;
  }

  // --- Keeping

  /**
   * A request that changes this range is about to be submitted.
   * @param endsOf the ends of those submitted before it that touch a range
   * @returns what it must wait for, if anything; never rejects
   */
  keep(
    disk: { readonly number: number; readonly file: FileHandle; readonly bytes: number },
    from: number,
    to: number,
    endsOf: (from: number, to: number) => readonly Promise<void>[],
  ): Promise<void> | undefined {
    const part = this.#parts.at(-1);
    if (part === undefined) return undefined;
    const taken = part.taken.get(disk.number) ?? new Set();
    part.taken.set(disk.number, taken);
    const end = Math.ceil(to / blockBytes);
    const waits: Promise<void>[] = [];
    // One after the other: a discard may be as long as 2 GiB.
    let previous: Promise<void> | undefined;
    for (let block = Math.floor(from / blockBytes); block < end; ) {
      if (taken.has(block)) {
        const underWay = part.reading.get(keyOf(disk.number, block++));
        if (underWay !== undefined && waits.at(-1) !== underWay) waits.push(underWay);
        continue;
      }
      const first = block;
      while (block < end && block < first + runBlocks && !taken.has(block)) taken.add(block++);
      const offset = first * blockBytes;
      const length = Math.min(block * blockBytes, disk.bytes) - offset;
      const ends = endsOf(offset, offset + length);
      const read = (previous ?? Promise.resolve()).then(() =>
        this.#read(part, disk, offset, length, ends),
      );
      this.#track(part, disk.number, first, block, read);
      waits.push(read);
      previous = read;
    }
    if (waits.length === 0) return undefined;
    return Promise.all(waits).then(() => {});
  }

  #track(part: Part, disk: number, first: number, end: number, read: Promise<void>): void {
    for (let block = first; block < end; block++) part.reading.set(keyOf(disk, block), read);
    void read.then(() => {
      for (let block = first; block < end; block++) part.reading.delete(keyOf(disk, block));
    });
  }

  async #read(
    part: Part,
    disk: { readonly number: number; readonly file: FileHandle },
    offset: number,
    length: number,
    ends: readonly Promise<void>[],
  ): Promise<void> {
    if (ends.length > 0) await Promise.all(ends);
    if (!this.#parts.includes(part)) return;
    try {
      const bytes = Buffer.allocUnsafe(length);
      for (let at = 0; at < length; ) {
        const { bytesRead } = await disk.file.read(bytes, at, length - at, offset + at);
        if (bytesRead === 0) throw new Error('the file is shorter than its disk');
        at += bytesRead;
      }
      this.#append(part, disk.number, offset, bytes);
    } catch (error) {
      return this.#fail(error as Error);
    }
    if (this.#pendingBytes > pendingBytesMax) await part.written;
  }

  #append(part: Part, disk: number, offset: number, bytes: Uint8Array): void {
    if (!this.#parts.includes(part)) return;
    this.#pendingBytes += bytes.length;
    this.#packer ??= new BlockPacker();
    const packed = this.#packer.block(contentOf({ disk, offset, bytes }));
    part.written = Promise.all([packed, part.written])
      .then(async ([block]) => {
        if (this.#parts.includes(part)) await write(part, block);
      })
      .catch((error: Error) => this.#fail(error))
      .then(() => {
        this.#pendingBytes -= bytes.length;
        this.#retire();
      });
  }

  #retire(): void {
    while (this.#parts.length > 1 && this.#isTooMuch()) {
      const part = this.#parts.shift()!;
      void this.#close(part).then(() => rm(part.path, { force: true }).catch(() => {}));
    }
    // It is more than all may take: places behind this one can be gone back to, when there are any.
    if (this.isOn && this.#isTooMuch()) {
      this.#begin('');
      this.#retire();
    }
  }

  #isTooMuch(): boolean {
    return this.bytes > this.bytesMax || this.#parts.length > partsMax;
  }

  // --- The end

  /**
   * Removes all of it, for nothing of it is good any more.
   * @returns when its room is there for others; undefined: it takes none
   */
  giveRoom(): Promise<void> | undefined {
    clearTimeout(this.#linger);
    if (!this.isOn) return this.#given;
    const parts = this.#parts;
    this.#parts = [];
    const packer = this.#packer;
    this.#packer = undefined;
    // Reads that are under way are not waited for: they may wait for whom this is done for.
    const removed = Promise.all(parts.map(closeFile))
      .finally(() => packer?.close())
      .then(() => this.clear())
      .catch(() => {});
    this.#given = removed;
    this.#ready = undefined;
    return removed;
  }

  #fail(error: Error): void {
    if (!this.isOn) return;
    void this.giveRoom();
    this.#options.failed(error);
  }

  /** Room that the guest needs: its write waits for it. */
  makeRoom(): Promise<void> | undefined {
    const wasOn = this.isOn;
    const given = this.giveRoom();
    if (wasOn) this.#options.failed(Object.assign(new Error('no room'), { code: 'ENOSPC' }));
    return given;
  }

  /**
   * Nobody writes to the disks any more. Nothing is made durable, for which a host may take longer
   * than a process has to go: see `bootOf`.
   * @param disks their files
   */
  async finish(disks: readonly string[]): Promise<void> {
    clearTimeout(this.#linger);
    if (!this.isOn) return void (await this.#given);
    const { folder } = this.#options;
    try {
      const parts = [...this.#parts];
      await Promise.all(parts.map((part) => this.#close(part)));
      this.#packer?.close();
      // A failure meanwhile has removed them.
      if (!this.isOn) return void (await this.#given);
      const end: UndoEnd = {
        ...{ format: 1, boot: await bootOf() },
        parts: this.#parts.map(({ number, bytes }) => ({ number, bytes })),
        disks: await Promise.all(disks.map(markOf)),
      };
      await writeFile(`${undoEnd(folder)}.new`, JSON.stringify(end), { mode: 0o600 });
      await rename(`${undoEnd(folder)}.new`, undoEnd(folder));
    } catch {
      // Without it nothing here is believed.
      if (existsSync(folder)) await this.clear().catch(() => {});
    }
  }
}

const keyOf = (disk: number, block: number): string => `${disk}:${block}`;

async function closeFile(part: Part): Promise<void> {
  await part.written;
  const { file } = part;
  part.file = undefined;
  await file?.close();
}

async function write(part: Part, block: readonly Uint8Array[]): Promise<void> {
  part.bytes += await writeParts(part.file!, block);
}
