/** The compressions that Debian uses, whole buffers at a time or as streams. */
import { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import xz from 'xz-decompress';
import { UmbraError } from '../base/errors.ts';

const decompressors: Readonly<Record<string, (packed: Readable) => Readable>> = {
  '': (packed) => packed,
  '.gz': (packed) => packed.pipe(createGunzip()),
  '.zst': (packed) => packed.pipe(createZstdDecompress()),
  '.xz': (packed) =>
    Readable.fromWeb(new xz.XzReadableStream(Readable.toWeb(packed) as ReadableStream<Uint8Array>)),
};

/** The contents of `packed`; how it is compressed is told by the end of its name. */
export function decompress(packed: Uint8Array, name: string): Readable {
  const extension = /\.(gz|xz|zst)$/.exec(name)?.[0] ?? '';
  return decompressors[extension]!(Readable.from(pieces(packed)));
}

/** Small enough that whoever reads the stream is never far behind it. */
function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  const size = 1 << 18;
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function decompressAll(packed: Uint8Array, name: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of decompress(packed, name)) chunks.push(chunk);
  } catch (cause) {
    throw new UmbraError(
      'image-package-malformed',
      `${name} cannot be unpacked: ${(cause as Error).message}`,
      'Its hash is right, so the archive itself holds it: report this with the name of the package.',
      { cause },
    );
  }
  return Buffer.concat(chunks);
}
