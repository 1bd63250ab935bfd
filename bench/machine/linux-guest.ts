/**
 * A guest that is an image of Umbra's with a first program of the bench's own: its files come in a
 * second cpio archive behind the image's, which Linux unpacks over it. Debian's kernel and packages
 * stay what they are, and every side boots the same bytes.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeCpio } from '../../src/images/cpio.ts';
import type { Image } from '../../src/images/image.ts';
import { Tree } from '../../src/images/tree.ts';
import type { Guest } from './guest.ts';
import { workplace } from './workplace.ts';

export interface LinuxGuests {
  /** @param init what follows `rdinit=` on the kernel's command line */
  guest(name: string, init: string): Guest;
}

/** @param files absolute path in the guest -> bytes; all may be executed */
export async function linuxGuests(
  image: Image,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<LinuxGuests> {
  const tree = new Tree();
  for (const [path, bytes] of files) tree.file(path, bytes, 0o755);
  const initrd = join(workplace, `${image.name}.initrd`);
  await writeFile(initrd, Buffer.concat([await readFile(image.initrdPath), writeCpio(tree)]));
  return {
    guest: (name, init) => ({
      name,
      kernel: image.kernelPath,
      initrd,
      append: `${image.append} rdinit=${init}`,
      memoryMb: image.memory / 2 ** 20,
    }),
  };
}
