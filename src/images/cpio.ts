/**
 * The initramfs: a cpio archive of the "newc" form (Linux Documentation/driver-api/early-userspace/
 * buffer-format.rst), uncompressed, since the guest's CPU is the dearest there is.
 *
 * The same tree gives the same bytes: members in the order of their paths, times 0, inodes counted.
 */
import type { Node, Tree } from './tree.ts';

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const S_IFCHR = 0o020000;

export function writeCpio(tree: Tree): Uint8Array {
  const parts: Uint8Array[] = [];
  let inode = 1;
  for (const [path, node] of tree.entries()) parts.push(...member(path.slice(1), node, inode++));
  parts.push(...member('TRAILER!!!', undefined, 0));
  return Buffer.concat(parts);
}

function member(name: string, node: Node | undefined, inode: number): Uint8Array[] {
  const { mode, uid, gid, data, major, minor } = attributes(node);
  const links = node === undefined || node.kind !== 'folder' ? 1 : 2;
  const fields = [inode, mode, uid, gid, links, 0, data.length, 0, 0, major, minor];
  const encoded = Buffer.from(`${name}\0`);
  const header = Buffer.from(
    `070701${[...fields, encoded.length, 0].map((field) => field.toString(16).padStart(8, '0')).join('')}`,
  );
  return [header, encoded, padding(header.length + encoded.length), data, padding(data.length)];
}

function attributes(node: Node | undefined): {
  mode: number;
  uid: number;
  gid: number;
  data: Uint8Array;
  major: number;
  minor: number;
} {
  const none = { mode: 0, uid: 0, gid: 0, data: new Uint8Array(0), major: 0, minor: 0 };
  switch (node?.kind) {
    case undefined:
      return none;
    case 'folder':
      return { ...none, mode: S_IFDIR | node.mode, uid: node.uid, gid: node.gid };
    case 'file':
      return { ...none, mode: S_IFREG | node.mode, uid: node.uid, gid: node.gid, data: node.bytes };
    case 'link':
      return { ...none, mode: S_IFLNK | 0o777, data: Buffer.from(node.target) };
    case 'device':
      return { ...none, mode: S_IFCHR | node.mode, major: node.major, minor: node.minor };
  }
}

function padding(length: number): Uint8Array {
  return new Uint8Array(-length & 3);
}
