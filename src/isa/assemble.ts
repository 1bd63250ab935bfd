/** The inverse of decoding: a row's name and operands to its 32-bit word. For tests and firmware. */
import { assert } from '../base/assert.ts';
import type { Operands } from './decode.ts';
import { formats } from './row.ts';
import { rowIndex, rows } from './rows.ts';

const placed = (value: number, bits: number, at: number): number => (value & (2 ** bits - 1)) << at;

const immediateBits: Readonly<Record<string, (imm: number) => number>> = {
  none: () => 0,
  I: (imm) => placed(imm, 12, 20),
  shamt: (imm) => placed(imm, 6, 20),
  S: (imm) => placed(imm >> 5, 7, 25) | placed(imm, 5, 7),
  B: (imm) =>
    placed(imm >> 12, 1, 31) |
    placed(imm >> 5, 6, 25) |
    placed(imm >> 1, 4, 8) |
    placed(imm >> 11, 1, 7),
  U: (imm) => imm & ~0xfff,
  J: (imm) =>
    placed(imm >> 20, 1, 31) |
    placed(imm >> 1, 10, 21) |
    placed(imm >> 11, 1, 20) |
    placed(imm >> 12, 8, 12),
  csr: (imm) => placed(imm, 12, 20),
};

/** Operands that the row's pattern fixes are ignored; those left out are zero. */
export function assemble(name: string, operands: Partial<Operands> = {}): number {
  const row = rows[rowIndex(name)];
  assert(row !== undefined, `no instruction ${name}`);
  const fields =
    placed(operands.rd ?? 0, 5, 7) |
    placed(operands.rs1 ?? 0, 5, 15) |
    placed(operands.rs2 ?? 0, 5, 20) |
    placed(operands.rs3 ?? 0, 5, 27) |
    placed(operands.rm ?? 0, 3, 12);
  const { fields: names, immediate } = formats[row.format];
  let keep = 0;
  const has = (field: string): boolean => (names as readonly string[]).includes(field);
  if (has('rd')) keep |= 0x1f << 7;
  if (has('rs1')) keep |= 0x1f << 15;
  if (has('rs2')) keep |= 0x1f << 20;
  if (has('rs3')) keep |= 0x1f << 27;
  keep |= 7 << 12;
  const bits = (fields & keep) | immediateBits[immediate]!(operands.imm ?? 0);
  return ((bits & ~row.mask) | row.match) >>> 0;
}
