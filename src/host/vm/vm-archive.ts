/**
 * A VM as one file: a tar archive, compressed by zstd, of `vm.json` (what the center says it is) and
 * `disk-N.raw`, its disks in full. `tar --zstd -xf` takes it apart anywhere.
 *
 * An archive in a file is whole or not there: it is written under another name, made durable, then
 * renamed. One that is sent is whole when its sender has said so (host/archive-upload.ts).
 */
import { createWriteStream, existsSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';
import { pack } from 'tar-stream';
import type { VmSpec } from '../../api/agent.ts';
import { UmbraError } from '../../base/errors.ts';
import { diskPath, syncFolder } from './state-folder.ts';
import type { Progress } from './state-work.ts';

const pieceBytes = 1024 * 1024;

/** Into a file on this host. @param directory where its disks are. @throws UmbraError `no-room-on-host`, `export-failed` */
export async function exportVm(
  vm: VmSpec,
  directory: string,
  path: string,
  progress: Progress,
): Promise<void> {
  const unfinished = `${path}.unfinished`;
  try {
    const file = createWriteStream(unfinished, { flags: 'wx', mode: 0o600, flush: true });
    await writeArchive(vm, directory, file, progress);
    await rename(unfinished, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await rm(unfinished, { force: true }).catch(() => {});
    throw exportFailed(vm.name, cause as Error);
  }
}

/**
 * As fast as the target takes it; the target has ended when this resolves, and is destroyed when it
 * rejects. @throws what the target, or the disk, has said
 */
export async function writeArchive(
  vm: VmSpec,
  directory: string,
  target: Writable,
  progress: Progress,
): Promise<void> {
  const total = vm.disks.reduce((sum, { bytes }) => sum + bytes, 0);
  const filled = (archive: Archive) =>
    fill(archive, vm, directory, (done) => progress(done, total));
  await packInto(target, 3, filled);
}

/**
 * A tar archive, compressed by zstd with a checksum. Ends as `writeArchive`.
 * @param level of the compression
 */
export async function packInto(
  target: Writable,
  level: number,
  fillIt: (archive: Archive) => Promise<void>,
): Promise<void> {
  const archive = pack();
  const params = { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 };
  const written = pipeline(archive, createZstdCompress({ params }), target);
  written.catch(() => {});
  try {
    await Promise.all([fillIt(archive), written]);
  } catch (cause) {
    archive.destroy();
    await written.catch(() => {});
    throw cause;
  }
}

export type Archive = ReturnType<typeof pack>;

async function fill(
  archive: Archive,
  vm: VmSpec,
  directory: string,
  progress: (bytesDone: number) => void,
): Promise<void> {
  const text = `${JSON.stringify({ format: 1, vm }, null, 2)}\n`;
  archive.entry({ name: 'vm.json' }, text);
  let before = 0;
  for (const [disk, { bytes }] of vm.disks.entries()) {
    const path = diskPath(directory, disk);
    if (!existsSync(path)) throw new Error(`${path} is missing`);
    const source = await open(path, 'r');
    try {
      const from = before;
      await addFile(archive, `disk-${disk}.raw`, source, bytes, (done) => progress(from + done));
    } finally {
      await source.close();
    }
    before += bytes;
  }
  archive.finalize();
}

/**
 * So many bytes, whatever the file's length: a disk that was grown and not started since is shorter
 * than it will be, with zeros behind it.
 */
export async function addFile(
  archive: Archive,
  name: string,
  source: FileHandle,
  bytes: number,
  progress: (bytesDone: number) => void,
): Promise<void> {
  let ended: (error?: Error | null) => void = () => {};
  const added = new Promise<void>((resolve, reject) => {
    ended = (error) => (error ? reject(error) : resolve());
  });
  added.catch(() => {});
  const entry = archive.entry({ name, size: bytes }, (error) => ended(error));
  const failed = new Promise<never>((_resolve, reject) => {
    entry.once('error', reject);
    archive.once('close', () => reject(new Error('the archive was closed')));
  });
  failed.catch(() => {});
  for (let at = 0; at < bytes; ) {
    const piece = Buffer.alloc(Math.min(pieceBytes, bytes - at));
    await source.read(piece, 0, piece.length, at);
    if (!entry.write(piece)) {
      const drained = new Promise<void>((resolve) => entry.once('drain', resolve));
      await Promise.race([drained, failed]);
    }
    at += piece.length;
    progress(at);
  }
  entry.end();
  await Promise.race([added, failed]);
}

export function exportFailed(name: string, cause: Error): UmbraError {
  if (cause instanceof UmbraError) return cause;
  const full = (cause as NodeJS.ErrnoException).code === 'ENOSPC';
  return new UmbraError(
    full ? 'no-room-on-host' : 'export-failed',
    `${name} could not be exported: ${cause.message}.`,
    full ? 'Free some space on the host.' : 'Look at the disk of the host, and try again.',
    { cause },
  );
}
