/**
 * The harts' states in linear memory: the running one at address 0, the others parked.
 *
 * Harts take turns on one thread by a rule on counts (see riscv-machine.ts), so a guest with several
 * CPUs needs no logging of shared memory: the interleaving is a function of the count.
 */
import { hart, hartStateBytes, status, xAt } from '../isa/hart-state.ts';
import type { Field } from '../isa/semantics.ts';
import type { HartLines } from './device.ts';
import { parkedEndsAt, parkedHartStride, parkedHartsAt, parkedTlb, run } from './layout.ts';

/** Bits of mip that wires drive. */
export const line = {
  machineSoftware: 1n << 3n,
  supervisorTimer: 1n << 5n,
  machineTimer: 1n << 7n,
  supervisorExternal: 1n << 9n,
  machineExternal: 1n << 11n,
} as const;

export const supervisorSoftware = 1n << 1n;
/** In a comparator: no time. In a reservation: no address. */
export const never = (1n << 64n) - 1n;

export class Harts implements HartLines {
  readonly hartCount: number;
  readonly #memory: Uint8Array;
  readonly #view: DataView;
  #running = 0;

  constructor(memory: Uint8Array, hartCount: number) {
    this.hartCount = hartCount;
    this.#memory = memory;
    this.#view = new DataView(memory.buffer, memory.byteOffset);
  }

  get running(): number {
    return this.#running;
  }

  /** Parks the running hart and brings another in its place. */
  switchTo(index: number): void {
    const parked = parkedAt(this.#running);
    this.#memory.copyWithin(parked, 0, hartStateBytes);
    this.#memory.copyWithin(0, parkedAt(index), parkedAt(index) + hartStateBytes);
    this.#running = index;
    this.#view.setUint32(run.hartId.at, index, true);
  }

  get(index: number, field: Field): bigint {
    return this.#view.getBigUint64(this.#at(index) + field.at, true);
  }
  set(index: number, field: Field, value: bigint): void {
    this.#view.setBigUint64(this.#at(index) + field.at, value, true);
  }
  getWord(index: number, field: Field): number {
    return this.#view.getUint32(this.#at(index) + field.at, true);
  }
  setWord(index: number, field: Field, value: number): void {
    this.#view.setUint32(this.#at(index) + field.at, value, true);
  }
  x(index: number, register: number): bigint {
    return this.#view.getBigUint64(this.#at(index) + xAt + register * 8, true);
  }
  setX(index: number, register: number, value: bigint): void {
    if (register !== 0) this.#view.setBigUint64(this.#at(index) + xAt + register * 8, value, true);
  }

  setLine(index: number, mask: bigint, level: boolean): void {
    const lines = this.get(index, hart.mipLines);
    this.set(index, hart.mipLines, level ? lines | mask : lines & ~mask);
  }

  setMachineSoftware(index: number, level: boolean): void {
    this.setLine(index, line.machineSoftware, level);
  }
  setExternal(index: number, mode: 'machine' | 'supervisor', level: boolean): void {
    const mask = mode === 'machine' ? line.machineExternal : line.supervisorExternal;
    this.setLine(index, mask, level);
  }
  machineTimeCompare(index: number): bigint {
    return this.get(index, hart.mtimecmp);
  }
  setMachineTimeCompare(index: number, value: bigint): void {
    this.set(index, hart.mtimecmp, value);
  }

  /** Only the running hart can hold one: it loses it with its turn. */
  forgetReservation(): void {
    this.set(this.#running, hart.reservation, never);
  }

  /** Whether an interrupt that this hart has enabled is pending: what ends a WFI. */
  interruptPending(index: number): boolean {
    const pending = this.get(index, hart.mipSoftware) | this.get(index, hart.mipLines);
    return (pending & this.get(index, hart.mie)) !== 0n;
  }

  /** The state of one hart, as bytes. The slot that swallows writes to x0 is no state. */
  bytes(index: number): Uint8Array {
    const at = this.#at(index);
    const bytes = this.#memory.slice(at, at + hartStateBytes);
    bytes.fill(0, xAt + 32 * 8, xAt + 33 * 8);
    return bytes;
  }

  setBytes(index: number, bytes: Uint8Array): void {
    this.#memory.set(bytes, this.#at(index));
  }

  /** Names every hart's place anew: which one runs, before the states are written. */
  setRunning(index: number): void {
    this.#running = index;
    this.#view.setUint32(run.hartId.at, index, true);
  }

  /** All zero but what reset defines; registers and mode are the firmware's business. */
  reset(index: number): void {
    const at = this.#at(index);
    this.#memory.fill(0, at, at + hartStateBytes);
    // What has been translated for it before is not its any more.
    this.#view.setBigUint64(parkedEndsAt + index * parkedTlb.endBytes, 0n, true);
    this.set(index, hart.mstatus, status.UXL | status.SXL);
    for (const field of [hart.reservation, hart.stimecmp, hart.mtimecmp]) {
      this.set(index, field, never);
    }
  }

  #at(index: number): number {
    return index === this.#running ? 0 : parkedAt(index);
  }
}

const parkedAt = (index: number): number => parkedHartsAt + index * parkedHartStride;
