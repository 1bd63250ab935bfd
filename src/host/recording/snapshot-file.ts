/**
 * A checkpoint on its way into a file, while its machine runs on: copied a little at a time, packed
 * on other threads, and under its name only when it is whole and on the disk.
 */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import {
  encodeSnapshotHeader,
  type SnapshotHeader,
  snapshotEnd,
} from '../../lockstep/recording-snapshot.ts';
import type { Checkpoint } from '../../machine/machine.ts';
import { unfinished } from './part-names.ts';
import { writeParts } from './write-parts.ts';
import { BlockPacker } from './zstd.ts';

/** The machine stands still while so much is copied. */
const chunkBytes = 512 * 1024;
/** Chunks that are packed or written at a time. */
const underWayMax = 3;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class SnapshotFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * @param over asked between chunks: whether nobody wants it any more
   * @returns its length, or undefined if it was given up
   */
  async write(
    header: SnapshotHeader,
    checkpoint: Checkpoint,
    over: () => boolean,
  ): Promise<number | undefined> {
    const path = unfinished(this.#path);
    try {
      const file = await open(path, 'wx');
      let bytes: number | undefined;
      try {
        bytes = await writeAll(file, header, checkpoint, over);
        if (bytes !== undefined) await file.datasync();
      } finally {
        await file.close();
      }
      if (bytes === undefined) await rm(path, { force: true });
      else await rename(path, this.#path);
      return bytes;
    } catch (error) {
      await rm(path, { force: true }).catch(() => {});
      throw error;
    } finally {
      checkpoint.cancel();
    }
  }
}

async function writeAll(
  file: FileHandle,
  header: SnapshotHeader,
  checkpoint: Checkpoint,
  over: () => boolean,
): Promise<number | undefined> {
  const packer = new BlockPacker();
  let length = 0;
  let underWay = 0;
  let written: Promise<void> = Promise.resolve();
  let failed: unknown;
  const put = async (parts: readonly Uint8Array[]): Promise<void> => {
    length += await writeParts(file, parts);
  };
  try {
    await put([encodeSnapshotHeader(header)]);
    for (;;) {
      if (over()) return undefined;
      if (failed !== undefined) throw failed;
      if (underWay >= underWayMax) await written;
      const chunk = checkpoint.next(chunkBytes);
      if (chunk === undefined) break;
      if (chunk.length > 0) {
        underWay++;
        const block = packer.block(chunk);
        written = Promise.all([block, written]).then(async ([parts]) => {
          await put(parts);
          underWay--;
        });
        written.catch((error: unknown) => {
          failed = error;
        });
      }
      await turn();
    }
    await written;
    await put([snapshotEnd()]);
    return length;
  } finally {
    await written.catch(() => {});
    packer.close();
  }
}
