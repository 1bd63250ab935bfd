import type { Machine } from '../machine/machine.ts';
import { virtMachineMaker } from './virt.ts';

/** A board with this firmware alone. */
export function boardOf(words: readonly number[]): Machine {
  return virtMachineMaker({
    hartCount: 1,
    ramBytes: 16 << 20,
    bios: new Uint8Array(Uint32Array.from(words).buffer),
    kernel: new Uint8Array(64),
    bootArguments: '',
    disks: [],
    macs: [],
    epochOffset: 0n,
    randomSeed: new Uint8Array(32),
  }).powerOn();
}
