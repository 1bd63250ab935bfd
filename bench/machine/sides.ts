/**
 * The sides of a comparison: Umbra as `umbra run` is for everybody, QEMU's TCG, and QEMU's own
 * deterministic mode. All have one CPU, the same memory, a network card behind user-mode networking
 * and an entropy device.
 */
import { resolve } from 'node:path';
import type { Command } from './console-run.ts';
import type { Guest } from './guest.ts';

export const sides = ['umbra', 'tcg', 'icount'] as const;
export type Side = (typeof sides)[number];

const umbra = resolve(import.meta.dirname, '../../src/cli/main.ts');

/** The command with its report, `{ instructions, seconds, ... }`, on standard output. */
export function umbraCommand(name: 'run' | 'replay', ...args: readonly string[]): Command {
  const console = 'stderr';
  return { program: process.execPath, args: [umbra, name, ...args, '--json'], console };
}

/** @param more options of `umbra run` */
export function umbraRun(guest: Guest, ...more: readonly string[]): Command {
  return umbraCommand('run', '--memory', `${guest.memoryMb}M`, ...bootFiles(guest, '--'), ...more);
}

function qemu(guest: Guest, ...more: readonly string[]): Command {
  return {
    program: 'qemu-system-riscv64',
    args: [
      ...['-machine', 'virt', '-smp', '1', '-m', `${guest.memoryMb}M`],
      ...['-netdev', 'user,id=network', '-device', 'virtio-net-device,netdev=network'],
      ...['-device', 'virtio-rng-device', '-display', 'none', '-no-reboot'],
      ...['-serial', 'stdio', '-monitor', 'none', '-accel', 'tcg', ...bootFiles(guest, '-')],
      ...more,
    ],
    console: 'stdout',
  };
}

function bootFiles({ kernel, initrd, append }: Guest, dash: '-' | '--'): string[] {
  const files = { kernel, initrd, append };
  return Object.entries(files).flatMap(([option, value]) =>
    value === undefined ? [] : [dash + option, value],
  );
}

export const commandOf: Readonly<Record<Side, (guest: Guest) => Command>> = {
  umbra: (guest) => umbraRun(guest),
  tcg: (guest) => qemu(guest),
  icount: (guest) => qemu(guest, '-icount', 'shift=0,sleep=off'),
};
