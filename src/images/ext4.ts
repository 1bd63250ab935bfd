/**
 * An empty ext4 file system, written without mkfs and without root: the template of a data disk.
 *
 * Layout and fields follow Linux Documentation/filesystems/ext4/. Chosen are 4 KiB blocks, extents,
 * a journal of 4 MiB, and no checksums of metadata, so nothing needs to be initialised but what is
 * returned here; everything between the pieces is zero, and the file stays sparse. Same arguments,
 * same bytes: no clock, and UUID and hash seed come from `seed`.
 */
import { createHash } from 'node:crypto';
import { assert } from '../base/assert.ts';

export interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

const blockSize = 4096;
const blocksPerGroup = blockSize * 8;
const inodeSize = 256;
/** One for every 16 KiB, as mke2fs has it. */
const inodesPerGroup = 8192;
const inodeTableBlocks = (inodesPerGroup * inodeSize) / blockSize;
const descriptorSize = 32;
const journalBlocks = 1024;

const ROOT_INODE = 2;
const JOURNAL_INODE = 8;
const LOST_FOUND_INODE = 11;
const usedInodes = 11;

const EXT4_MAGIC = 0xef53;
const EXT4_EXTENTS_FL = 0x80000;
const EXTENT_MAGIC = 0xf30a;
const JBD2_MAGIC = 0xc03b3998;
const JBD2_SUPERBLOCK_V2 = 4;

const featureCompat = 0x4 | 0x8 | 0x20; // has_journal, ext_attr, dir_index
const featureIncompat = 0x2 | 0x40; // filetype, extents
const featureReadOnlyCompat = 0x1 | 0x2 | 0x20 | 0x40; // sparse_super, large_file, dir_nlink, extra_isize

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;

/** Where the parts of one group lie, in blocks from the start of the disk. */
interface Group {
  readonly index: number;
  readonly first: number;
  readonly blocks: number;
  readonly hasSuperblock: boolean;
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  /** The first block behind the metadata. */
  readonly data: number;
}

/** The pieces of an empty file system of `size` bytes, 16 MiB or more, by rising offset. */
export function emptyExt4(size: number, label: string, seed: string): Piece[] {
  assert(size >= 16 * 2 ** 20 && label.length <= 16, 'no ext4 of this size or label');
  const groups = layOut(Math.floor(size / blockSize));
  const root = groups[0]!.data;
  const lostFound = root + 1;
  const journal = lostFound + 1;
  const used = journal + journalBlocks;

  const superblock = writeSuperblock(groups, used, label, seed, journal);
  const descriptors = writeDescriptors(groups, used);
  const pieces: Piece[] = [];
  const put = (block: number, bytes: Uint8Array, within = 0): void => {
    pieces.push({ offset: block * blockSize + within, bytes });
  };
  for (const group of groups) {
    if (group.hasSuperblock) {
      put(group.first, numbered(superblock, group.index), group.index === 0 ? 1024 : 0);
      put(group.first + 1, descriptors);
    }
    put(group.blockBitmap, blockBitmap(group, group.index === 0 ? used : group.data));
    put(group.inodeBitmap, inodeBitmap(group.index === 0 ? usedInodes : 0));
    if (group.index === 0) put(group.inodeTable, firstInodes(root, lostFound, journal));
  }
  put(root, folder(ROOT_INODE, ROOT_INODE, [['lost+found', LOST_FOUND_INODE]]));
  put(lostFound, folder(LOST_FOUND_INODE, ROOT_INODE, []));
  put(journal, journalSuperblock());
  return pieces.sort((a, b) => a.offset - b.offset);
}

function layOut(blocks: number): Group[] {
  let count = Math.ceil(blocks / blocksPerGroup);
  const metadata = 2 + inodeTableBlocks + 1 + Math.ceil((count * descriptorSize) / blockSize);
  // A last group too small for its own metadata and some data is left out.
  if (blocks - (count - 1) * blocksPerGroup < metadata + 64) count--;
  const descriptorBlocks = Math.ceil((count * descriptorSize) / blockSize);
  return Array.from({ length: count }, (_, index) => {
    const first = index * blocksPerGroup;
    const hasSuperblock = index <= 1 || [3, 5, 7].some((base) => isPower(index, base));
    const blockBitmap = first + (hasSuperblock ? 1 + descriptorBlocks : 0);
    return {
      index,
      first,
      blocks: Math.min(blocksPerGroup, blocks - first),
      hasSuperblock,
      blockBitmap,
      inodeBitmap: blockBitmap + 1,
      inodeTable: blockBitmap + 2,
      data: blockBitmap + 2 + inodeTableBlocks,
    };
  });
}

function isPower(value: number, base: number): boolean {
  while (value > 1 && value % base === 0) value /= base;
  return value === 1;
}

/** Blocks of a group that are in use; group 0 is used up to `used`. */
function usedBlocks(group: Group, used: number): number {
  return (group.index === 0 ? used : group.data) - group.first;
}

function writeSuperblock(
  groups: readonly Group[],
  used: number,
  label: string,
  seed: string,
  journal: number,
): Uint8Array {
  const blocks = groups.reduce((sum, group) => sum + group.blocks, 0);
  const free = blocks - groups.reduce((sum, group) => sum + usedBlocks(group, used), 0);
  const inodes = groups.length * inodesPerGroup;
  const identity = createHash('sha256').update(seed).digest();
  const bytes = new Uint8Array(1024);
  const view = new DataView(bytes.buffer);
  const u32 = (offset: number, value: number): void => view.setUint32(offset, value, true);
  const u16 = (offset: number, value: number): void => view.setUint16(offset, value, true);
  u32(0x00, inodes);
  u32(0x04, blocks);
  u32(0x08, Math.floor(blocks / 20)); // reserved for root
  u32(0x0c, free);
  u32(0x10, inodes - usedInodes);
  u32(0x18, 2); // block size: 2^(10 + 2)
  u32(0x1c, 2); // cluster size, the same
  u32(0x20, blocksPerGroup);
  u32(0x24, blocksPerGroup);
  u32(0x28, inodesPerGroup);
  u16(0x36, 0xffff); // no check is due after any number of mounts
  u16(0x38, EXT4_MAGIC);
  u16(0x3a, 1); // clean
  u16(0x3c, 1); // on errors: continue
  u32(0x4c, 1); // dynamic revision
  u32(0x54, usedInodes); // first inode for files
  u16(0x58, inodeSize);
  u32(0x5c, featureCompat);
  u32(0x60, featureIncompat);
  u32(0x64, featureReadOnlyCompat);
  bytes.set(identity.subarray(0, 16), 0x68);
  bytes[0x6e] = (bytes[0x6e]! & 0x0f) | 0x80; // a UUID of version 8, RFC 9562
  bytes[0x70] = (bytes[0x70]! & 0x3f) | 0x80;
  bytes.set(new TextEncoder().encode(label), 0x78);
  u32(0xe0, JOURNAL_INODE);
  bytes.set(identity.subarray(16, 32), 0xec); // seed of the directory hash
  bytes[0xfc] = 1; // half MD4
  bytes[0xfd] = 1; // the journal inode is backed up below
  // Its 15 words of extents, then the high and the low half of its size.
  bytes.set(extentTree(journal, journalBlocks), 0x10c);
  u32(0x10c + 64, journalBlocks * blockSize);
  u16(0x15c, 32); // extra inode bytes, wanted and needed
  u16(0x15e, 32);
  u32(0x160, 0x1); // signed directory hash
  return bytes;
}

/** A copy of the superblock says in which group it is. */
function numbered(superblock: Uint8Array, group: number): Uint8Array {
  const copy = superblock.slice();
  new DataView(copy.buffer).setUint16(0x5a, group, true);
  return copy;
}

function writeDescriptors(groups: readonly Group[], used: number): Uint8Array {
  const bytes = new Uint8Array(groups.length * descriptorSize);
  const view = new DataView(bytes.buffer);
  for (const group of groups) {
    const at = group.index * descriptorSize;
    const inodes = group.index === 0 ? usedInodes : 0;
    view.setUint32(at, group.blockBitmap, true);
    view.setUint32(at + 4, group.inodeBitmap, true);
    view.setUint32(at + 8, group.inodeTable, true);
    view.setUint16(at + 12, group.blocks - usedBlocks(group, used), true);
    view.setUint16(at + 14, inodesPerGroup - inodes, true);
    view.setUint16(at + 16, group.index === 0 ? 2 : 0, true); // folders
  }
  return bytes;
}

/** Set for the metadata, for what is used behind it, and for what lies beyond the disk. */
function blockBitmap(group: Group, used: number): Uint8Array {
  const bits = new Uint8Array(blockSize);
  setBits(bits, 0, used - group.first);
  setBits(bits, group.blocks, blocksPerGroup);
  return bits;
}

function inodeBitmap(used: number): Uint8Array {
  const bits = new Uint8Array(blockSize);
  setBits(bits, 0, used);
  setBits(bits, inodesPerGroup, blockSize * 8);
  return bits;
}

function setBits(bits: Uint8Array, from: number, to: number): void {
  for (let bit = from; bit < to; bit++) bits[bit >> 3]! |= 1 << (bit & 7);
}

function firstInodes(root: number, lostFound: number, journal: number): Uint8Array {
  const table = new Uint8Array(blockSize);
  const put = (inode: number, bytes: Uint8Array): void => table.set(bytes, (inode - 1) * inodeSize);
  put(ROOT_INODE, inode(S_IFDIR | 0o755, 3, root, 1));
  put(JOURNAL_INODE, inode(S_IFREG | 0o600, 1, journal, journalBlocks));
  put(LOST_FOUND_INODE, inode(S_IFDIR | 0o700, 2, lostFound, 1));
  return table;
}

function inode(mode: number, links: number, start: number, blocks: number): Uint8Array {
  const bytes = new Uint8Array(inodeSize);
  const view = new DataView(bytes.buffer);
  view.setUint16(0x00, mode, true);
  view.setUint32(0x04, blocks * blockSize, true);
  view.setUint16(0x1a, links, true);
  view.setUint32(0x1c, (blocks * blockSize) / 512, true);
  view.setUint32(0x20, EXT4_EXTENTS_FL, true);
  bytes.set(extentTree(start, blocks), 0x28);
  view.setUint16(0x80, 32, true); // extra bytes
  return bytes;
}

/** A tree of one leaf with one extent. */
function extentTree(start: number, blocks: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(60));
  view.setUint16(0, EXTENT_MAGIC, true);
  view.setUint16(2, 1, true); // entries
  view.setUint16(4, 4, true); // room for
  view.setUint16(16, blocks, true);
  view.setUint32(20, start, true);
  return new Uint8Array(view.buffer);
}

function folder(self: number, parent: number, entries: readonly [string, number][]): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = new DataView(bytes.buffer);
  const all: readonly (readonly [string, number])[] = [['.', self], ['..', parent], ...entries];
  let at = 0;
  for (const [index, [name, inode]] of all.entries()) {
    const isLast = index === all.length - 1;
    const length = isLast ? blockSize - at : (8 + name.length + 3) & ~3;
    view.setUint32(at, inode, true);
    view.setUint16(at + 4, length, true);
    bytes[at + 6] = name.length;
    bytes[at + 7] = 2; // a folder
    bytes.set(new TextEncoder().encode(name), at + 8);
    at += length;
  }
  return bytes;
}

/** An empty journal; its fields are big-endian. */
function journalSuperblock(): Uint8Array {
  const view = new DataView(new ArrayBuffer(1024));
  view.setUint32(0x00, JBD2_MAGIC);
  view.setUint32(0x04, JBD2_SUPERBLOCK_V2);
  view.setUint32(0x0c, blockSize);
  view.setUint32(0x10, journalBlocks);
  view.setUint32(0x14, 1); // first block of the log
  view.setUint32(0x18, 1); // first sequence number
  view.setUint32(0x40, 1); // file systems that use it
  return new Uint8Array(view.buffer);
}
