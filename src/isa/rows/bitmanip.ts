/** Zba, Zbb and Zbs (unprivileged manual 20240411, chapter 28). */
import { type Row, row } from '../row.ts';
import {
  add,
  and,
  choose,
  clz,
  ctz,
  type Expr,
  extend8,
  extend16,
  i64,
  ltS,
  ltU,
  not,
  op,
  or,
  popcnt,
  rotl,
  rotr,
  sext,
  shl,
  shrU,
  wrap,
  xor,
  zext,
  zext32,
} from '../semantics.ts';
import { OP, OP_32, OP_IMM, OP_IMM_32, register, shift, type Two } from './shapes.ts';

type One = (a: Expr) => Expr;

const one = (name: string, funct12: string, funct3: string, opcode: string, result: One): Row =>
  row(name, 'R2', `${funct12} ..... ${funct3} ..... ${opcode}`, (o) => {
    const a = o.let(o.x('rs1'));
    o.setX('rd', result(a));
  });

/** rs1 scaled and added to rs2: address arithmetic. */
const shiftAdd = (by: number, prepare: One = (a) => a): Two => {
  return (a, b) => add(shl(prepare(a), by), b);
};
const single = (b: Expr): Expr => shl(i64(1), b);

/** Bytes that are not zero become 0xff. */
function orCombine(a: Expr): Expr {
  const low7 = 0x7f7f7f7f7f7f7f7fn;
  // The top bit of each byte: set if any bit of the byte is.
  const any = and(or(add(and(a, low7), low7), a), 0x8080808080808080n);
  return op('i64.mul', shrU(any, 7), i64(0xff));
}

function reverseBytes(a: Expr): Expr {
  const pairs = or(shl(and(a, 0x00ff00ff00ff00ffn), 8), and(shrU(a, 8), 0x00ff00ff00ff00ffn));
  const quads = or(
    shl(and(pairs, 0x0000ffff0000ffffn), 16),
    and(shrU(pairs, 16), 0x0000ffff0000ffffn),
  );
  return rotl(quads, 32);
}

export const bitmanipRows: readonly Row[] = [
  register('sh1add', '0010000', '010', OP, shiftAdd(1)),
  register('sh2add', '0010000', '100', OP, shiftAdd(2)),
  register('sh3add', '0010000', '110', OP, shiftAdd(3)),
  register('add.uw', '0000100', '000', OP_32, shiftAdd(0, zext32)),
  register('sh1add.uw', '0010000', '010', OP_32, shiftAdd(1, zext32)),
  register('sh2add.uw', '0010000', '100', OP_32, shiftAdd(2, zext32)),
  register('sh3add.uw', '0010000', '110', OP_32, shiftAdd(3, zext32)),
  shift('slli.uw', '000010', '001', OP_IMM_32, (a, b) => shl(zext32(a), b)),
  register('andn', '0100000', '111', OP, (a, b) => and(a, not(b))),
  register('orn', '0100000', '110', OP, (a, b) => or(a, not(b))),
  register('xnor', '0100000', '100', OP, (a, b) => not(xor(a, b))),
  one('clz', '011000000000', '001', OP_IMM, clz),
  one('clzw', '011000000000', '001', OP_IMM_32, (a) => zext(clz(wrap(a)))),
  one('ctz', '011000000001', '001', OP_IMM, ctz),
  one('ctzw', '011000000001', '001', OP_IMM_32, (a) => zext(ctz(wrap(a)))),
  one('cpop', '011000000010', '001', OP_IMM, popcnt),
  one('cpopw', '011000000010', '001', OP_IMM_32, (a) => popcnt(zext32(a))),
  register('max', '0000101', '110', OP, (a, b) => choose(ltS(a, b), b, a)),
  register('maxu', '0000101', '111', OP, (a, b) => choose(ltU(a, b), b, a)),
  register('min', '0000101', '100', OP, (a, b) => choose(ltS(a, b), a, b)),
  register('minu', '0000101', '101', OP, (a, b) => choose(ltU(a, b), a, b)),
  one('sext.b', '011000000100', '001', OP_IMM, extend8),
  one('sext.h', '011000000101', '001', OP_IMM, extend16),
  one('zext.h', '000010000000', '100', OP_32, (a) => and(a, 0xffff)),
  register('rol', '0110000', '001', OP, rotl),
  register('rolw', '0110000', '001', OP_32, (a, b) => sext(rotl(wrap(a), wrap(b)))),
  register('ror', '0110000', '101', OP, rotr),
  register('rorw', '0110000', '101', OP_32, (a, b) => sext(rotr(wrap(a), wrap(b)))),
  shift('rori', '011000', '101', OP_IMM, rotr),
  shift('roriw', '0110000', '101', OP_IMM_32, (a, b) => sext(rotr(wrap(a), wrap(b)))),
  one('orc.b', '001010000111', '101', OP_IMM, orCombine),
  one('rev8', '011010111000', '101', OP_IMM, reverseBytes),
  register('bclr', '0100100', '001', OP, (a, b) => and(a, not(single(b)))),
  shift('bclri', '010010', '001', OP_IMM, (a, b) => and(a, not(single(b)))),
  register('bext', '0100100', '101', OP, (a, b) => and(shrU(a, b), 1)),
  shift('bexti', '010010', '101', OP_IMM, (a, b) => and(shrU(a, b), 1)),
  register('binv', '0110100', '001', OP, (a, b) => xor(a, single(b))),
  shift('binvi', '011010', '001', OP_IMM, (a, b) => xor(a, single(b))),
  register('bset', '0010100', '001', OP, (a, b) => or(a, single(b))),
  shift('bseti', '001010', '001', OP_IMM, (a, b) => or(a, single(b))),
];
