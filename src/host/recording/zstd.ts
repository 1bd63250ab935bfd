/** Packing for recordings: zstd at its quickest, for blocks here and for snapshots on other threads. */
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { Packing } from '../../lockstep/recording-blocks.ts';

const options = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
const compress = promisify(zstdCompress);

export const zstd: Packing = {
  pack: (bytes) => zstdCompressSync(bytes, options),
  // One byte more than announced is allowed, so that a longer content shows.
  unpack: (bytes, length) => zstdDecompressSync(bytes, { maxOutputLength: length + 1 }),
};

export const packElsewhere = (bytes: Uint8Array): Promise<Uint8Array> => compress(bytes, options);
