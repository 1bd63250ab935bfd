/**
 * A machine's state as a file: the chunks of its checkpoint, each behind its length (4 bytes,
 * little-endian), an empty one at the end; all of it one zstd stream with a checksum.
 *
 * From: a checkpoint, while its machine may run on: it is read a little at a time, and compression
 * and writing happen on other threads. To: `readMachine`, which gives the machine as it was, or
 * throws. What is torn or altered is never taken for a machine.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { MalformedBytes } from '../../base/bytes.ts';
import { UmbraError } from '../../base/errors.ts';
import type { Checkpoint, Machine, MachineMaker } from '../../machine/machine.ts';

/** The machine stands still while so much is copied: well below a millisecond. */
const chunkBytes = 256 * 1024;
const lengthBytes = 4;
/** No chunk of any machine is longer. */
const chunkBytesMax = 64 * 1024 * 1024;

export interface Writing {
  /** Aborted: the file is of no use any more. */
  readonly signal?: AbortSignal;
  /** Bytes of RAM passed so far. */
  readonly progress?: (bytes: number) => void;
}

/** Resolves when the file is on the disk. Whatever comes of it, the checkpoint is over then. */
export async function writeMachine(
  path: string,
  checkpoint: Checkpoint,
  { signal, progress }: Writing = {},
): Promise<void> {
  const compress = createZstdCompress({
    params: {
      [constants.ZSTD_c_compressionLevel]: 1,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  });
  const blocks = Readable.from(blocksOf(checkpoint, progress), { highWaterMark: 2 });
  try {
    const file = createWriteStream(path, { flush: true });
    await pipeline(blocks, compress, file, signal === undefined ? {} : { signal });
  } finally {
    checkpoint.cancel();
  }
}

async function* blocksOf(
  checkpoint: Checkpoint,
  progress: Writing['progress'],
): AsyncGenerator<Buffer> {
  const total = checkpoint.bytesLeft;
  for (;;) {
    const chunk = checkpoint.next(chunkBytes);
    progress?.(total - checkpoint.bytesLeft);
    if (chunk === undefined || chunk.length > 0) {
      const block = Buffer.allocUnsafe(lengthBytes + (chunk?.length ?? 0));
      block.writeUInt32LE(chunk?.length ?? 0, 0);
      if (chunk !== undefined) block.set(chunk, lengthBytes);
      yield block;
    }
    if (chunk === undefined) return;
    // The machine has its turn between two chunks.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/**
 * Twin of `writeMachine`.
 * @param bytes the file's size when it was whole: a cut may take nothing but the checksum
 * @throws machine-file-damaged
 */
export async function readMachine(
  path: string,
  bytes: number,
  maker: MachineMaker,
): Promise<Machine> {
  const restore = maker.restore();
  let waiting: Buffer = Buffer.alloc(0);
  let complete = false;
  try {
    const { size } = await stat(path);
    if (size !== bytes) throw new MalformedBytes(`it has ${size} of ${bytes} bytes`);
    await pipeline(
      createReadStream(path),
      createZstdDecompress({ chunkSize: 1 << 20 }),
      async (source) => {
        for await (const piece of source as AsyncIterable<Buffer>) {
          waiting = waiting.length === 0 ? piece : Buffer.concat([waiting, piece]);
          for (;;) {
            if (waiting.length < lengthBytes) break;
            if (complete) throw new MalformedBytes('bytes behind its end');
            const length = waiting.readUInt32LE(0);
            if (length > chunkBytesMax) throw new MalformedBytes(`a chunk of ${length} bytes`);
            if (waiting.length < lengthBytes + length) break;
            if (length === 0) complete = true;
            else restore.add(waiting.subarray(lengthBytes, lengthBytes + length));
            waiting = waiting.subarray(lengthBytes + length);
          }
        }
      },
    );
    if (!complete || waiting.length > 0) throw new MalformedBytes('it has no end');
    return restore.finish();
  } catch (cause) {
    if (cause instanceof UmbraError) throw cause;
    throw new UmbraError(
      'machine-file-damaged',
      `The saved machine in ${path} cannot be read: ${(cause as Error).message}.`,
      'If the disk cannot be repaired, power the VM on without it: --discard-state.',
      { cause },
    );
  }
}
