/**
 * A VM's disks as sparse files: carries out requests in parallel, but overlapping ones in the order
 * of submission, so that both replicas end with the same bytes (lockstep/ports.ts `Disks`).
 *
 * From: the copy that this process runs. To: the files, and back by `done`. A request that fails
 * ends with `ok: false`; what that means is lockstep's to decide.
 */
import { constants, existsSync } from 'node:fs';
import { chmod, copyFile, type FileHandle, open, rename, truncate } from 'node:fs/promises';
import { assert } from '../../base/assert.ts';
import { UmbraError } from '../../base/errors.ts';
import type { DiskCompletion, DiskOrigin, Disks } from '../../lockstep/ports.ts';
import type { DiskRequest } from '../../machine/effects.ts';
import { DiskSnapshot } from './disk-snapshot.ts';
import type { DiskUndo } from './disk-undo.ts';

export interface DiskFile {
  readonly path: string;
  readonly bytes: number;
  /** What a new file begins as; zeros otherwise. */
  readonly template?: string;
  /** A file of one of these sizes is the disk before it was grown; `any`: what is in it is stale. */
  readonly formerBytes?: readonly number[] | 'any';
  /**
   * A write has ended when it is durable, and not already when this system holds it. For files that
   * another system is to read when this one is gone: what a network file system's client has not
   * sent by then is lost, and the guest goes on elsewhere believing that it was written.
   */
  readonly writeThrough?: boolean;
}

type Done = (origin: DiskOrigin, completion: DiskCompletion) => void;

/** Disks being copied as they were at one moment. */
export interface DisksSnapshot {
  /** Every copy is complete; rejects with the first failure. Space is another matter: `giveUp`. */
  readonly copied: Promise<void>;
  /** Bytes passed so far, of all disks. */
  readonly bytesDone: number;
  /** It is complete with all that belongs to it: from now on its room is its own. */
  release(): void;
  /** Stops, and removes the files. The disks go on. */
  giveUp(): Promise<void>;
}

interface UnderWay {
  readonly from: number;
  readonly to: number;
  readonly ended: Promise<void>;
}

/** What a guest has written is its owner's. */
const diskMode = 0o600;
const nothing = new Uint8Array(0);
const zeros = new Uint8Array(1 << 20);

export class FileDisks implements Disks {
  #files: readonly FileHandle[];
  #shapes: readonly DiskFile[];
  #snapshots: readonly DiskSnapshot[] | undefined;
  /** Gives the room that a snapshot takes back to the disks. */
  #makeRoom: (() => Promise<void>) | undefined;
  /** When it has done so; whoever failed for want of it meanwhile tries again. */
  #roomMade: Promise<void> | undefined;
  #underWay: Set<UnderWay>[];
  readonly #done: Done;
  /** Where what is overwritten is kept. */
  undo: DiskUndo | undefined;

  private constructor(files: readonly FileHandle[], shapes: readonly DiskFile[], done: Done) {
    this.#files = files;
    this.#shapes = shapes;
    this.#underWay = files.map(() => new Set());
    this.#done = done;
  }

  /** Opens the files; those that do not exist are made, whole or not at all. */
  static async open(files: readonly DiskFile[], done: Done): Promise<FileDisks> {
    return new FileDisks(await openAll(files), files, done);
  }

  /** Of a shadow on a datastore: opened without files, it gets them when it takes them over. */
  async use(files: readonly DiskFile[]): Promise<void> {
    assert(this.#files.length === 0, 'these disks are open');
    this.#files = await openAll(files);
    this.#shapes = files;
    this.#underWay = files.map(() => new Set());
  }

  submit(origin: DiskOrigin, request: DiskRequest): void {
    const { disk, offset, length, action } = request;
    const whole = action === 'flush';
    const range = {
      from: whole ? 0 : offset,
      to: whole ? Number.MAX_SAFE_INTEGER : offset + length,
    };
    const underWay = this.#underWay[disk]!;
    const endsOf = (from: number, to: number): Promise<void>[] =>
      [...underWay].filter((one) => one.from < to && from < one.to).map(({ ended }) => ended);
    const before = endsOf(range.from, range.to);
    if (action === 'write' || action === 'discard') {
      // What a snapshot has not copied yet is copied before it is overwritten.
      const copied = this.#snapshots?.[disk]?.keep(range.from, range.to);
      const own = { number: disk, file: this.#files[disk]!, bytes: this.#shapes[disk]!.bytes };
      const kept = this.undo?.keep(own, range.from, range.to, endsOf);
      for (const wait of [copied, kept]) if (wait !== undefined) before.push(wait);
    }
    const carried = this.#carryOut(before, request);
    const entry: UnderWay = { ...range, ended: carried.then(() => undefined) };
    underWay.add(entry);
    void carried.then((data) => {
      underWay.delete(entry);
      const ok = data !== undefined;
      this.#done(origin, { disk, request: request.request, ok, data: data ?? nothing });
    });
  }

  /**
   * Begins to copy every disk as it is when all that has been submitted has ended, and nothing that
   * is submitted from now on. The disks stay in use.
   * @param paths one for each disk; new files
   * @param makeRoom called when the guest's own write finds no room: must give back what the
   *   snapshot takes
   */
  snapshot(paths: readonly string[], makeRoom: () => Promise<void>): DisksSnapshot {
    assert(this.#snapshots === undefined, 'one snapshot at a time');
    const snapshots = this.#files.map((file, disk) => {
      const { path: source, bytes } = this.#shapes[disk]!;
      const before = [...this.#underWay[disk]!].map(({ ended }) => ended);
      return new DiskSnapshot({ source, file, bytes, path: paths[disk]!, before });
    });
    this.#snapshots = snapshots;
    this.#makeRoom = makeRoom;
    this.#roomMade = undefined;
    const release = () => {
      if (this.#snapshots === snapshots) this.#snapshots = this.#makeRoom = undefined;
    };
    const copied = Promise.all(snapshots.map((one) => one.copied)).then(() => {});
    copied.catch(() => {});
    return {
      copied,
      release,
      get bytesDone() {
        return snapshots.reduce((sum, one) => sum + one.bytesDone, 0);
      },
      giveUp: async () => {
        release();
        await Promise.all(snapshots.map((one) => one.giveUp()));
      },
    };
  }

  /** What was submitted before the call has ended and is on the disk when this resolves. */
  async sync(): Promise<void> {
    await this.#ended();
    await Promise.all(this.#files.map((file) => file.datasync()));
  }

  async #ended(): Promise<void> {
    for (const underWay of this.#underWay) {
      await Promise.all([...underWay].map(({ ended }) => ended));
    }
  }

  async close(): Promise<void> {
    await this.#ended();
    await Promise.all(this.#files.map((file) => file.close()));
    await this.undo?.finish(this.#shapes.map(({ path }) => path));
  }

  /** @returns what was read, or undefined if the request failed */
  async #carryOut(
    before: readonly Promise<void>[],
    request: DiskRequest,
  ): Promise<Uint8Array | undefined> {
    if (before.length > 0) await Promise.all(before);
    const file = this.#files[request.disk]!;
    try {
      return await perform(file, request);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') return undefined;
      // Neither a snapshot nor what is kept of the past costs the guest a write.
      this.#roomMade ??= this.#makeRoom?.();
      const rooms = [this.#roomMade, this.undo?.makeRoom()].filter((room) => room !== undefined);
      if (rooms.length === 0) return undefined;
      return Promise.all(rooms)
        .then(() => perform(file, request))
        .catch(() => undefined);
    }
  }
}

async function openAll(files: readonly DiskFile[]): Promise<FileHandle[]> {
  const handles: FileHandle[] = [];
  for (const file of files) {
    if (!existsSync(file.path)) await makeDisk(file);
    const flags = constants.O_RDWR | (file.writeThrough ? constants.O_DSYNC : 0);
    const handle = await open(file.path, flags);
    const { size } = await handle.stat();
    const mayAdapt = file.formerBytes === 'any' || file.formerBytes?.includes(size);
    if (size !== file.bytes && mayAdapt) {
      await handle.truncate(file.bytes);
      await handle.sync();
    } else if (size !== file.bytes) {
      throw new UmbraError(
        'disk-size',
        `The disk ${file.path} has ${size} bytes where the VM wants ${file.bytes}.`,
        'Put the right file in its place, or delete the VM and create it again.',
      );
    }
    handles.push(handle);
  }
  return handles;
}

async function perform(file: FileHandle, request: DiskRequest): Promise<Uint8Array> {
  const { action, offset, length, data } = request;
  switch (action) {
    case 'read': {
      const read = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const { bytesRead } = await file.read(read, at, length - at, offset + at);
        if (bytesRead === 0) throw new Error('the file is shorter than its disk');
        at += bytesRead;
      }
      return read;
    }
    case 'write':
      await writeAll(file, data, offset);
      return nothing;
    case 'flush':
      await file.datasync();
      return nothing;
    case 'discard':
      // What is discarded reads as zeros, on every replica alike. It may be as much as 2 GiB.
      for (let at = 0; at < length; at += zeros.length) {
        await writeAll(file, zeros.subarray(0, length - at), offset + at);
      }
      return nothing;
  }
}

async function writeAll(file: FileHandle, data: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < data.length; ) {
    at += (await file.write(data, at, data.length - at, offset + at)).bytesWritten;
  }
}

/** Whole or not at all. */
export async function makeDisk({ path, bytes, template }: DiskFile): Promise<void> {
  const unfinished = `${path}.new`;
  if (template !== undefined) {
    await copyFile(template, unfinished);
    await chmod(unfinished, diskMode);
    await truncate(unfinished, bytes);
  } else {
    const file = await open(unfinished, 'w', diskMode);
    await file.truncate(bytes);
    await file.close();
  }
  await rename(unfinished, path);
}
