/**
 * What a device is to the machine, and what the machine is to a device.
 *
 * A device is a state machine behind memory-mapped registers. It is called in two ways: by the
 * guest's loads and stores, and by `apply` with an input of its kind. It never knows its role in a
 * pair, never waits, and touches guest memory only inside those calls. A guest that programs it
 * wrongly gets a status or is ignored, the same on both sides; a device never throws for it.
 */
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import type {
  ConsoleOutput,
  DiskOutput,
  EntropyOutput,
  FrameOutput,
  PowerOutput,
  Ticks,
} from './effects.ts';

export type AccessSize = 1 | 2 | 4;

export interface Device {
  /**
   * A load by the guest of an aligned register. Eight-byte accesses arrive as two, low half first.
   * @returns an unsigned integer of `size` bytes
   */
  read(offset: number, size: AccessSize): number;
  write(offset: number, size: AccessSize, value: number): void;
  /** Back to the state after power-on. Configuration (MAC, capacity) is not state. */
  reset(): void;
  /** Twins: what `save` writes, `restore` reads into a device of the same configuration. */
  save(writer: ByteWriter): void;
  restore(reader: ByteReader): void;
}

export type DeviceOutput =
  | FrameOutput
  | Omit<ConsoleOutput, 'offset'>
  | DiskOutput
  | EntropyOutput
  | PowerOutput;

/** The machine, as one device sees it. */
export interface DeviceContext {
  readonly memory: GuestMemory;
  /** The guest's clock at the present count. */
  now(): Ticks;
  /** Drives this device's line to the interrupt controller; level-triggered. */
  setInterrupt(level: boolean): void;
  /** Hands an output to the machine, which stamps it with the present count. */
  emit(output: DeviceOutput): void;
}

/**
 * Guest-physical memory for devices. Addresses are those of the guest. Whatever does not lie wholly
 * in RAM is refused: `undefined` or `false`, nothing read and nothing written.
 */
export interface GuestMemory {
  /** A view for reading only, valid until the device returns. */
  view(address: bigint, length: number): Uint8Array | undefined;
  /** Writes, and makes the write known to all who track pages. */
  write(address: bigint, bytes: Uint8Array): boolean;
}

/** The wires into the harts, driven by the interrupt controllers. */
export interface HartLines {
  readonly hartCount: number;
  /** CLINT `msip`: the machine-level software interrupt of a hart. */
  setMachineSoftware(hart: number, level: boolean): void;
  /** PLIC context outputs: external interrupts of a hart at machine or supervisor level. */
  setExternal(hart: number, mode: 'machine' | 'supervisor', level: boolean): void;
  /** CLINT `mtimecmp`: the machine compares it with its clock and drives MTIP. */
  machineTimeCompare(hart: number): bigint;
  setMachineTimeCompare(hart: number, value: bigint): void;
}
