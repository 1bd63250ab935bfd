/**
 * PLIC: the platform-level interrupt controller of QEMU's `virt` machine.
 *
 * Data come from the devices' lines (`setLevel`) and from the guest; the result drives the external
 * interrupts of the harts. Layout and meaning: RISC-V PLIC specification 1.0.0. Contexts are
 * numbered as in QEMU: hart 0 machine, hart 0 supervisor, hart 1 machine, and so on.
 *
 * The gateway of a source forwards a request when the line is high, and then none before the claim of
 * that request is completed: so a line that falls again before the claim still interrupts, and one
 * that is still high on completion interrupts anew. The outputs are a function of the registers, and
 * follow at once. QEMU differs in ways that no driver can rely on: it lets a line that rises during a
 * claim through to the pending bit, does not look at a line again on completion until the device
 * moves it, nor at the outputs after a write to an enable register.
 */
import { assert } from '../base/assert.ts';
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { AccessSize, Device, HartLines } from '../machine/device.ts';

/** Sources are numbered from 1 to this; 0 means "none". */
export const plicSources = 96;

const words = (plicSources >>> 5) + 1;
const priorityMask = 7;
const PENDING = 0x1000;
const ENABLE = 0x2000;
const ENABLE_STRIDE = 0x80;
const CONTEXT = 0x20_0000;
const CONTEXT_STRIDE = 0x1000;
const THRESHOLD = 0;
const CLAIM = 4;

interface Context {
  readonly enable: Uint32Array;
  threshold: number;
}

export class Plic implements Device {
  readonly #lines: HartLines;
  readonly #priority = new Uint8Array(plicSources + 1);
  readonly #level = new Uint32Array(words);
  readonly #pending = new Uint32Array(words);
  readonly #claimed = new Uint32Array(words);
  readonly #contexts: readonly Context[];

  constructor(lines: HartLines) {
    this.#lines = lines;
    this.#contexts = Array.from({ length: 2 * lines.hartCount }, () => ({
      enable: new Uint32Array(words),
      threshold: 0,
    }));
  }

  /** A device drives its line. */
  setLevel(source: number, level: boolean): void {
    assert(source > 0 && source <= plicSources, `no interrupt source ${source}`);
    if (hasBit(this.#level, source) === level) return;
    setBit(this.#level, source, level);
    this.#forward(source);
    this.#update();
  }

  read(offset: number, size: AccessSize): number {
    if (size !== 4) return 0;
    if (offset < PENDING) return this.#priority[offset >>> 2] ?? 0;
    if (offset < ENABLE) {
      const word = (offset - PENDING) >>> 2;
      return this.#pending[word] ?? 0;
    }
    const { context, register } = this.#decode(offset);
    if (context === undefined) return 0;
    if (offset < CONTEXT) return context.enable[register >>> 2] ?? 0;
    if (register === THRESHOLD) return context.threshold;
    return register === CLAIM ? this.#claim(context) : 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 4) return;
    if (offset < PENDING) {
      const source = offset >>> 2;
      if (source <= plicSources) this.#priority[source] = value & priorityMask;
    } else if (offset >= ENABLE) {
      const { context, register } = this.#decode(offset);
      if (context === undefined) return;
      if (offset < CONTEXT) {
        if (register >>> 2 < words) context.enable[register >>> 2] = value;
      } else if (register === THRESHOLD) {
        context.threshold = value & priorityMask;
      } else if (register === CLAIM && value <= plicSources) {
        setBit(this.#claimed, value, false);
        this.#forward(value);
      }
    }
    this.#update();
  }

  reset(): void {
    this.#priority.fill(0);
    this.#level.fill(0);
    this.#pending.fill(0);
    this.#claimed.fill(0);
    for (const context of this.#contexts) {
      context.enable.fill(0);
      context.threshold = 0;
    }
    this.#update();
  }

  save(writer: ByteWriter): void {
    writer.raw(this.#priority);
    for (const bits of [this.#level, this.#pending, this.#claimed]) {
      for (const word of bits) writer.u32(word);
    }
    for (const context of this.#contexts) {
      for (const word of context.enable) writer.u32(word);
      writer.u8(context.threshold);
    }
  }

  restore(reader: ByteReader): void {
    this.#priority.set(reader.raw(plicSources + 1));
    for (const bits of [this.#level, this.#pending, this.#claimed]) {
      for (let word = 0; word < words; word++) bits[word] = reader.u32();
    }
    for (const context of this.#contexts) {
      for (let word = 0; word < words; word++) context.enable[word] = reader.u32();
      context.threshold = reader.u8();
    }
  }

  /** The context that owns a register at or above `ENABLE`, and the register's place in it. */
  #decode(offset: number): { context: Context | undefined; register: number } {
    const [base, stride] = offset < CONTEXT ? [ENABLE, ENABLE_STRIDE] : [CONTEXT, CONTEXT_STRIDE];
    const index = Math.floor((offset - base) / stride);
    return { context: this.#contexts[index], register: (offset - base) % stride };
  }

  /** The gateway: a high line becomes pending unless an earlier request of it is being served. */
  #forward(source: number): void {
    if (hasBit(this.#level, source) && !hasBit(this.#claimed, source)) {
      setBit(this.#pending, source, true);
    }
  }

  /** The enabled pending source of the highest priority above the threshold, the lowest of equals. */
  #best(context: Context): number {
    let best = 0;
    let bestPriority = context.threshold;
    for (let word = 0; word < words; word++) {
      let candidates = this.#pending[word]! & context.enable[word]!;
      while (candidates !== 0) {
        const source = (word << 5) + 31 - Math.clz32(candidates & -candidates);
        candidates &= candidates - 1;
        if (this.#priority[source]! > bestPriority) {
          best = source;
          bestPriority = this.#priority[source]!;
        }
      }
    }
    return best;
  }

  #claim(context: Context): number {
    const source = this.#best(context);
    if (source !== 0) {
      setBit(this.#pending, source, false);
      setBit(this.#claimed, source, true);
      this.#update();
    }
    return source;
  }

  #update(): void {
    for (const [index, context] of this.#contexts.entries()) {
      const mode = index % 2 === 0 ? 'machine' : 'supervisor';
      this.#lines.setExternal(index >>> 1, mode, this.#best(context) !== 0);
    }
  }
}

function hasBit(bits: Uint32Array, index: number): boolean {
  return ((bits[index >>> 5]! >>> (index & 31)) & 1) === 1;
}

function setBit(bits: Uint32Array, index: number, value: boolean): void {
  const mask = 1 << (index & 31);
  bits[index >>> 5] = value ? bits[index >>> 5]! | mask : bits[index >>> 5]! & ~mask;
}
