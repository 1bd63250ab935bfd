/**
 * Cases for the instruction rows: words made from a row's pattern with random operand fields, and
 * register values that make them do something: addresses in the scratch memory for whatever
 * touches memory, targets nearby for whatever jumps, edges for all else.
 *
 * The rows' own decoder only arranges operands here; what an instruction does is never asked.
 */
import type { SeededRandom } from '../../src/base/random.ts';
import { assemble } from '../../src/isa/assemble.ts';
import { compressedRows } from '../../src/isa/compressed.ts';
import { type Decoded, decode, newDecoded } from '../../src/isa/decode.ts';
import type { Row } from '../../src/isa/row.ts';
import { rows } from '../../src/isa/rows.ts';
import { f32, f64 } from '../../src/isa/softfloat.ts';
import { type Case, scratchAddress } from './execute.ts';
import { boxed, floatOperand, integerOperand } from './operands.ts';

export interface Trial extends Case {
  readonly name: string;
}

const opcodes = {
  load: 0x03,
  loadFloat: 0x07,
  fence: 0x0f,
  store: 0x23,
  storeFloat: 0x27,
  atomic: 0x2f,
  jalr: 0x67,
  system: 0x73,
};
export const opcodeOf = (row: Row): number => row.match & 0x7f;

/** They leave for elsewhere, or wait: the guests of tests/guests/ have them. */
const elsewhere = new Set(['mret', 'sret', 'wfi', 'sfence.vma']);
/** Readable and writable in any mode, and part of every case. */
const csrs = [1, 2, 3];

const fill = ({ mask, match }: { mask: number; match: number }, random: SeededRandom): number =>
  (match | (random.u32() & ~mask)) >>> 0;

/** Clear of the instruction itself and inside its slot of code. */
const nearby = (random: SeededRandom): number => {
  const offset = 4 + 2 * random.below(11);
  return random.chance(0.5) ? offset : -offset;
};

function word(row: Row, random: SeededRandom): number {
  const any = fill(row, random);
  const register = (): number => random.below(32);
  if (row.format === 'B') {
    return assemble(row.name, { rs1: register(), rs2: register(), imm: nearby(random) });
  }
  if (row.format === 'J') return assemble(row.name, { rd: register(), imm: nearby(random) });
  if (row.format === 'Csr') return ((any & 0xf_ffff) | (random.pick(csrs) << 20)) >>> 0;
  return any;
}

/** A compressed word that jumps, if at all, to somewhere nearby. */
function shortWord(row: (typeof compressedRows)[number], random: SeededRandom): number | undefined {
  for (let attempt = 0; attempt < 200; attempt++) {
    const any = fill(row, random) & 0xffff;
    const { row: index, imm } = decode(any, newDecoded());
    if (index < 0) continue;
    const { format } = rows[index]!;
    const jumps = format === 'B' || format === 'J';
    if (!jumps || (Math.abs(imm) >= 4 && Math.abs(imm) <= 24)) return any;
  }
  return undefined;
}

/** A rounding mode that exists, five times out of six. */
const floatControl = (random: SeededRandom): number =>
  (random.below(6) << 5) | (random.chance(0.3) ? random.below(32) : 0);

function value(random: SeededRandom): bigint {
  return random.chance(0.1) ? scratchAddress : integerOperand(random);
}

function floatValue(random: SeededRandom): bigint {
  const format = random.chance(0.5) ? f32 : f64;
  const bits = boxed(format, floatOperand(format, random));
  // Now and then a binary32 value that is not boxed.
  return random.chance(0.05) ? BigInt.asUintN(32, bits) : bits;
}

/** Where a row wants an address in rs1, one such that rs1 + imm is in the scratch memory. */
function address(row: Row, imm: number, random: SeededRandom): bigint | undefined {
  const opcode = opcodeOf(row);
  switch (opcode) {
    case opcodes.load:
    case opcodes.loadFloat:
    case opcodes.store:
    case opcodes.storeFloat:
      return scratchAddress + BigInt(random.below(57) - imm);
    case opcodes.atomic:
      return scratchAddress + BigInt(8 * random.below(8));
    case opcodes.jalr:
      return scratchAddress + BigInt(random.below(64) - imm);
    default:
      return undefined;
  }
}

/** Code that is jumped to is all `c.ebreak`; data are data. */
const landing = Array.from({ length: 8 }, () => 0x9002_9002_9002_9002n);

function trial(name: string, words: readonly number[], random: SeededRandom): Trial {
  const last = words.at(-1)!;
  const decoded: Decoded = decode(last, newDecoded());
  const row = rows[decoded.row]!;
  const x: Record<number, bigint> = {};
  const f: Record<number, bigint> = {};
  for (const n of [decoded.rs1, decoded.rs2, decoded.rs3, decoded.rd]) {
    x[n] = value(random);
    f[n] = floatValue(random);
  }
  if (random.chance(0.1)) x[decoded.rs2] = x[decoded.rs1]!;
  const place = address(row, decoded.imm, random);
  if (place !== undefined) x[decoded.rs1] = BigInt.asUintN(64, place);
  const memory =
    opcodeOf(row) === opcodes.jalr ? landing : landing.map(() => integerOperand(random));
  return { name, words, x, f, memory, fcsr: floatControl(random) };
}

/** An SC needs its LR; the two are a sequence under test. */
function sequence(row: Row, random: SeededRandom): number[] {
  const tested = word(row, random);
  const matching = /^sc\.([wd])$/.exec(row.name);
  if (!matching || random.chance(0.2)) return [tested];
  return [assemble(`lr.${matching[1]}`, { rd: 0, rs1: (tested >>> 15) & 31 }), tested];
}

/** For every row, `wordsEach` sequences with `valuesEach` sets of operands. */
export function rowTrials(random: SeededRandom, wordsEach: number, valuesEach: number): Trial[] {
  const trials: Trial[] = [];
  const more = (name: string, words: readonly number[]): void => {
    for (let n = 0; n < valuesEach; n++) trials.push(trial(name, words, random));
  };
  for (const row of rows) {
    if (elsewhere.has(row.name)) continue;
    for (let n = 0; n < wordsEach; n++) {
      const words = sequence(row, random);
      // Of a word like x0-based address there is nothing to arrange.
      const needsBase = address(row, 0, random) !== undefined;
      if (!needsBase || ((words.at(-1)! >>> 15) & 31) !== 0) more(row.name, words);
    }
  }
  for (const row of compressedRows) {
    for (let n = 0; n < wordsEach; n++) {
      const short = shortWord(row, random);
      if (short !== undefined) more(row.name, [short]);
    }
  }
  return trials;
}

/** Short programs of rows that only compute: what one instruction leaves, the next one finds. */
export function programTrials(random: SeededRandom, count: number): Trial[] {
  const far: readonly number[] = Object.values(opcodes);
  // ctzw is left out because of QEMU's mistake, see rows.test.ts.
  const computes = rows.filter(
    (row) =>
      row.name !== 'ctzw' &&
      row.format !== 'B' &&
      row.format !== 'J' &&
      !far.includes(opcodeOf(row)),
  );
  const all = (given: (random: SeededRandom) => bigint): Record<number, bigint> =>
    Object.fromEntries(Array.from({ length: 32 }, (_, n) => [n, given(random)]));
  return Array.from({ length: count }, () => ({
    name: 'program',
    words: Array.from({ length: 7 }, () => word(random.pick(computes), random)),
    x: all(value),
    f: all(floatValue),
    fcsr: floatControl(random),
  }));
}

/** Words at the border between what is an instruction and what is not. */
export function borderWords(random: SeededRandom, count: number): number[] {
  const words = new Set<number>();
  const tame = rows.filter((row) => opcodeOf(row) !== opcodes.system);
  while (words.size < count) {
    const row = random.pick(tame);
    let any = fill(row, random);
    for (let flips = random.below(3); flips > 0; flips--) any ^= 1 << random.between(7, 31);
    // A branch or jump, or what is almost one, stays nearby: only its funct3 and registers vary.
    if (row.format === 'B') any = (any & 0x01ff_f07f) | (8 << 7);
    if (row.format === 'J') any = (any & 0xfff) | (8 << 20);
    words.add(any >>> 0);
  }
  return [...words];
}

/** All 16-bit words but the branches and jumps relative to pc, which have no reserved encodings. */
export function shortWords(): number[] {
  const all = Array.from({ length: 0x1_0000 }, (_, index) => index);
  return all.filter((any) => {
    const [quadrant, funct3] = [any & 3, any >> 13];
    return quadrant !== 3 && !(quadrant === 1 && funct3 >= 5);
  });
}
