/**
 * The folders of a VM's recordings on this host: what docs/recording-format.md describes, and
 * `recording.json`, which says whose it is and how it ended.
 *
 *   VM/recordings/ID/     written while the VM runs; whole at any moment, up to its last block
 *
 * `recording.json` comes when a replay could begin and is written again at the end. A folder without
 * one is rubbish; one without an end, which nobody writes any more, ended with its process.
 */
import { existsSync } from 'node:fs';
import { open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecordingInfo } from '../../api/agent.ts';
import { removeFolder, unfinished } from './state-folder.ts';

const folderFormat = 1;
const fileName = 'recording.json';

export type RecordingFile = Omit<RecordingInfo, 'bytes'> & {
  readonly format: number;
  /** A flight recorder's, and nobody has kept it: without a process that writes it, it is rubbish. */
  readonly isRing?: true;
};

export const recordingsFolder = (vmFolder: string): string => join(vmFolder, 'recordings');
export const recordingFolder = (vmFolder: string, id: string): string =>
  join(recordingsFolder(vmFolder), id);

/**
 * Durable, and the old one or the new one whatever happens. On a disk that is full it is written
 * over the old one, which has its place.
 */
export async function writeRecordingFile(
  folder: string,
  info: Omit<RecordingFile, 'format'>,
): Promise<void> {
  const path = join(folder, fileName);
  const text = `${JSON.stringify({ format: folderFormat, ...info }, null, 2)}\n`;
  try {
    await writeFile(`${path}.new`, text, { mode: 0o600, flush: true });
    await rename(`${path}.new`, path);
  } catch (error) {
    await rm(`${path}.new`, { force: true });
    if (!existsSync(path)) throw error;
    const file = await open(path, 'r+');
    await file.writeFile(text).finally(() => file.close());
  }
}

/** Oldest first; what cannot be read is passed over. */
export async function listRecordings(vmFolder: string): Promise<RecordingInfo[]> {
  const parent = recordingsFolder(vmFolder);
  if (!existsSync(parent)) return [];
  const found: RecordingInfo[] = [];
  for (const id of await readdir(parent)) {
    const info = id.endsWith(unfinished) ? undefined : await readRecording(join(parent, id));
    if (info !== undefined) found.push(info);
  }
  return found.sort((a, b) => a.startedAtMs - b.startedAtMs);
}

export async function readRecording(folder: string): Promise<RecordingInfo | undefined> {
  try {
    const text = await readFile(join(folder, fileName), 'utf8');
    const { format, isRing, ...info } = JSON.parse(text) as RecordingFile;
    if (format !== folderFormat || isRing) return undefined;
    return { ...info, bytes: await bytesOf(folder) };
  } catch {
    return undefined;
  }
}

/** Files go while a recording with a limit is written. */
async function bytesOf(folder: string): Promise<number> {
  const sizes = (await readdir(folder)).map((name) =>
    stat(join(folder, name)).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** What an earlier process has not begun, or would not have kept. Only while nobody writes here. */
export async function tidyRecordings(vmFolder: string): Promise<void> {
  const parent = recordingsFolder(vmFolder);
  if (!existsSync(parent)) return;
  for (const id of await readdir(parent)) {
    const isWhole = !id.endsWith(unfinished) && (await isKept(join(parent, id)));
    if (!isWhole) await rm(join(parent, id), { recursive: true, force: true });
  }
}

async function isKept(folder: string): Promise<boolean> {
  const text = await readFile(join(folder, fileName), 'utf8').catch(() => undefined);
  return text !== undefined && (JSON.parse(text) as RecordingFile).isRing !== true;
}

export const removeRecording = (vmFolder: string, id: string): Promise<void> =>
  removeFolder(recordingFolder(vmFolder, id));

/** What it is made of, `recording.json` first and the log last. */
export async function recordingFiles(folder: string): Promise<{ name: string; bytes: number }[]> {
  const rank = (name: string): number =>
    name === fileName ? 0 : name.startsWith('log-') ? 3 : name.startsWith('snapshot-') ? 2 : 1;
  const names = (await readdir(folder)).filter((name) => !/\.(part|new)$/.test(name));
  names.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const files: { name: string; bytes: number }[] = [];
  for (const name of names) {
    const file = await open(join(folder, name), 'r');
    files.push({ name, bytes: (await file.stat()).size });
    await file.close();
  }
  return files;
}
