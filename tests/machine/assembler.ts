/**
 * A small assembler for guests that are made at run time: words by the rows' names, constants of any
 * size, labels for branches. No library, no file; the result is a flat image for the start of RAM.
 */
import { assemble } from '../../src/isa/assemble.ts';
import type { Operands } from '../../src/isa/decode.ts';

/** Registers by the names of the calling convention, as far as the guests here use them. */
export const x = {
  zero: 0,
  ra: 1,
  sp: 2,
  t0: 5,
  t1: 6,
  t2: 7,
  s0: 8,
  s1: 9,
  a0: 10,
  a1: 11,
} as const;

const signed12 = (value: bigint): bigint => BigInt.asIntN(12, value);

/** Words that leave a 64-bit constant in a register. */
export function loadConstant(rd: number, constant: bigint): number[] {
  const value = BigInt.asIntN(64, constant);
  const low = signed12(value);
  if (value === low) return [assemble('addi', { rd, imm: Number(low) })];
  const rest = value - low;
  const lower = low === 0n ? [] : [assemble('addi', { rd, rs1: rd, imm: Number(low) })];
  if (BigInt.asIntN(32, rest) === rest) {
    return [assemble('lui', { rd, imm: Number(rest) }), ...lower];
  }
  const above = BigInt.asIntN(64, rest) >> 12n;
  return [...loadConstant(rd, above), assemble('slli', { rd, rs1: rd, imm: 12 }), ...lower];
}

export class Assembler {
  readonly base: number;
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #references: {
    readonly at: number;
    readonly label: string;
    encode(offset: number): number;
  }[] = [];

  constructor(base: number) {
    this.base = base;
  }

  get here(): number {
    return this.base + this.#bytes.length;
  }

  word(...words: number[]): this {
    for (const word of words) {
      this.#bytes.push(word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24);
    }
    return this;
  }

  /** A compressed instruction. */
  half(...halves: number[]): this {
    for (const half of halves) this.#bytes.push(half & 0xff, half >>> 8);
    return this;
  }

  op(name: string, operands: Partial<Operands> = {}): this {
    return this.word(assemble(name, operands));
  }

  li(rd: number, value: bigint | number): this {
    return this.word(...loadConstant(rd, BigInt(value)));
  }

  /** `csrrw` and the like by the number of the register. */
  csr(name: string, number: number, operands: Partial<Operands> = {}): this {
    return this.op(name, { imm: number, ...operands });
  }

  label(name: string): this {
    this.#labels.set(name, this.here);
    return this;
  }

  /** A branch or jump to a label. */
  to(name: string, label: string, operands: Partial<Operands> = {}): this {
    const encode = (imm: number): number => assemble(name, { ...operands, imm });
    this.#references.push({ at: this.#bytes.length, label, encode });
    return this.word(0);
  }

  /** The address of a label less than 2 KiB away. */
  la(rd: number, label: string): this {
    const encode = (offset: number): number => assemble('addi', { rd, rs1: rd, imm: offset + 4 });
    this.op('auipc', { rd });
    this.#references.push({ at: this.#bytes.length, label, encode });
    return this.word(0);
  }

  address(label: string): number {
    const at = this.#labels.get(label);
    if (at === undefined) throw new Error(`no label ${label}`);
    return at;
  }

  finish(): Uint8Array {
    const bytes = Uint8Array.from(this.#bytes);
    const view = new DataView(bytes.buffer);
    for (const { at, label, encode } of this.#references) {
      view.setUint32(at, encode(this.address(label) - this.base - at), true);
    }
    return bytes;
  }
}
