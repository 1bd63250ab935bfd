/**
 * A machine as a debugger sees it between two runs: registers by hart, memory by physical address or
 * as a hart would see it. Reading leaves no trace: no page table entry is marked as used, nothing is
 * cached. Writing is for machines that nobody records or follows: it is no input, so it cannot be
 * repeated.
 */
import { fAt, hart, status } from '../isa/hart-state.ts';
import type { Harts } from './harts.ts';
import type { Ram } from './ram.ts';

const pageBytes = 4096n;
const pte = { V: 1n, R: 2n, X: 8n } as const;

/** The control registers that a debugger is shown, by their number in the manual. */
const controlRegisters = {
  sstatus: { number: 0x100, field: hart.mstatus, mask: 0x8000_0003_000d_e762n },
  sie: { number: 0x104, field: hart.mie, mask: 0x222n },
  stvec: { number: 0x105, field: hart.stvec },
  sscratch: { number: 0x140, field: hart.sscratch },
  sepc: { number: 0x141, field: hart.sepc },
  scause: { number: 0x142, field: hart.scause },
  stval: { number: 0x143, field: hart.stval },
  satp: { number: 0x180, field: hart.satp },
  mstatus: { number: 0x300, field: hart.mstatus },
  medeleg: { number: 0x302, field: hart.medeleg },
  mideleg: { number: 0x303, field: hart.mideleg },
  mie: { number: 0x304, field: hart.mie },
  mtvec: { number: 0x305, field: hart.mtvec },
  mscratch: { number: 0x340, field: hart.mscratch },
  mepc: { number: 0x341, field: hart.mepc },
  mcause: { number: 0x342, field: hart.mcause },
  mtval: { number: 0x343, field: hart.mtval },
} as const;

export type ControlName = keyof typeof controlRegisters;
export const controlNames = Object.keys(controlRegisters) as readonly ControlName[];

export class Inspection {
  readonly #harts: Harts;
  readonly #ram: Ram;

  constructor(harts: Harts, ram: Ram) {
    this.#harts = harts;
    this.#ram = ram;
  }

  get hartCount(): number {
    return this.#harts.hartCount;
  }

  x(index: number, register: number): bigint {
    return register === 0 ? 0n : this.#harts.x(index, register);
  }

  /** Raw bits. */
  f(index: number, register: number): bigint {
    return this.#harts.get(index, { access: 'u64', at: fAt + register * 8 });
  }

  pc(index: number): bigint {
    return this.#harts.get(index, hart.pc);
  }

  /** 0 user, 1 supervisor, 3 machine. */
  privilege(index: number): number {
    return this.#harts.getWord(index, hart.privilege);
  }

  floatFlags(index: number): number {
    return this.#harts.getWord(index, hart.fflags);
  }

  roundingMode(index: number): number {
    return this.#harts.getWord(index, hart.frm);
  }

  control(index: number, name: ControlName): bigint {
    const row: { field: (typeof hart)['satp']; mask?: bigint } = controlRegisters[name];
    const value = this.#harts.get(index, row.field);
    return row.mask === undefined ? value : value & row.mask;
  }

  /** Whether the hart waits for an interrupt, or has not been started. */
  isWaiting(index: number): boolean {
    return (
      this.#harts.getWord(index, hart.waiting) !== 0 ||
      this.#harts.getWord(index, hart.hsmState) !== 0
    );
  }

  // --- Memory

  /** @returns a copy, or undefined if not all of it is RAM */
  readPhysical(address: bigint, length: number): Uint8Array | undefined {
    return this.#ram.view(address, length)?.slice();
  }

  /**
   * Where a hart would find this address, by the tables of its present address space and whatever
   * its privilege: a debugger looks at user memory from the kernel, and the other way round.
   */
  physicalOf(index: number, address: bigint): bigint | undefined {
    const satp = this.#harts.get(index, hart.satp);
    const mode = satp >> 60n;
    if (this.privilege(index) === 3 && !this.#modifiesPrivilege(index)) return address;
    if (mode === 0n) return address;
    const levels = mode === 9n ? 4 : 3;
    const bits = BigInt(12 + 9 * levels);
    if (BigInt.asUintN(64, BigInt.asIntN(Number(bits), address)) !== address) return undefined;
    let table = (satp & ((1n << 44n) - 1n)) << 12n;
    for (let level = levels - 1; level >= 0; level--) {
      const shift = BigInt(12 + 9 * level);
      const entry = this.#entryAt(table + ((address >> shift) & 0x1ffn) * 8n);
      if (entry === undefined || (entry & pte.V) === 0n) return undefined;
      const next = ((entry >> 10n) & ((1n << 44n) - 1n)) << 12n;
      const below = (1n << shift) - 1n;
      if ((entry & (pte.R | pte.X)) !== 0n) return (next & ~below) | (address & below);
      table = next;
    }
    return undefined;
  }

  /** @returns what can be read from the address on, up to `length` bytes; a page may be missing */
  readVirtual(index: number, address: bigint, length: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let at = BigInt.asUintN(64, address);
    for (let left = length; left > 0; ) {
      const part = Math.min(left, Number(pageBytes - (at % pageBytes)));
      const physical = this.physicalOf(index, at);
      const bytes = physical === undefined ? undefined : this.readPhysical(physical, part);
      if (bytes === undefined) break;
      parts.push(bytes);
      left -= part;
      at = BigInt.asUintN(64, at + BigInt(part));
    }
    return joined(parts);
  }

  // --- Changes

  setX(index: number, register: number, value: bigint): void {
    this.#harts.setX(index, register, value);
  }

  setPc(index: number, value: bigint): void {
    this.#harts.set(index, hart.pc, value);
  }

  /** @returns false if not all of it is RAM; then nothing is written */
  writePhysical(address: bigint, bytes: Uint8Array): boolean {
    return this.#ram.write(address, bytes);
  }

  writeVirtual(index: number, address: bigint, bytes: Uint8Array): boolean {
    const places: { physical: bigint; from: number; to: number }[] = [];
    for (let from = 0; from < bytes.length; ) {
      const at = BigInt.asUintN(64, address + BigInt(from));
      const to = Math.min(bytes.length, from + Number(pageBytes - (at % pageBytes)));
      const physical = this.physicalOf(index, at);
      if (physical === undefined || this.#ram.view(physical, to - from) === undefined) return false;
      places.push({ physical, from, to });
      from = to;
    }
    for (const { physical, from, to } of places) {
      this.#ram.write(physical, bytes.subarray(from, to));
    }
    return true;
  }

  #modifiesPrivilege(index: number): boolean {
    return (this.#harts.get(index, hart.mstatus) & status.MPRV) !== 0n;
  }

  #entryAt(physical: bigint): bigint | undefined {
    const bytes = this.#ram.view(physical, 8);
    if (bytes === undefined) return undefined;
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
