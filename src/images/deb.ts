/**
 * A Debian package, unpacked: `data.tar` of the .deb into a tree (deb(5)).
 *
 * Maintainer scripts do not run: they would need the guest's own CPU, and root. What a package
 * would have configured is the recipe's to write.
 */
import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract, type Header } from 'tar-stream';
import { UmbraError } from '../base/errors.ts';
import { readAr } from './ar.ts';
import { decompress } from './compression.ts';
import type { Tree } from './tree.ts';

/** Adds those files of the package to the tree whose path `wants` accepts. */
export async function unpackDeb(
  path: string,
  title: string,
  tree: Tree,
  wants: (path: string) => boolean = () => true,
): Promise<void> {
  try {
    const members = readAr(await readFile(path));
    const data = members.find((member) => member.name.startsWith('data.tar'));
    if (data === undefined) throw new Error('it has no data.tar');
    const tar = extract();
    // Reading drives the pipeline; its failure ends the reading too.
    await Promise.all([
      pipeline(decompress(data.bytes, data.name), tar),
      unpackTar(tar, tree, wants),
    ]);
  } catch (cause) {
    throw new UmbraError(
      'image-package-malformed',
      `${title} cannot be unpacked: ${(cause as Error).message}`,
      'Its hash is right, so the archive itself holds it: report this with the name of the package.',
      { cause },
    );
  }
}

async function unpackTar(
  tar: AsyncIterable<Readable & { header: Header }>,
  tree: Tree,
  wants: (path: string) => boolean,
): Promise<void> {
  for await (const entry of tar) {
    const { header } = entry;
    const path = `/${header.name.replace(/^\.?\/*/, '').replace(/\/+$/, '')}`;
    if (path === '/' || !wants(path)) {
      entry.resume();
      continue;
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of entry) chunks.push(chunk);
    add(tree, path, header, Buffer.concat(chunks));
  }
}

function add(tree: Tree, path: string, header: Header, bytes: Uint8Array): void {
  const { mode, uid, gid } = header;
  switch (header.type) {
    case 'directory':
      return tree.folder(path, mode, uid, gid);
    case 'file':
      return tree.file(path, bytes, mode, uid, gid);
    case 'symlink':
      return tree.link(path, header.linkname!);
    case 'link': {
      const first = tree.get(`/${header.linkname!.replace(/^\.?\/*/, '')}`);
      if (first?.kind === 'file') tree.file(path, first.bytes, mode, uid, gid);
      return;
    }
    default:
      // Devices are devtmpfs's affair.
      return;
  }
}
