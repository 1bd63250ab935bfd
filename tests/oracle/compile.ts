/**
 * The guests of tests/guests/, compiled for RV64GC without any library: `NAME.c` with the support
 * that all share, linked to the first byte of RAM.
 */
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';

const compiler = 'riscv64-unknown-elf-gcc';
const guests = resolve(import.meta.dirname, '../guests');
const support = join(guests, 'support');

const flags = [
  ...['-march=rv64gc_zba_zbb_zbs', '-mabi=lp64d', '-mcmodel=medany'],
  ...['-O2', '-Wall', '-Wextra', '-Werror'],
  ...['-ffreestanding', '-nostdlib', '-static', '-T', join(support, 'link.ld')],
];

export const compilerMissing: string | false =
  spawnSync(compiler, ['--version']).status === 0 ? false : `${compiler} is not installed`;

/** Returns the path of the ELF file, in `folder`. */
export function compileGuest(name: string, folder: string): string {
  const elf = join(folder, `${name}.elf`);
  const sources = [join(support, 'start.S'), join(support, 'support.c'), join(guests, `${name}.c`)];
  const { status, stderr } = spawnSync(compiler, [...flags, '-o', elf, ...sources], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${name}.c does not compile:\n${stderr}`);
  return elf;
}
