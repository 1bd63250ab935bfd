/**
 * The C extension for RV64 (unprivileged manual 20240411, chapter 26): each 16-bit pattern expands
 * to one 32-bit instruction. Rows name the instruction and its operands; what is reserved expands
 * to nothing and is illegal.
 */
import type { Operands } from './decode.ts';
import { parsePattern } from './row.ts';

interface CompressedRow {
  readonly name: string;
  readonly mask: number;
  readonly match: number;
  expand(word: number): Expansion | undefined;
}
type Expansion = readonly [name: string, operands: Partial<Operands>];

const field = (word: number, high: number, low: number): number =>
  (word >>> low) & ((1 << (high - low + 1)) - 1);
const bit = (word: number, at: number): number => (word >>> at) & 1;
const signed = (value: number, bits: number): number => (value << (32 - bits)) >> (32 - bits);

// The register fields: full in bits 11-7 and 6-2, short (x8 to x15) in bits 9-7 and 4-2.
const rd = (w: number): number => field(w, 11, 7);
const rs2 = (w: number): number => field(w, 6, 2);
const shortHigh = (w: number): number => 8 + field(w, 9, 7);
const shortLow = (w: number): number => 8 + field(w, 4, 2);

// Immediates, named after the formats of section 26.2.
const imm6 = (w: number): number => signed((bit(w, 12) << 5) | field(w, 6, 2), 6);
const shamt = (w: number): number => (bit(w, 12) << 5) | field(w, 6, 2);
const offset4 = (w: number): number =>
  (field(w, 12, 10) << 3) | (bit(w, 6) << 2) | (bit(w, 5) << 6);
const offset8 = (w: number): number => (field(w, 12, 10) << 3) | (field(w, 6, 5) << 6);
const stackLoad4 = (w: number): number =>
  (bit(w, 12) << 5) | (field(w, 6, 4) << 2) | (field(w, 3, 2) << 6);
const stackLoad8 = (w: number): number =>
  (bit(w, 12) << 5) | (field(w, 6, 5) << 3) | (field(w, 4, 2) << 6);
const stackStore4 = (w: number): number => (field(w, 12, 9) << 2) | (field(w, 8, 7) << 6);
const stackStore8 = (w: number): number => (field(w, 12, 10) << 3) | (field(w, 9, 7) << 6);
const addi4spn = (w: number): number =>
  (field(w, 12, 11) << 4) | (field(w, 10, 7) << 6) | (bit(w, 6) << 2) | (bit(w, 5) << 3);
const addi16sp = (w: number): number =>
  signed(
    (bit(w, 12) << 9) |
      (bit(w, 6) << 4) |
      (bit(w, 5) << 6) |
      (field(w, 4, 3) << 7) |
      (bit(w, 2) << 5),
    10,
  );
const jumpOffset = (w: number): number =>
  signed(
    (bit(w, 12) << 11) |
      (bit(w, 11) << 4) |
      (field(w, 10, 9) << 8) |
      (bit(w, 8) << 10) |
      (bit(w, 7) << 6) |
      (bit(w, 6) << 7) |
      (field(w, 5, 3) << 1) |
      (bit(w, 2) << 5),
    12,
  );
const branchOffset = (w: number): number =>
  signed(
    (bit(w, 12) << 8) |
      (field(w, 11, 10) << 3) |
      (field(w, 6, 5) << 6) |
      (field(w, 4, 3) << 1) |
      (bit(w, 2) << 5),
    9,
  );

function c(
  name: string,
  pattern: string,
  expand: (word: number) => Expansion | undefined,
): CompressedRow {
  return { name, ...parsePattern(pattern, 16), expand };
}

const loadShort = (name: string, offset: (w: number) => number) => (w: number) =>
  [name, { rd: shortLow(w), rs1: shortHigh(w), imm: offset(w) }] as const;
const storeShort = (name: string, offset: (w: number) => number) => (w: number) =>
  [name, { rs1: shortHigh(w), rs2: shortLow(w), imm: offset(w) }] as const;
const loadStack = (name: string, offset: (w: number) => number) => (w: number) =>
  [name, { rd: rd(w), rs1: 2, imm: offset(w) }] as const;
const storeStack = (name: string, offset: (w: number) => number) => (w: number) =>
  [name, { rs1: 2, rs2: rs2(w), imm: offset(w) }] as const;
const onItself = (name: string, imm: (w: number) => number) => (w: number) =>
  [name, { rd: rd(w), rs1: rd(w), imm: imm(w) }] as const;
const onShort = (name: string, imm: (w: number) => number) => (w: number) =>
  [name, { rd: shortHigh(w), rs1: shortHigh(w), imm: imm(w) }] as const;
const twoShort = (name: string) => (w: number) =>
  [name, { rd: shortHigh(w), rs1: shortHigh(w), rs2: shortLow(w) }] as const;

export const compressedRows: readonly CompressedRow[] = [
  c('c.addi4spn', '000 ........ ... 00', (w) =>
    addi4spn(w) === 0 ? undefined : ['addi', { rd: shortLow(w), rs1: 2, imm: addi4spn(w) }],
  ),
  c('c.fld', '001 ... ... .. ... 00', loadShort('fld', offset8)),
  c('c.lw', '010 ... ... .. ... 00', loadShort('lw', offset4)),
  c('c.ld', '011 ... ... .. ... 00', loadShort('ld', offset8)),
  c('c.fsd', '101 ... ... .. ... 00', storeShort('fsd', offset8)),
  c('c.sw', '110 ... ... .. ... 00', storeShort('sw', offset4)),
  c('c.sd', '111 ... ... .. ... 00', storeShort('sd', offset8)),
  c('c.addi', '000 . ..... ..... 01', onItself('addi', imm6)),
  c('c.addiw', '001 . ..... ..... 01', (w) =>
    rd(w) === 0 ? undefined : ['addiw', { rd: rd(w), rs1: rd(w), imm: imm6(w) }],
  ),
  c('c.li', '010 . ..... ..... 01', (w) => ['addi', { rd: rd(w), rs1: 0, imm: imm6(w) }]),
  c('c.addi16sp', '011 . 00010 ..... 01', (w) =>
    addi16sp(w) === 0 ? undefined : ['addi', { rd: 2, rs1: 2, imm: addi16sp(w) }],
  ),
  c('c.lui', '011 . ..... ..... 01', (w) =>
    imm6(w) === 0 ? undefined : ['lui', { rd: rd(w), imm: imm6(w) << 12 }],
  ),
  c('c.srli', '100 . 00 ... ..... 01', onShort('srli', shamt)),
  c('c.srai', '100 . 01 ... ..... 01', onShort('srai', shamt)),
  c('c.andi', '100 . 10 ... ..... 01', onShort('andi', imm6)),
  c('c.sub', '100 0 11 ... 00 ... 01', twoShort('sub')),
  c('c.xor', '100 0 11 ... 01 ... 01', twoShort('xor')),
  c('c.or', '100 0 11 ... 10 ... 01', twoShort('or')),
  c('c.and', '100 0 11 ... 11 ... 01', twoShort('and')),
  c('c.subw', '100 1 11 ... 00 ... 01', twoShort('subw')),
  c('c.addw', '100 1 11 ... 01 ... 01', twoShort('addw')),
  c('c.j', '101 ........... 01', (w) => ['jal', { rd: 0, imm: jumpOffset(w) }]),
  c('c.beqz', '110 ... ... ..... 01', (w) => [
    'beq',
    { rs1: shortHigh(w), rs2: 0, imm: branchOffset(w) },
  ]),
  c('c.bnez', '111 ... ... ..... 01', (w) => [
    'bne',
    { rs1: shortHigh(w), rs2: 0, imm: branchOffset(w) },
  ]),
  c('c.slli', '000 . ..... ..... 10', onItself('slli', shamt)),
  c('c.fldsp', '001 . ..... ..... 10', loadStack('fld', stackLoad8)),
  c('c.lwsp', '010 . ..... ..... 10', (w) =>
    rd(w) === 0 ? undefined : loadStack('lw', stackLoad4)(w),
  ),
  c('c.ldsp', '011 . ..... ..... 10', (w) =>
    rd(w) === 0 ? undefined : loadStack('ld', stackLoad8)(w),
  ),
  c('c.jr', '100 0 ..... 00000 10', (w) =>
    rd(w) === 0 ? undefined : ['jalr', { rd: 0, rs1: rd(w), imm: 0 }],
  ),
  c('c.mv', '100 0 ..... ..... 10', (w) => ['add', { rd: rd(w), rs1: 0, rs2: rs2(w) }]),
  c('c.ebreak', '100 1 00000 00000 10', () => ['ebreak', {}]),
  c('c.jalr', '100 1 ..... 00000 10', (w) => ['jalr', { rd: 1, rs1: rd(w), imm: 0 }]),
  c('c.add', '100 1 ..... ..... 10', (w) => ['add', { rd: rd(w), rs1: rd(w), rs2: rs2(w) }]),
  c('c.fsdsp', '101 ...... ..... 10', storeStack('fsd', stackStore8)),
  c('c.swsp', '110 ...... ..... 10', storeStack('sw', stackStore4)),
  c('c.sdsp', '111 ...... ..... 10', storeStack('sd', stackStore8)),
];
