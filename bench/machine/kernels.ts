/**
 * The compute kernels of bench/guests/bare, with the rounds that keep QEMU's TCG busy for about two
 * seconds on a machine on which it does 2000 million instructions a second.
 */
import { compileKernel } from './compile.ts';
import type { Guest } from './guest.ts';
import type { DebianPackage } from './needs.ts';
import { workplace } from './workplace.ts';

export const kernelPackages: readonly DebianPackage[] = ['gcc-riscv64-unknown-elf'];

export interface Kernel {
  readonly name: string;
  readonly rounds: number;
}

export const kernels: readonly Kernel[] = [
  { name: 'alu', rounds: 300_000_000 },
  { name: 'crc', rounds: 5_200 },
  { name: 'memory', rounds: 7_000 },
  { name: 'matrix', rounds: 2_600 },
  { name: 'list', rounds: 800_000 },
  { name: 'interpreter', rounds: 85 },
  { name: 'quicksort', rounds: 850 },
  { name: 'fibonacci', rounds: 3_500 },
  { name: 'float', rounds: 1_100_000 },
  { name: 'fma', rounds: 550 },
];

/** Compiled at once: a kernel in S-mode that any `virt` board boots behind its firmware. */
export const kernelGuest = ({ name, rounds }: Kernel, folder = workplace): Guest => ({
  name,
  kernel: compileKernel(name, rounds, folder),
  memoryMb: 128,
});
