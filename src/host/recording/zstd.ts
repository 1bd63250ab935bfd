/** Packing for recordings: zstd at its quickest, for blocks here and for what is long on another thread. */
import {
  constants,
  crc32,
  createZstdCompress,
  zstdCompressSync,
  zstdDecompressSync,
} from 'node:zlib';
import {
  blockParts,
  lengthOf,
  type Packing,
  packedBytesMin,
} from '../../lockstep/recording-blocks.ts';

const level = { [constants.ZSTD_c_compressionLevel]: 1 };

export const zstd: Packing = {
  pack: (bytes) => zstdCompressSync(bytes, { params: level }),
  // One byte more than announced is allowed, so that a longer content shows.
  unpack: (bytes, length) => zstdDecompressSync(bytes, { maxOutputLength: length + 1 }),
};

/** Packed content comes in pieces of this, so that one piece of memory serves many blocks. */
const pieceBytes = 1 << 18;
/** A window of 128 KiB. Beyond it blocks repeat little, and every packer keeps as much. */
const windowLog = 17;

/** Content that does not become so much smaller is not worth the time, where time counts. */
const worthShare = 2 / 3;
/** Behind such a block so many are not tried. */
const untriedMax = 15;

/**
 * Makes blocks of a file (lockstep/recording-blocks.ts), one after the other, on another thread. One
 * context serves all of them: to make one costs as much as to pack a hundred kilobytes.
 */
export class BlockPacker {
  readonly #stream = createZstdCompress({
    chunkSize: pieceBytes,
    params: { ...level, [constants.ZSTD_c_windowLog]: windowLog },
  });
  #pieces: Uint8Array[] = [];
  #last: Promise<unknown> = Promise.resolve();
  readonly #isSparing: boolean;
  #untried = 0;

  /** @param sparing of what hardly packs, such as frames of encrypted data, only samples are tried */
  constructor({ sparing = false } = {}) {
    this.#isSparing = sparing;
    this.#stream.on('data', (piece: Uint8Array) => this.#pieces.push(piece));
    // Whoever waits for a block hears of it.
    this.#stream.on('error', () => {});
  }

  /** @returns the block's parts, to be written behind each other */
  block(content: Uint8Array): Promise<readonly Uint8Array[]> {
    const block = this.#last.then(async () =>
      blockParts(content, await this.#packed(content), crc),
    );
    this.#last = block.catch(() => {});
    return block;
  }

  async #packed(content: Uint8Array): Promise<readonly Uint8Array[]> {
    if (content.length < packedBytesMin) return [content];
    if (this.#untried > 0) {
      this.#untried--;
      return [content];
    }
    const packed = await this.#pack(content);
    const isWorth = lengthOf(packed) <= worthShare * content.length;
    if (this.#isSparing && !isWorth) this.#untried = untriedMax;
    return packed;
  }

  close(): void {
    this.#stream.destroy();
  }

  #pack(content: Uint8Array): Promise<readonly Uint8Array[]> {
    return new Promise((resolve, reject) => {
      this.#stream.write(content, (error) => error && reject(error));
      // The end of a frame; the next content begins another one.
      this.#stream.flush(constants.ZSTD_e_end, () => {
        resolve(this.#pieces);
        this.#pieces = [];
      });
    });
  }
}

const crc = (bytes: Uint8Array, previous: number): number => crc32(bytes, previous);
