/** RV64I, Zifencei and the M extension (unprivileged manual 20240411, chapters 2 to 4, 12). */
import { type Row, row } from '../row.ts';
import {
  add,
  and,
  type Builder,
  choose,
  divS,
  divU,
  type Expr,
  eq,
  eqz,
  extend32,
  geS,
  geU,
  i32,
  ltS,
  ltU,
  mul,
  ne,
  or,
  remS,
  remU,
  sext,
  shl,
  shrS,
  shrU,
  sub,
  wrap,
  xor,
  zext,
  zext32,
} from '../semantics.ts';
import { OP, OP_32, OP_IMM, OP_IMM_32, register, shift, type Two } from './shapes.ts';

const immediate = (name: string, funct3: string, opcode: string, result: Two): Row =>
  row(name, 'I', `............ ..... ${funct3} ..... ${opcode}`, (o) =>
    o.setX('rd', result(o.x('rs1'), o.imm)),
  );

/** A 32-bit operation whose result is sign-extended, as all W instructions do. */
const word =
  (operation: Two): Two =>
  (a, b) =>
    sext(operation(wrap(a), wrap(b)));

const branch = (name: string, funct3: string, taken: Two): Row =>
  row(name, 'B', `....... ..... ..... ${funct3} ..... 1100011`, (o) =>
    o.if(taken(o.x('rs1'), o.x('rs2')), () => o.jump(add(o.pc, o.imm))),
  );

const load = (name: string, funct3: string, access: Parameters<Builder['load']>[0]): Row =>
  row(name, 'I', `............ ..... ${funct3} ..... 0000011`, (o) =>
    o.setX('rd', o.load(access, add(o.x('rs1'), o.imm))),
  );
const store = (name: string, funct3: string, access: Parameters<Builder['store']>[0]): Row =>
  row(name, 'S', `....... ..... ..... ${funct3} ..... 0100011`, (o) =>
    o.store(access, add(o.x('rs1'), o.imm), o.x('rs2')),
  );

/** The upper 64 bits of a product of unsigned numbers, by 32-bit halves. */
function mulHighUnsigned(o: Builder, a: Expr, b: Expr): Expr {
  const [aLow, aHigh] = [o.let(zext32(a)), o.let(shrU(a, 32))];
  const [bLow, bHigh] = [o.let(zext32(b)), o.let(shrU(b, 32))];
  const lowHigh = o.let(mul(aLow, bHigh));
  const middle = o.let(add(add(mul(aHigh, bLow), shrU(mul(aLow, bLow), 32)), zext32(lowHigh)));
  return add(add(mul(aHigh, bHigh), shrU(lowHigh, 32)), shrU(middle, 32));
}

/** `a` if `condition` is negative, else zero: what signs add to an unsigned high product. */
const ifNegative = (condition: Expr, a: Expr): Expr => and(shrS(condition, 63), a);

const mulHigh = (name: string, funct3: string, correct: (high: Expr, a: Expr, b: Expr) => Expr) =>
  row(name, 'R', `0000001 ..... ..... ${funct3} ..... ${OP}`, (o) => {
    const a = o.let(o.x('rs1'));
    const b = o.let(o.x('rs2'));
    o.setX('rd', correct(mulHighUnsigned(o, a, b), a, b));
  });

const minimum64 = 1n << 63n;
const minimum32 = 1 << 31;

/** Division never traps: by zero and overflow have defined results (manual, section 12.2). */
const division = (name: string, funct3: string, result: Two): Row =>
  register(name, '0000001', funct3, OP, result);
const divisionWord = (name: string, funct3: string, result: Two): Row =>
  register(name, '0000001', funct3, OP_32, word(result));

/** The only overflow of a signed division: the most negative number by -1. */
const overflows = (a: Expr, b: Expr): Expr =>
  and(eq(a, a.type === 'i64' ? minimum64 : minimum32), eq(b, -1));

export const baseRows: readonly Row[] = [
  row('lui', 'U', '.................... ..... 0110111', (o) => o.setX('rd', o.imm)),
  row('auipc', 'U', '.................... ..... 0010111', (o) => o.setX('rd', add(o.pc, o.imm))),
  row('jal', 'J', '.................... ..... 1101111', (o) => {
    o.setX('rd', o.nextPc);
    o.jump(add(o.pc, o.imm));
  }),
  row('jalr', 'I', '............ ..... 000 ..... 1100111', (o) => {
    const target = o.let(and(add(o.x('rs1'), o.imm), -2));
    o.setX('rd', o.nextPc);
    o.jump(target);
  }),
  branch('beq', '000', eq),
  branch('bne', '001', ne),
  branch('blt', '100', ltS),
  branch('bge', '101', geS),
  branch('bltu', '110', ltU),
  branch('bgeu', '111', geU),
  load('lb', '000', 'i8'),
  load('lh', '001', 'i16'),
  load('lw', '010', 'i32'),
  load('ld', '011', 'u64'),
  load('lbu', '100', 'u8'),
  load('lhu', '101', 'u16'),
  load('lwu', '110', 'u32'),
  store('sb', '000', 'u8'),
  store('sh', '001', 'u16'),
  store('sw', '010', 'u32'),
  store('sd', '011', 'u64'),
  immediate('addi', '000', OP_IMM, add),
  immediate('slti', '010', OP_IMM, (a, b) => zext(ltS(a, b))),
  immediate('sltiu', '011', OP_IMM, (a, b) => zext(ltU(a, b))),
  immediate('xori', '100', OP_IMM, xor),
  immediate('ori', '110', OP_IMM, or),
  immediate('andi', '111', OP_IMM, and),
  shift('slli', '000000', '001', OP_IMM, shl),
  shift('srli', '000000', '101', OP_IMM, shrU),
  shift('srai', '010000', '101', OP_IMM, shrS),
  register('add', '0000000', '000', OP, add),
  register('sub', '0100000', '000', OP, sub),
  register('sll', '0000000', '001', OP, shl),
  register('slt', '0000000', '010', OP, (a, b) => zext(ltS(a, b))),
  register('sltu', '0000000', '011', OP, (a, b) => zext(ltU(a, b))),
  register('xor', '0000000', '100', OP, xor),
  register('srl', '0000000', '101', OP, shrU),
  register('sra', '0100000', '101', OP, shrS),
  register('or', '0000000', '110', OP, or),
  register('and', '0000000', '111', OP, and),
  immediate('addiw', '000', OP_IMM_32, (a, b) => extend32(add(a, b))),
  shift('slliw', '0000000', '001', OP_IMM_32, word(shl)),
  shift('srliw', '0000000', '101', OP_IMM_32, word(shrU)),
  shift('sraiw', '0100000', '101', OP_IMM_32, word(shrS)),
  register('addw', '0000000', '000', OP_32, (a, b) => extend32(add(a, b))),
  register('subw', '0100000', '000', OP_32, (a, b) => extend32(sub(a, b))),
  register('sllw', '0000000', '001', OP_32, word(shl)),
  register('srlw', '0000000', '101', OP_32, word(shrU)),
  register('sraw', '0100000', '101', OP_32, word(shrS)),
  register('mul', '0000001', '000', OP, mul),
  mulHigh('mulh', '001', (high, a, b) => sub(sub(high, ifNegative(a, b)), ifNegative(b, a))),
  mulHigh('mulhsu', '010', (high, a, b) => sub(high, ifNegative(a, b))),
  mulHigh('mulhu', '011', (high) => high),
  division('div', '100', (a, b) =>
    choose(eqz(b), -1, choose(overflows(a, b), minimum64, divS(a, b))),
  ),
  division('divu', '101', (a, b) => choose(eqz(b), -1, divU(a, b))),
  division('rem', '110', (a, b) => choose(eqz(b), a, choose(eq(b, -1), 0, remS(a, b)))),
  division('remu', '111', (a, b) => choose(eqz(b), a, remU(a, b))),
  register('mulw', '0000001', '000', OP_32, (a, b) => extend32(mul(a, b))),
  divisionWord('divw', '100', (a, b) =>
    choose(eqz(b), -1, choose(overflows(a, b), minimum32, divS(a, b))),
  ),
  divisionWord('divuw', '101', (a, b) => choose(eqz(b), -1, divU(a, b))),
  divisionWord('remw', '110', (a, b) => choose(eqz(b), a, choose(eq(b, -1), i32(0), remS(a, b)))),
  divisionWord('remuw', '111', (a, b) => choose(eqz(b), a, remU(a, b))),
  // Memory is sequentially consistent and stores into code are seen at once: fences do nothing.
  row('fence', 'None', '............ ..... 000 ..... 0001111', () => {}),
  row('fence.i', 'None', '............ ..... 001 ..... 0001111', () => {}),
];
