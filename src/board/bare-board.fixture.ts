/** Boards without disks and network cards, whose guest takes the place of the firmware. */
import type { Machine } from '../machine/machine.ts';
import { type VirtConfiguration, virtMachineMaker } from './virt.ts';

/** @param bios lies at the start of RAM, where every hart starts in M-mode */
export function bareBoard(
  bios: Uint8Array,
  other: Partial<VirtConfiguration> = {},
): VirtConfiguration {
  return {
    hartCount: 1,
    ramBytes: 16 << 20,
    bios,
    kernel: new Uint8Array(64),
    bootArguments: '',
    disks: [],
    macs: [],
    epochOffset: 0n,
    randomSeed: new Uint8Array(32),
    ...other,
  };
}

/** A machine of these instructions alone. */
export const boardOf = (words: readonly number[]): Machine =>
  virtMachineMaker(bareBoard(new Uint8Array(Uint32Array.from(words).buffer))).powerOn();
