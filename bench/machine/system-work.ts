/**
 * What an operating system is busy with, done by a program of our own on Debian's kernel:
 * bench/guests/linux/system.c as the first process of the image `tiny`.
 */
import { readFile } from 'node:fs/promises';
import { tinyImage } from '../../tests/machine/tiny.ts';
import { compileLinuxProgram } from './compile.ts';
import type { Guest } from './guest.ts';
import { linuxGuests } from './linux-guest.ts';
import type { DebianPackage } from './needs.ts';
import { workplace } from './workplace.ts';

export const systemPackages: readonly DebianPackage[] = [
  'gcc-riscv64-linux-gnu',
  'libc6-dev-riscv64-cross',
];

export interface SystemWork {
  readonly name: string;
  readonly rounds: number;
}

/** Rounds that keep QEMU's TCG busy for a second or two. */
export const systemWork: readonly SystemWork[] = [
  { name: 'system-calls', rounds: 1_000_000 },
  { name: 'page-faults', rounds: 15 },
  { name: 'context-switches', rounds: 5_000 },
  { name: 'fork', rounds: 800 },
  { name: 'exec', rounds: 150 },
];

/** Boots, does nothing and powers off: what the others do beside their work. */
export const bootOnly: SystemWork = { name: 'nothing', rounds: 0 };

/** @returns what makes a guest of each */
export async function systemGuests(): Promise<(work: SystemWork) => Guest> {
  const files = new Map<string, Uint8Array>();
  for (const name of ['system', 'child']) {
    files.set(`/bench/${name}`, await readFile(compileLinuxProgram(name, workplace)));
  }
  const guests = await linuxGuests(await tinyImage(), files);
  return ({ name, rounds }) => guests.guest(name, `/bench/system -- ${name} ${rounds}`);
}
