/**
 * A decoded instruction as the interpreter reads it: 16 bytes for each halfword of a page.
 *
 * | at | bytes | what |
 * |----|-------|------|
 * | 0  | 2 | handler: 0 to 4 as below, then one per instruction row, then one per pair (pairs.ts) |
 * | 2  | 1 | rounding mode |
 * | 3  | 1 | distance to the next record (eight times the instruction's length) |
 * | 4  | 2 | rd times 8; an integer rd of x0 names the sink |
 * | 6, 8 | 2 each | rs1, rs2 times 8 |
 * | 10 | 1 | rs3 times 8 |
 * | 11 | 1 | landings of jumps not yet added to the place's word, or `landingsFull` |
 * | 12 | 4 | immediate |
 */
import { decode, isCompressed, newDecoded } from '../isa/decode.ts';
import { xSink } from '../isa/hart-state.ts';
import { rows } from '../isa/rows.ts';
import { pageBytes, recordShift } from '../machine/layout.ts';
import { pairOf, pairs } from './pairs.ts';

export const record = {
  rm: 2,
  step: 3,
  rd: 4,
  rs1: 6,
  rs2: 8,
  rs3: 10,
  landings: 11,
  imm: 12,
} as const;

/** In `record.landings`: the next landing looks at the place's word. */
export const landingsFull = 255;

export const handler = {
  /** Nobody has looked at this halfword yet, or a store has changed its page. */
  undecoded: 0,
  illegal: 1,
  /** Behind the last halfword of a page, and behind an instruction that was fetched singly. */
  pageEnd: 2,
  /** An instruction of four bytes in the last halfword. */
  straddle: 3,
  /** A debugger wants to know that this instruction is about to be executed. */
  breakpoint: 4,
  firstRow: 5,
} as const;

const decoded = newDecoded();

/** Writes one record; `view` is over linear memory. @returns whether the block may go on behind it */
export function writeRecord(view: DataView, at: number, word: number): boolean {
  decode(word, decoded);
  view.setUint8(at + record.step, decoded.length << recordShift);
  const row = rows[decoded.row];
  if (row === undefined) {
    view.setUint16(at, handler.illegal, true);
    return false;
  }
  view.setUint16(at, handler.firstRow + decoded.row, true);
  view.setUint8(at + record.rm, decoded.rm);
  const rd = row.writesX && decoded.rd === 0 ? xSink : decoded.rd;
  view.setUint16(at + record.rd, rd * 8, true);
  view.setUint16(at + record.rs1, decoded.rs1 * 8, true);
  view.setUint16(at + record.rs2, decoded.rs2 * 8, true);
  view.setUint8(at + record.rs3, decoded.rs3 * 8);
  view.setInt32(at + record.imm, decoded.imm, true);
  return !row.endsBlock;
}

/**
 * Decodes from `offset` of a page of code (at `codeAt`) into its records (at `recordsAt`) until the
 * straight line ends or meets a record that is decoded already.
 *
 * @param fuse whether an instruction may be executed together with the next
 */
export function writeRecords(
  view: DataView,
  recordsAt: number,
  codeAt: number,
  offset: number,
  fuse: boolean,
): void {
  let before: number | undefined;
  for (;;) {
    const at = recordsAt + (offset << recordShift);
    const low = view.getUint16(codeAt + offset, true);
    const compressed = isCompressed(low);
    if (!compressed && offset === pageBytes - 2) {
      view.setUint16(at, handler.straddle, true);
      return;
    }
    const word = compressed ? low : view.getUint32(codeAt + offset, true);
    const goesOn = writeRecord(view, at, word);
    if (fuse && before !== undefined) fuseRecords(view, before, at);
    if (!goesOn) return;
    before = at;
    offset += compressed ? 2 : 4;
    if (offset >= pageBytes) return;
    const next = recordsAt + (offset << recordShift);
    if (view.getUint16(next, true) === handler.undecoded) continue;
    if (fuse) fuseRecords(view, at, next);
    return;
  }
}

/** The first of two decoded records now stands for both, if that pair has a handler. */
function fuseRecords(view: DataView, first: number, second: number): void {
  const pair = pairOf(rowAt(view, first), rowAt(view, second));
  if (pair !== undefined) view.setUint16(first, firstPair + pair, true);
}

const firstPair = handler.firstRow + rows.length;

/** The row of the instruction at a decoded record; negative if it has none. */
function rowAt(view: DataView, at: number): number {
  const value = view.getUint16(at, true);
  return value >= firstPair ? pairs[value - firstPair]![0] : value - handler.firstRow;
}

/** Whether there is an instruction at this record that is known and may be executed as it stands. */
export function isDecoded(view: DataView, at: number): boolean {
  const value = view.getUint16(at, true);
  return value !== handler.undecoded && value !== handler.breakpoint;
}

/** Makes what is decoded at this record a breakpoint; the instruction is then fetched singly. */
export function writeBreakpoint(view: DataView, at: number): void {
  if (isDecoded(view, at)) view.setUint16(at, handler.breakpoint, true);
}

export function writePageEnd(view: DataView, at: number): void {
  view.setUint16(at, handler.pageEnd, true);
}
