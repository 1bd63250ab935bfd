/**
 * A VM's disks as sparse files: carries out requests in parallel, but overlapping ones in the order
 * of submission, so that both replicas end with the same bytes (lockstep/ports.ts `Disks`).
 *
 * From: the copy that this process runs. To: the files, and back by `done`. A request that fails
 * ends with `ok: false`; what that means is lockstep's to decide.
 */
import { existsSync } from 'node:fs';
import { chmod, copyFile, type FileHandle, open, rename, truncate } from 'node:fs/promises';
import { UmbraError } from '../../base/errors.ts';
import type { DiskCompletion, DiskOrigin, Disks } from '../../lockstep/ports.ts';
import type { DiskRequest } from '../../machine/effects.ts';

export interface DiskFile {
  readonly path: string;
  readonly bytes: number;
  /** What a new file begins as; zeros otherwise. */
  readonly template?: string;
}

type Done = (origin: DiskOrigin, completion: DiskCompletion) => void;

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
  readonly #files: readonly FileHandle[];
  readonly #underWay: Set<UnderWay>[];
  readonly #done: Done;

  private constructor(files: readonly FileHandle[], done: Done) {
    this.#files = files;
    this.#underWay = files.map(() => new Set());
    this.#done = done;
  }

  /** Opens the files; those that do not exist are made, whole or not at all. */
  static async open(files: readonly DiskFile[], done: Done): Promise<FileDisks> {
    const handles: FileHandle[] = [];
    for (const file of files) {
      if (!existsSync(file.path)) await create(file);
      const handle = await open(file.path, 'r+');
      const { size } = await handle.stat();
      if (size !== file.bytes) {
        throw new UmbraError(
          'disk-size',
          `The disk ${file.path} has ${size} bytes where the VM wants ${file.bytes}.`,
          'Put the right file in its place, or delete the VM and create it again.',
        );
      }
      handles.push(handle);
    }
    return new FileDisks(handles, done);
  }

  submit(origin: DiskOrigin, request: DiskRequest): void {
    const { disk, offset, length, action } = request;
    const whole = action === 'flush';
    const range = {
      from: whole ? 0 : offset,
      to: whole ? Number.MAX_SAFE_INTEGER : offset + length,
    };
    const underWay = this.#underWay[disk]!;
    const before = [...underWay].filter(({ from, to }) => from < range.to && range.from < to);
    const carried = this.#carryOut(before, request);
    const entry: UnderWay = { ...range, ended: carried.then(() => undefined) };
    underWay.add(entry);
    void carried.then((data) => {
      underWay.delete(entry);
      const ok = data !== undefined;
      this.#done(origin, { disk, request: request.request, ok, data: data ?? nothing });
    });
  }

  async close(): Promise<void> {
    for (const underWay of this.#underWay) {
      await Promise.all([...underWay].map(({ ended }) => ended));
    }
    await Promise.all(this.#files.map((file) => file.close()));
  }

  /** @returns what was read, or undefined if the request failed */
  async #carryOut(
    before: readonly UnderWay[],
    request: DiskRequest,
  ): Promise<Uint8Array | undefined> {
    if (before.length > 0) await Promise.all(before.map(({ ended }) => ended));
    try {
      return await perform(this.#files[request.disk]!, request);
    } catch {
      return undefined;
    }
  }
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

async function create({ path, bytes, template }: DiskFile): Promise<void> {
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
