/** Guests from C: kernels without any library, and static programs for Linux. */
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';

const guests = resolve(import.meta.dirname, '../guests');
const bare = (...path: string[]): string => join(guests, 'bare', ...path);

const warnings = ['-Wall', '-Wextra', '-Werror'];

/**
 * `-march`: what Debian's own programs are compiled for. The other flags see to it that a kernel's
 * loops stay what they are: neither calls of memcpy nor fused operations that it has not asked for.
 */
const bareFlags = [
  ...['-march=rv64gc', '-mabi=lp64d', '-mcmodel=medany', '-O2', ...warnings],
  ...['-ffreestanding', '-fno-tree-loop-distribute-patterns', '-ffp-contract=off'],
  ...['-fno-math-errno', '-nostdlib', '-static', '-T', bare('link.ld')],
];

/** @returns the path of the kernel, an ELF file in `folder` */
export function compileKernel(name: string, rounds: number, folder: string): string {
  const defines = [`-DNAME="${name}"`, `-DROUNDS=${rounds}`];
  const sources = [bare('start.S'), bare('boot.c'), bare('kernels', `${name}.c`)];
  const elf = join(folder, `${name}.elf`);
  compile('riscv64-unknown-elf-gcc', [...bareFlags, ...defines, ...sources, '-o', elf]);
  return elf;
}

/** @returns the path of the program, in `folder` */
export function compileLinuxProgram(name: string, folder: string): string {
  const program = join(folder, name);
  const source = join(guests, 'linux', `${name}.c`);
  compile('riscv64-linux-gnu-gcc', ['-O2', ...warnings, '-static', source, '-o', program]);
  return program;
}

function compile(compiler: string, args: readonly string[]): void {
  const { error, status, stderr } = spawnSync(compiler, args, { encoding: 'utf8' });
  if (error) throw new Error(`${compiler} cannot be started: ${error.message}`);
  if (status !== 0) throw new Error(`a guest of the bench does not compile:\n${stderr}`);
}
