/**
 * The guest of tests/guests/lan.c as an image that a center can offer: a few kilobytes, up in
 * milliseconds, with an address of its own on whatever LAN its host's uplink leads to.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { ImageDescription, ImageFile } from '../../src/images/image.ts';

export const lanImage = 'lan';
export const lanPort = 7;
/** The addresses of the VM with this number: the center makes the MAC from it. */
export const lanAddress = (number: number): string => `10.99.0.${number}`;
export const lanAddress6 = (number: number): string => `fd99::${number.toString(16)}`;

const guests = resolve(import.meta.dirname, '../guests');

/** Compiles the guest into the images of `home`. */
export function buildLanImage(home: string): void {
  const elf = join(home, 'lan.elf');
  mkdirSync(home, { recursive: true });
  const { status, stderr } = spawnSync(
    'riscv64-unknown-elf-gcc',
    [
      ...['-march=rv64gc_zba_zbb_zbs', '-mabi=lp64d', '-mcmodel=medany', '-O2', '-Wall', '-Wextra'],
      ...['-Werror', '-ffreestanding', '-nostdlib', '-static', '-Wl,--no-warn-rwx-segments'],
      ...['-T', join(guests, 'support/link.ld'), '-o', elf, join(guests, 'lan.c')],
    ],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`lan.c does not compile:\n${stderr}`);
  writeImage(home, lanImage, readFileSync(elf));
}

/** An image of a kernel without a disk. */
export function writeImage(home: string, name: string, kernel: Uint8Array): void {
  const folder = join(home, 'images', name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'kernel'), kernel);
  writeFileSync(join(folder, 'initrd'), new Uint8Array(512));
  const description: ImageDescription = {
    format: 1,
    name,
    summary: 'a kernel of the tests',
    architecture: 'riscv64',
    kernel: fileOf(folder, 'kernel'),
    initrd: fileOf(folder, 'initrd'),
    disks: [],
    append: '',
    memory: 16 << 20,
    ready: '',
    prompt: '',
    ports: [],
    recipe: '',
    release: { suite: '', version: '', date: '' },
    packages: [],
  };
  writeFileSync(join(folder, 'image.json'), JSON.stringify(description));
}

function fileOf(folder: string, path: string): ImageFile {
  const bytes = readFileSync(join(folder, path));
  return { path, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}
