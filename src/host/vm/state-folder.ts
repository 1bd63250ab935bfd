/**
 * Folders that hold a VM's state at one moment: the machine (machine-file.ts), what it is a state of
 * (`state.json`), and where its disks are not those of the VM, its disks.
 *
 *   VM/saved-ID/        what the arbiter's record names: the next start continues from it
 *   VM/snapshots/ID/    a snapshot; always with disks, and with disks alone if the VM was off
 *
 * Such a folder is whole or not there. It is written under another name, every file and the folder
 * itself made durable, then renamed. Removing begins with the rename back, so what is found under
 * the other name is rubbish, whenever it is found. Invariant: whoever sees `state.json` under the
 * right name can rely on all that it names.
 */
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { VmSpec } from '../../api/agent.ts';
import { UmbraError } from '../../base/errors.ts';

const folderFormat = 1;
export const unfinished = '.unfinished';
const savedPrefix = 'saved-';

export interface SavedState {
  readonly format: number;
  readonly id: string;
  /** What people call a snapshot. */
  readonly name?: string;
  /** As it was powered on: power-on inputs and disks decide what machine this is. */
  readonly vm: VmSpec;
  /** Hexadecimal; of the machine that can be restored from it. */
  readonly configuration: string;
  /** Position in its log, and its count. */
  readonly position: number;
  readonly count: string;
  /** The host's clock in the guest's ticks at the moment of saving, and that moment (Unix, ms). */
  readonly ticks: string;
  readonly savedAtMs: number;
  /** The VM was powered off: there is no machine, and who goes on from here powers it on. */
  readonly isOff?: true;
  /** Whether the disks are here, too, as `disk-N.raw`, or what makes them of the VM's (`undoFrom`). */
  readonly hasDisks: boolean;
  /** Made of a recording: from which part on what the disks held is written back (disk-undo.ts). */
  readonly undoFrom?: number;
  /** Size of the machine's file. */
  readonly machineBytes: number;
  /** What it all takes on this host's disk. */
  readonly bytes: number;
}

export const snapshotsFolder = (vmFolder: string): string => join(vmFolder, 'snapshots');
export const snapshotFolder = (vmFolder: string, id: string): string =>
  join(snapshotsFolder(vmFolder), id);
export const savedFolder = (vmFolder: string, id: string): string =>
  join(vmFolder, savedPrefix + id);
export const machinePath = (folder: string): string => join(folder, 'machine.zst');
export const diskPath = (folder: string, disk: number): string => join(folder, `disk-${disk}.raw`);

/** @returns the folder in which to write; nobody takes it for whole */
export async function beginFolder(folder: string): Promise<string> {
  const path = folder + unfinished;
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { recursive: true, mode: 0o700 });
  return path;
}

/** All files in it are complete. From here on the folder is there, whatever happens. */
export async function finishFolder(
  folder: string,
  state: Omit<SavedState, 'format' | 'machineBytes' | 'bytes'>,
): Promise<SavedState> {
  const path = folder + unfinished;
  let bytes = 0;
  for (const name of await readdir(path)) {
    const file = await open(join(path, name), 'r');
    await file.datasync();
    bytes += (await file.stat()).blocks * 512;
    await file.close();
  }
  const machineBytes = state.isOff ? 0 : (await stat(machinePath(path))).size;
  const whole: SavedState = { format: folderFormat, ...state, machineBytes, bytes };
  const file = await open(join(path, 'state.json'), 'wx', 0o600);
  await file.writeFile(`${JSON.stringify(whole, null, 2)}\n`);
  await file.sync();
  await file.close();
  await syncFolder(path);
  await rename(path, folder);
  await syncFolder(dirname(folder));
  return whole;
}

export async function abandonFolder(folder: string): Promise<void> {
  await rm(folder + unfinished, { recursive: true, force: true });
}

/** As good as gone when this resolves: nobody will ever find it whole again. */
export async function disownFolder(folder: string): Promise<void> {
  await abandonFolder(folder);
  if (!existsSync(folder)) return;
  await rename(folder, folder + unfinished);
  await syncFolder(dirname(folder));
}

export async function removeFolder(folder: string): Promise<void> {
  await disownFolder(folder);
  await abandonFolder(folder);
}

/** @returns undefined if there is no such folder. @throws state-unreadable */
export async function readFolder(folder: string): Promise<SavedState | undefined> {
  if (!existsSync(folder)) return undefined;
  try {
    const text = await readFile(join(folder, 'state.json'), 'utf8');
    const state = JSON.parse(text) as SavedState;
    if (state.format !== folderFormat) throw new Error(`its format is ${state.format}`);
    return state;
  } catch (cause) {
    throw new UmbraError(
      'state-unreadable',
      `What is saved in ${folder} cannot be read: ${(cause as Error).message}.`,
      'Look at the disk of this host; a release that knows the format may read it.',
      { cause },
    );
  }
}

/** Snapshots of a VM on this host, oldest first; what cannot be read is passed over. */
export async function listSnapshots(vmFolder: string): Promise<SavedState[]> {
  const found = await statesIn(snapshotsFolder(vmFolder), '');
  return found.sort((a, b) => a.savedAtMs - b.savedAtMs);
}

/** What could be named by the arbiter's record. */
export const listSavedStates = (vmFolder: string): Promise<SavedState[]> =>
  statesIn(vmFolder, savedPrefix);

async function statesIn(folder: string, prefix: string): Promise<SavedState[]> {
  if (!existsSync(folder)) return [];
  const found: SavedState[] = [];
  for (const name of await readdir(folder)) {
    if (name.endsWith(unfinished) || !name.startsWith(prefix)) continue;
    const state = await readFolder(join(folder, name)).catch(() => undefined);
    if (state !== undefined) found.push(state);
  }
  return found;
}

/**
 * What a crash left half-written, and saved states that the arbiter's record does not name: they
 * belong to a past that did not come. Only while nobody writes here.
 */
export async function tidyFolders(vmFolder: string, named: string | undefined): Promise<void> {
  for (const name of await readdir(vmFolder)) {
    const path = join(vmFolder, name);
    if (name.endsWith(unfinished)) await rm(path, { recursive: true, force: true });
    else if (name.startsWith(savedPrefix) && name !== savedPrefix + named) await removeFolder(path);
  }
  const parent = snapshotsFolder(vmFolder);
  if (!existsSync(parent)) return;
  for (const name of await readdir(parent)) {
    if (name.endsWith(unfinished)) await rm(join(parent, name), { recursive: true, force: true });
  }
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  await folder.sync();
  await folder.close();
}
