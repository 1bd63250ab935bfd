/** What a bench needs beside Node: looked for before anything runs, and named with its packages. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const answers = (program: string): boolean => spawnSync(program, ['--version']).status === 0;

/** Debian package -> whether what it brings is there. */
const packages = {
  'qemu-system-misc': () => answers('qemu-system-riscv64'),
  'gcc-riscv64-unknown-elf': () => answers('riscv64-unknown-elf-gcc'),
  'gcc-riscv64-linux-gnu': () => answers('riscv64-linux-gnu-gcc'),
  'redis-tools': () => answers('redis-benchmark'),
  iproute2: () => spawnSync('ss', ['-V']).status === 0,
  'libc6-dev-riscv64-cross': () => existsSync('/usr/riscv64-linux-gnu/lib/libc.a'),
} satisfies Record<string, () => boolean>;

export type DebianPackage = keyof typeof packages;

export function need(...names: readonly DebianPackage[]): void {
  const missing = names.filter((name) => !packages[name]());
  if (missing.length === 0) return;
  const list = missing.join(' ');
  throw new Error(`This bench needs what is not installed here: apt-get install ${list}`);
}
