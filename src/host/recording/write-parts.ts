/** Bytes in parts, behind what a file holds already. */
import type { FileHandle } from 'node:fs/promises';

/** How many parts one system call takes (IOV_MAX is 1024). */
const partsMax = 512;

/** @returns how many bytes that were */
export async function writeParts(
  file: Pick<FileHandle, 'writev'>,
  parts: readonly Uint8Array[],
): Promise<number> {
  let written = 0;
  let left = parts.filter(({ length }) => length > 0);
  while (left.length > 0) {
    let { bytesWritten } = await file.writev(left.slice(0, partsMax));
    written += bytesWritten;
    while (left.length > 0 && bytesWritten >= left[0]!.length) {
      bytesWritten -= left[0]!.length;
      left = left.slice(1);
    }
    if (bytesWritten > 0) left = [left[0]!.subarray(bytesWritten), ...left.slice(1)];
  }
  return written;
}
