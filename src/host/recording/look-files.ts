/**
 * What has been found out about a recording, kept beside the recordings of its VM: exact replay always
 * finds the same.
 *
 *   VM/looks/ID/log.json        what its log says (RecordingActivity)
 *   VM/looks/ID/replayed.json   the same with what a replay has added; comes when `console` is whole
 *   VM/looks/ID/console         all that the guest said: pieces of u32 length, f64 seconds, bytes
 *
 * Not within the recording's own folder, which is fetched and replayed elsewhere as it is. It may be
 * removed at any time.
 */
import { open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecordingActivity, RecordingConsolePage } from '../../api/timeline-endpoints.ts';

export const looksFolder = (vmFolder: string): string => join(vmFolder, 'looks');
export const lookFolder = (vmFolder: string, id: string): string => join(looksFolder(vmFolder), id);

const names = { log: 'log.json', replayed: 'replayed.json' } as const;
export const consoleFile = (folder: string): string => join(folder, 'console');

/** Of a page, about; in base64 a third more. */
const pageBytes = 256 * 1024;
/** Ahead of each piece. */
export const pieceHeaderBytes = 12;

/** @returns undefined if there is none, or none of this release */
export async function readLook(
  folder: string,
  which: keyof typeof names,
): Promise<RecordingActivity | undefined> {
  try {
    const { format, ...look } = JSON.parse(await readFile(join(folder, names[which]), 'utf8'));
    return format === lookFormat ? (look as RecordingActivity) : undefined;
  } catch {
    return undefined;
  }
}

const lookFormat = 1;

/** Whole or not at all; nobody minds if a crash takes it. */
export async function writeLook(
  folder: string,
  which: keyof typeof names,
  look: RecordingActivity,
): Promise<void> {
  const path = join(folder, names[which]);
  await writeFile(`${path}.new`, JSON.stringify({ format: lookFormat, ...look }), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** @param vmFolder of the VM. Without `id` those of all its recordings */
export const removeLooks = (vmFolder: string, id?: string): Promise<void> =>
  rm(id === undefined ? looksFolder(vmFolder) : lookFolder(vmFolder, id), {
    ...{ recursive: true, force: true },
  });

export function consolePiece(seconds: number, bytes: Uint8Array): Uint8Array {
  const piece = Buffer.alloc(pieceHeaderBytes + bytes.length);
  piece.writeUInt32LE(bytes.length, 0);
  piece.writeDoubleLE(seconds, 4);
  piece.set(bytes, pieceHeaderBytes);
  return piece;
}

/** @param from `next` of the page before; 0: the first one */
export async function readConsolePage(folder: string, from: number): Promise<RecordingConsolePage> {
  const file = await open(consoleFile(folder), 'r');
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(pageBytes), 0, pageBytes, from);
    const seconds: number[] = [];
    const lengths: number[] = [];
    const bytes: Buffer[] = [];
    let at = 0;
    while (at + pieceHeaderBytes <= bytesRead) {
      const length = buffer.readUInt32LE(at);
      if (at + pieceHeaderBytes + length > bytesRead) break;
      seconds.push(buffer.readDoubleLE(at + 4));
      lengths.push(length);
      bytes.push(buffer.subarray(at + pieceHeaderBytes, at + pieceHeaderBytes + length));
      at += pieceHeaderBytes + length;
    }
    // Between two pieces, or a place that is none.
    const next = from + at < size && at > 0 ? from + at : null;
    return { seconds, lengths, bytes: Buffer.concat(bytes).toString('base64'), next };
  } finally {
    await file.close();
  }
}
