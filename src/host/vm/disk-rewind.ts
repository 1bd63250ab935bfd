/**
 * A VM's disks as they were at a place of one of its recordings. Twin of disk-undo.ts.
 *
 *   prepared: what the guest has written from a snapshot up to the place is with the saved state
 *   stopped:  what the disks held at that snapshot is found whole, and put beside it
 *   placed:   the disks go back to the snapshot, then forward to the place
 *
 * Invariant: the VM's disks are not touched before the arbiter's record names the saved state, and by
 * then all that is written to them is whole and durable with it. Who is interrupted begins again.
 */
import { existsSync } from 'node:fs';
import { copyFile, type FileHandle, link, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MalformedBytes } from '../../base/bytes.ts';
import { UmbraError } from '../../base/errors.ts';
import { eachChange, readChangesHeader } from '../recording/disk-changes.ts';
import { bootOf, markOf, readUndoEnd, undoFolder, undoName } from './disk-undo.ts';
import { diskPath, readFolder, savedFolder, syncFolder } from './state-folder.ts';

const prefix = 'disk-';
const undoPattern = /^disk-undo-(\d{6,})$/;

/** In a saved state's folder: what is written behind the parts that are undone. */
export const redoPath = (folder: string): string => join(folder, 'disk-redo');

/**
 * The part that begins at this moment. The VM may run, and its process write there.
 * @throws UmbraError `rewind-disks-unknown`
 */
export async function findMoment(folder: string, anchor: string): Promise<number> {
  const names = existsSync(folder) ? await readdir(folder) : [];
  const numbers = names
    .flatMap((name) => /^undo-(\d{6,})$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
  for (const [index, number] of numbers.entries()) {
    if (number !== numbers[0]! - index) break;
    const header = await readChangesHeader(join(folder, undoName(number))).catch(() => undefined);
    if (header?.anchor === anchor && header.number === number) return number;
  }
  throw unknown('what they have been written since then has not been kept all the way');
}

/**
 * The VM's process is gone. Puts what its disks held beside the saved state that was prepared.
 * @param directory the VM's folder on this host
 * @throws UmbraError `rewind-disks-unknown`; then nothing has been changed
 */
export async function takeUndo(directory: string, saved: string): Promise<void> {
  const folder = savedFolder(directory, saved);
  const state = await readFolder(folder);
  if (state?.undoFrom === undefined) return;
  const { undoFrom, vm } = state;
  const source = undoFolder(directory);
  const end = await readUndoEnd(source);
  if (end === undefined) throw unknown('the process of the VM has not ended in order');
  if (end.boot !== (await bootOf())) throw unknown('the host has been started anew since');
  for (const [disk, mark] of end.disks.entries()) {
    const path = diskPath(directory, disk);
    const present = await markOf(path).catch(() => undefined);
    if (JSON.stringify(present) !== JSON.stringify(mark)) {
      throw unknown('somebody has written to them since the VM was powered off');
    }
    // From here on they must be what they are, whatever happens to the host.
    await sync(path);
  }
  const parts = end.parts.filter(({ number }) => number >= undoFrom);
  const isWhole = parts[0]?.number === undoFrom && end.disks.length === vm.disks.length;
  if (!isWhole) throw unknown('what they held then has gone for want of room');
  for (const { number, bytes } of parts) {
    const path = join(source, undoName(number));
    await expectWhole(path, number, bytes);
    const place = join(folder, `${prefix}${undoName(number)}`);
    await link(path, place).catch(() => copyFile(path, place));
    await sync(place);
  }
  await syncFolder(folder);
}

async function expectWhole(path: string, number: number, bytes: number): Promise<void> {
  try {
    const { size } = await stat(path);
    if (size !== bytes) throw new MalformedBytes(`it has ${size} bytes, not ${bytes}`);
    if ((await readChangesHeader(path))?.number !== number) throw new MalformedBytes('its number');
    await eachChange(path, () => {});
  } catch (error) {
    throw unknown(`${path} is damaged (${(error as Error).message})`);
  }
}

/**
 * Disks that came with a saved state become the VM's disks. The arbiter's record says that they are;
 * where a crash has interrupted this, what is still here is moved, and the rest is there already.
 */
export async function placeDisks(folder: string, vmFolder: string, disks: number): Promise<void> {
  for (let disk = 0; disk < disks; disk++) {
    const path = diskPath(folder, disk);
    if (existsSync(path)) await rename(path, diskPath(vmFolder, disk));
  }
  await carryOutChanges(folder, vmFolder, disks);
  await syncFolder(vmFolder);
  await syncFolder(folder);
}

async function carryOutChanges(folder: string, vmFolder: string, disks: number): Promise<void> {
  const names = await readdir(folder);
  const undone = names
    .filter((name) => undoPattern.test(name))
    .sort((a, b) => numberOf(b) - numberOf(a));
  const redo = redoPath(folder);
  if (!existsSync(redo)) return;
  const parts = undone.map((name) => join(folder, name));
  const files: FileHandle[] = [];
  try {
    for (let disk = 0; disk < disks; disk++) files.push(await open(diskPath(vmFolder, disk), 'r+'));
    for (const path of [...parts, redo]) {
      await eachChange(path, async ({ disk, offset, bytes }) => {
        for (let at = 0; at < bytes.length; ) {
          const left = bytes.length - at;
          at += (await files[disk]!.write(bytes, at, left, offset + at)).bytesWritten;
        }
      });
    }
    for (const file of files) await file.datasync();
  } finally {
    for (const file of files) await file.close();
  }
  // As long as this is there all of it is carried out again, and some of it alone would be wrong.
  await rm(redo);
  await syncFolder(folder);
  for (const path of parts) await rm(path);
}

const numberOf = (name: string): number => Number(undoPattern.exec(name)![1]);

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  await file.datasync();
  await file.close();
}

function unknown(why: string): UmbraError {
  return new UmbraError(
    'rewind-disks-unknown',
    `What was on the disks of the VM at that place is not known: ${why}.`,
    'It is kept while the VM is recorded or has a flight recorder (umbra record flight), up to now without a gap; choose a later place, or go back to a snapshot: umbra vm snapshot revert.',
  );
}
