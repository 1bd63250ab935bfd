/**
 * From instruction words to rows and operands, by tables built from the rows' patterns.
 *
 * Candidates are found by the low bits that every pattern of a length fixes (opcode and funct3),
 * most specific pattern first; then mask and match decide.
 */
import { compressedRows } from './compressed.ts';
import type { FormatName } from './row.ts';
import { formats } from './row.ts';
import { rowIndex, rows } from './rows.ts';

export interface Operands {
  rd: number;
  rs1: number;
  rs2: number;
  rs3: number;
  rm: number;
  /** Sign-extended; a shift's amount; a CSR's number. */
  imm: number;
}

export interface Decoded extends Operands {
  /** Index into `rows`, or -1 for an illegal instruction. */
  row: number;
  /** 2 or 4 bytes. */
  length: number;
}

type Immediate = (typeof formats)[FormatName]['immediate'];
const immediates: Readonly<Record<Immediate, (word: number) => number>> = {
  none: () => 0,
  I: (w) => w >> 20,
  shamt: (w) => (w >>> 20) & 0x3f,
  S: (w) => ((w >> 25) << 5) | ((w >>> 7) & 0x1f),
  B: (w) => ((w >> 31) << 12) | ((w & 0x80) << 4) | ((w >>> 20) & 0x7e0) | ((w >>> 7) & 0x1e),
  U: (w) => w & ~0xfff,
  J: (w) => ((w >> 31) << 20) | (w & 0xff000) | ((w >>> 9) & 0x800) | ((w >>> 20) & 0x7fe),
  csr: (w) => w >>> 20,
};

const ones = (mask: number): number => mask.toString(2).replaceAll('0', '').length;

/** Lists of indices by key; a row whose mask leaves key bits open stands in several lists. */
function candidates(
  patterns: readonly { mask: number; match: number }[],
  keyOf: (word: number) => number,
  wordsOfKeys: readonly number[],
  keyMask: number,
): Int16Array[] {
  const bySpecificity = patterns
    .map((_, index) => index)
    .sort((a, b) => ones(patterns[b]!.mask) - ones(patterns[a]!.mask));
  const lists: Int16Array[] = [];
  for (const word of wordsOfKeys) {
    lists[keyOf(word)] = Int16Array.from(
      bySpecificity.filter((index) => {
        const { mask, match } = patterns[index]!;
        return ((word ^ match) & mask & keyMask) === 0;
      }),
    );
  }
  return lists;
}

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

// 32 bits: opcode in bits 6-2 and funct3 in bits 14-12.
const longKey = (w: number): number => ((w >>> 2) & 0x1f) | (((w >>> 12) & 7) << 5);
const longLists = candidates(
  rows,
  longKey,
  range(256).map((key) => ((key & 0x1f) << 2) | ((key >> 5) << 12) | 3),
  0x707f,
);
// 16 bits: the quadrant in bits 1-0 and funct3 in bits 15-13.
const shortKey = (w: number): number => (w & 3) | ((w >>> 13) << 2);
const shortLists = candidates(
  compressedRows,
  shortKey,
  range(32).map((key) => (key & 3) | ((key >> 2) << 13)),
  0xe003,
);

export const isCompressed = (word: number): boolean => (word & 3) !== 3;

/** Decodes into `result`, which is returned. Of a compressed instruction only 16 bits matter. */
export function decode(word: number, result: Decoded): Decoded {
  return isCompressed(word) ? decodeShort(word & 0xffff, result) : decodeLong(word, result);
}

function decodeLong(word: number, result: Decoded): Decoded {
  result.length = 4;
  result.row = -1;
  for (const index of longLists[longKey(word)]!) {
    const row = rows[index]!;
    if (((word ^ row.match) & row.mask) !== 0) continue;
    result.row = index;
    result.rd = (word >>> 7) & 0x1f;
    result.rs1 = (word >>> 15) & 0x1f;
    result.rs2 = (word >>> 20) & 0x1f;
    result.rs3 = word >>> 27;
    result.rm = (word >>> 12) & 7;
    result.imm = immediates[formats[row.format].immediate](word);
    break;
  }
  return result;
}

function decodeShort(word: number, result: Decoded): Decoded {
  result.length = 2;
  result.row = -1;
  for (const index of shortLists[shortKey(word)]!) {
    const compressed = compressedRows[index]!;
    if (((word ^ compressed.match) & compressed.mask) !== 0) continue;
    const expansion = compressed.expand(word);
    if (expansion === undefined) break;
    const [name, operands] = expansion;
    result.row = rowIndex(name);
    result.rd = operands.rd ?? 0;
    result.rs1 = operands.rs1 ?? 0;
    result.rs2 = operands.rs2 ?? 0;
    result.rs3 = 0;
    result.rm = 0;
    result.imm = operands.imm ?? 0;
    break;
  }
  return result;
}

export function newDecoded(): Decoded {
  return { row: -1, length: 4, rd: 0, rs1: 0, rs2: 0, rs3: 0, rm: 0, imm: 0 };
}
