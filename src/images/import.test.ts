/**
 * Own kernels and disks as images: the very bytes of raw files, holes and all; qcow2 by qemu-img
 * where it is installed; and what is refused, with nothing left behind.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import type { UmbraError } from '../base/errors.ts';
import { listImages, loadImage } from './image.ts';
import { type ImportOptions, importImage, type OwnFiles } from './import.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbra-import-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let home: string;
let homes = 0;
beforeEach(() => {
  home = join(folder, `home-${homes++}`);
});

function file(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const kernel = file('vmlinux', 'a kernel');
const make = (files: Partial<OwnFiles> = {}, options: Partial<ImportOptions> = {}) =>
  importImage('own', { kernel, disks: [], ...files }, { home, ...options });

/** What is in the home's folder of images, the lock aside. */
const leftBehind = (): string[] =>
  readdirSync(join(home, 'images')).filter((name) => name !== '.lock');

/** 8 MiB with a little at the beginning, in the middle and at the end; the rest are holes. */
function sparseDisk(name: string): string {
  const path = file(name, 'begins');
  const bytes = Buffer.alloc(8 << 20);
  for (const [text, at] of [
    ['begins', 0],
    ['middle', (4 << 20) - 3],
    ['ends', bytes.length - 4],
  ] as const) {
    bytes.write(text, at);
  }
  writeFileSync(path, bytes);
  return path;
}

test('raw files are in it as they are, and holes take no room', async () => {
  const disk = sparseDisk('disk.raw');
  const initrd = file('initrd', 'a RAM disk');
  const told: string[] = [];
  const { image, digest } = await make(
    { initrd, disks: [disk, file('second', Buffer.alloc(512, 7))] },
    { append: 'root=/dev/vda', memory: 64 << 20, onProgress: (path) => told.push(path) },
  );
  assert.deepEqual(
    [image.name, image.append, image.memory, image.release],
    ['own', 'root=/dev/vda', 64 << 20, undefined],
  );
  assert.deepEqual(readFileSync(image.kernelPath), readFileSync(kernel));
  assert.deepEqual(readFileSync(image.initrdPath), readFileSync(initrd));
  assert.ok(readFileSync(image.diskPaths[0]!).equals(readFileSync(disk)));
  assert.deepEqual(
    image.disks.map(({ path, bytes }) => [path, bytes]),
    [
      ['disk-0.raw', 8 << 20],
      ['disk-1.raw', 512],
    ],
  );
  assert.ok(statSync(image.diskPaths[0]!).blocks * 512 < 1 << 20, 'a hole has become zeros');
  assert.ok(told.includes(disk));
  const text = readFileSync(join(image.folder, 'image.json'));
  assert.equal(digest, createHash('sha256').update(text).digest('hex'));
  assert.deepEqual(
    (await listImages(home)).map(({ name }) => name),
    ['own'],
  );
});

test('the same files have the same digest; without an initial RAM disk it is empty', async () => {
  const first = await make();
  home = join(folder, 'another-home');
  const second = await make();
  assert.equal(first.digest, second.digest);
  assert.equal((await loadImage(home, 'own')).initrd.bytes, 0);
  home = join(folder, 'a-third-home');
  assert.notEqual((await make({}, { append: 'quiet' })).digest, first.digest);
});

test('an image that is there stays', async () => {
  await make();
  await assert.rejects(make({ kernel: file('other', 'x') }), { code: 'image-exists' });
  assert.equal(readFileSync((await loadImage(home, 'own')).kernelPath, 'utf8'), 'a kernel');
  await assert.rejects(importImage('../own', { kernel, disks: [] }, { home }), {
    code: 'image-name',
  });
});

test('what cannot be a disk is refused, and nothing is left', async () => {
  const refused: [string, string, RegExp][] = [
    [file('odd', Buffer.alloc(513)), 'disk-size', /513 bytes/],
    [file('empty', ''), 'disk-size', /0 bytes/],
    [join(folder, 'nowhere'), 'unreadable', /disk .*nowhere.*ENOENT/],
    [folder, 'unreadable', /no file/],
    [file('vmdk', Buffer.alloc(512).fill('KDMV', 0, 4)), 'disk-format-unknown', /VMDK/],
    [file('gzip', Buffer.from('1f8b0800', 'hex')), 'disk-format-unknown', /gzip/],
    [file('xz', Buffer.from('fd377a585a000000', 'hex')), 'disk-format-unknown', /xz/],
  ];
  const vdi = Buffer.alloc(512);
  vdi.writeUInt32LE(0xbeda107f, 64);
  refused.push([file('vdi', vdi), 'disk-format-unknown', /VDI/]);
  for (const [disk, code, says] of refused) {
    await assert.rejects(make({ disks: [disk] }), (error: UmbraError) => {
      assert.equal(error.code, code, disk);
      assert.match(error.message, says);
      assert.notEqual(error.remedy, '');
      return true;
    });
    assert.deepEqual(leftBehind(), [], disk);
  }
  await assert.rejects(make({ kernel: join(folder, 'nowhere') }), {
    code: 'unreadable',
    message: /the kernel/,
  });
});

test('an import that is cancelled leaves nothing', async () => {
  const interrupted = new AbortController();
  const onProgress = (path: string): void => {
    if (path !== kernel) interrupted.abort();
  };
  const disks = [sparseDisk('cancelled.raw')];
  const work = make({ disks }, { onProgress, signal: interrupted.signal });
  await assert.rejects(work, { code: 'image-import-cancelled' });
  assert.deepEqual(leftBehind(), []);
});

/** The header of a qcow2, as far as it is looked at before qemu-img is. */
function qcow2Header(change: (header: Buffer) => void): Buffer {
  const header = Buffer.alloc(512);
  header.write('QFI\xfb', 0, 'latin1');
  header.writeUInt32BE(3, 4);
  change(header);
  return header;
}

test('a qcow2 without qemu-img says what is missing', async () => {
  const disk = file(
    'lonely.qcow2',
    qcow2Header(() => {}),
  );
  const work = make({ disks: [disk] }, { qemuImg: join(folder, 'no-qemu-img') });
  await assert.rejects(work, (error: UmbraError) => {
    assert.equal(error.code, 'qemu-img-missing');
    assert.match(error.message, /lonely\.qcow2 is a qcow2.*cannot be run here \(ENOENT\)/);
    assert.match(error.remedy, /apt install qemu-utils.*raw/);
    return true;
  });
  assert.deepEqual(leftBehind(), []);
});

test('a qcow2 that would read other files of this machine is refused', async () => {
  const backing = qcow2Header((header) => header.writeBigUInt64BE(104n, 8));
  const data = qcow2Header((header) => header.writeBigUInt64BE(4n, 72));
  for (const [bytes, says] of [
    [backing, /backing file/],
    [data, /data file/],
  ] as const) {
    const work = make({ disks: [file('overlay.qcow2', bytes)] });
    await assert.rejects(work, { code: 'disk-not-whole', message: says });
  }
});

const qemuImg = '/usr/bin/qemu-img';
const skip = existsSync(qemuImg) ? false : 'qemu-img is not installed (qemu-utils)';

test('a qcow2 has the bytes of the disk it was made from', { skip }, async () => {
  const raw = sparseDisk('source.raw');
  const qcow2 = join(folder, 'source.qcow2');
  const args = ['convert', '-c', '-f', 'raw', '-O', 'qcow2', raw, qcow2];
  assert.equal(spawnSync(qemuImg, args).status, 0);
  assert.ok(statSync(qcow2).size < 1 << 20);
  const { image } = await make({ disks: [qcow2] });
  assert.ok(readFileSync(image.diskPaths[0]!).equals(readFileSync(raw)));
  assert.equal(image.disks[0]!.bytes, 8 << 20);
  // Cut behind its header: qemu-img's own words, and nothing left.
  truncateSync(qcow2, 512);
  home = join(folder, 'damaged-home');
  await assert.rejects(make({ disks: [qcow2] }), { code: 'disk-not-converted' });
  assert.deepEqual(leftBehind(), []);
});
