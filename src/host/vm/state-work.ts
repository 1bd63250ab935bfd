/**
 * What a host does with the states of a VM that does not run on it: takes a snapshot of its disks,
 * reverts to one, copies disks for a new VM. Nothing here touches the VM's own disks; what is made is
 * whole or not there.
 */
import { existsSync } from 'node:fs';
import { copyFile, link, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { VmSpec } from '../../api/agent.ts';
import { UmbraError } from '../../base/errors.ts';
import { DiskSnapshot } from './disk-snapshot.ts';
import { needRoom } from './snapshot-maker.ts';
import {
  abandonFolder,
  beginFolder,
  diskPath,
  finishFolder,
  machinePath,
  readFolder,
  type SavedState,
  savedFolder,
  snapshotFolder,
  syncFolder,
} from './state-folder.ts';

/** Bytes passed so far, and in all. */
export type Progress = (bytesDone: number, bytesTotal: number) => void;

const lookMs = 250;

/** A snapshot of a VM that is off: its disks, and what it is. @param disksFolder where they are */
export async function snapshotDisks(
  vm: VmSpec,
  directory: string,
  disksFolder: string,
  { id, name }: { readonly id: string; readonly name: string },
  progress: Progress,
): Promise<SavedState> {
  const folder = snapshotFolder(directory, id);
  const copies = (to: string) =>
    vm.disks.map(({ bytes }, disk) => ({
      ...{ source: diskPath(disksFolder, disk), path: diskPath(to, disk), bytes },
    }));
  try {
    await needRoom(disksFolder, vm.disks.length);
    await copyDisks(copies(await beginFolder(folder)), progress);
    return await finishFolder(folder, {
      ...{ id, name, vm, configuration: '', position: 0, count: '0', ticks: '0' },
      ...{ savedAtMs: Date.now(), hasDisks: true, isOff: true },
    });
  } catch (error) {
    await abandonFolder(folder).catch(() => {});
    throw error;
  }
}

/**
 * A saved state like the snapshot, with disks of its own. The arbiter decides afterwards whether it
 * is what the VM is from now on; until then nothing has changed.
 */
export async function prepareRevert(
  directory: string,
  snapshot: string,
  saved: string,
  progress: Progress,
): Promise<SavedState> {
  const source = snapshotFolder(directory, snapshot);
  const state = await findSnapshot(source, snapshot);
  const folder = savedFolder(directory, saved);
  try {
    const path = await beginFolder(folder);
    // The machine's file is never written again: both may have the same one.
    const machine = [machinePath(source), machinePath(path)] as const;
    if (!state.isOff) await link(...machine).catch(() => copyFile(...machine));
    const copies = state.vm.disks.map(({ bytes }, disk) => ({
      source: diskPath(source, disk),
      path: diskPath(path, disk),
      bytes,
    }));
    await copyDisks(copies, progress);
    const { format: _, machineBytes: __, bytes: ___, name: ____, ...rest } = state;
    return await finishFolder(folder, { ...rest, id: saved });
  } catch (error) {
    await abandonFolder(folder).catch(() => {});
    throw error;
  }
}

/**
 * The disks of a new VM: those of another one that is powered off, or of one of its snapshots.
 * @param snapshot undefined: the disks as they are
 */
export async function cloneDisks(
  from: {
    readonly vm: VmSpec;
    readonly directory: string;
    /** Where the disks of the VM itself are. */
    readonly disksFolder: string;
    readonly snapshot: string | undefined;
  },
  to: string,
  progress: Progress,
): Promise<void> {
  const { directory, snapshot } = from;
  let { vm } = from;
  let source = from.disksFolder;
  if (snapshot !== undefined) {
    source = snapshotFolder(directory, snapshot);
    ({ vm } = await findSnapshot(source, snapshot));
  }
  const unfinished = `${to}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true, mode: 0o700 });
  try {
    const copies: DiskCopy[] = [];
    for (const [disk, { bytes, template }] of vm.disks.entries()) {
      const path = diskPath(source, disk);
      // A disk that was never used begins as its template on the new VM, too.
      if (!existsSync(path) && template !== undefined && snapshot === undefined) continue;
      copies.push({ source: path, path: diskPath(unfinished, disk), bytes });
    }
    await copyDisks(copies, progress);
    await syncFolder(unfinished);
    await rename(unfinished, to);
    await syncFolder(dirname(to));
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
}

async function findSnapshot(folder: string, id: string): Promise<SavedState> {
  const state = await readFolder(folder);
  if (state !== undefined) return state;
  throw new UmbraError(
    'snapshot-unknown',
    `There is no snapshot ${id} of this VM on this host.`,
    'See umbra vm snapshot list.',
  );
}

interface DiskCopy {
  readonly source: string;
  readonly path: string;
  readonly bytes: number;
}

/** Sparse, or at once where the file system can; durable when this resolves. */
export async function copyDisks(copies: readonly DiskCopy[], progress: Progress): Promise<void> {
  const total = copies.reduce((sum, { bytes }) => sum + bytes, 0);
  let before = 0;
  for (const { source, path, bytes } of copies) {
    const file = await open(source, 'r');
    // One that was grown and not started since is as long as it was; so is its copy.
    const length = Math.min(bytes, (await file.stat()).size);
    const copy = new DiskSnapshot({ source, file, bytes: length, path, before: [] });
    const look = setInterval(() => progress(before + copy.bytesDone, total), lookMs);
    try {
      await copy.copied;
    } catch (cause) {
      await copy.giveUp();
      throw copyFailed(source, cause as Error);
    } finally {
      clearInterval(look);
      await file.close();
    }
    const made = await open(path, 'r+');
    await made.datasync();
    await made.close();
    before += bytes;
  }
  progress(total, total);
}

function copyFailed(source: string, cause: Error): UmbraError {
  const full = (cause as NodeJS.ErrnoException).code === 'ENOSPC';
  return new UmbraError(
    full ? 'no-room-on-host' : 'disk-copy-failed',
    `The disk ${source} could not be copied: ${cause.message}.`,
    full
      ? 'Delete snapshots (umbra vm snapshot delete), or free some space on the host.'
      : 'Look at the disk of the host, and try again.',
    { cause },
  );
}
