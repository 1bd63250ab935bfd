/**
 * The F and D extensions (unprivileged manual 20240411, chapters 20 and 21).
 *
 * Every operation is exact. Where the host's arithmetic is certain to give the same bits and no new
 * flag (to nearest even, inexact already raised, a normal result well inside the range), it is
 * used; everything else goes to isa/softfloat.ts.
 */
import { floatOperationNumber } from '../float-operations.ts';
import { cause, hart, status } from '../hart-state.ts';
import type { AccessName } from '../operators.ts';
import { floatOperation } from '../primitives.ts';
import { type Row, row } from '../row.ts';
import {
  add,
  and,
  type Builder,
  choose,
  type Expr,
  eq,
  eqz,
  extend32,
  type FField,
  get,
  geU,
  gtU,
  i32,
  i64,
  ltU,
  ne,
  not,
  op,
  or,
  sext,
  shrU,
  sub,
  wrap,
  xor,
  zext32,
} from '../semantics.ts';

interface Format {
  readonly suffix: 's' | 'd';
  /** The two bits of the instruction that name the format. */
  readonly code: string;
  readonly width: 3 | 2;
  readonly funct3: string;
  readonly load: AccessName;
  readonly store: AccessName;
  readonly sign: bigint;
  readonly fractionBits: number;
  readonly exponentMask: number;
  /** A register's value in this format: what is not boxed properly is the canonical NaN. */
  read(raw: Expr): Expr;
  box(value: Expr): Expr;
}

const boxed = 0xffff_ffff_0000_0000n;
const single: Format = {
  suffix: 's',
  code: '00',
  width: 2,
  funct3: '010',
  load: 'u32',
  store: 'u32',
  sign: 1n << 31n,
  fractionBits: 23,
  exponentMask: 0xff,
  read: (raw) => choose(geU(raw, boxed), and(raw, 0xffff_ffffn), 0x7fc0_0000n),
  box: (value) => or(value, boxed),
};
const double: Format = {
  suffix: 'd',
  code: '01',
  width: 3,
  funct3: '011',
  load: 'u64',
  store: 'u64',
  sign: 1n << 63n,
  fractionBits: 52,
  exponentMask: 0x7ff,
  read: (raw) => raw,
  box: (value) => value,
};

/** Floating point that is switched off is illegal (privileged manual, section 3.1.6.6). */
function requireFloat(o: Builder): void {
  o.if(eqz(and(get(hart.mstatus), status.FS)), () => o.trap(cause.illegalInstruction));
}

/** A write makes the state dirty. */
function markDirty(o: Builder): void {
  o.put(hart.mstatus, or(get(hart.mstatus), status.FS));
}

function writeF(o: Builder, format: Format, value: Expr): void {
  const result = o.let(format.box(value));
  markDirty(o);
  o.setF('rd', result);
}

/** The static mode, or `frm`; a reserved mode is illegal. */
function rounding(o: Builder): Expr {
  const mode = o.let(choose(eq(o.rm, 7), get(hart.frm), o.rm));
  o.if(gtU(mode, 4), () => o.trap(cause.illegalInstruction));
  return mode;
}

const read = (o: Builder, format: Format, field: FField): Expr => o.let(format.read(o.f(field)));

function operate(o: Builder, name: string, mode: Expr, a: Expr, b?: Expr, c?: Expr): Expr {
  const number = floatOperationNumber(name);
  return o.call(floatOperation, number, a, b ?? i64(0), c ?? i64(0), mode);
}

/**
 * The same where no F register is written: only a flag newly raised makes the state dirty, and must,
 * or a kernel that saves what is dirty would lose it.
 */
function operateToX(o: Builder, name: string, mode: Expr, a: Expr, b?: Expr): Expr {
  const before = o.let(get(hart.fflags));
  const result = o.let(operate(o, name, mode, a, b));
  o.if(ne(get(hart.fflags), before), () => markDirty(o));
  return result;
}

const exponentOf = (format: Format, value: Expr): Expr =>
  and(wrap(shrU(value, format.fractionBits)), format.exponentMask);

/**
 * Host arithmetic with its guard: `quick` computes in round-to-nearest-even without flags. Its
 * result stands if no flag but an already raised NX can be due.
 */
function guarded(o: Builder, format: Format, mode: Expr, quick: Expr, slow: () => Expr): Expr {
  const result = o.let(quick);
  const exponent = o.let(exponentOf(format, result));
  const plain = and(
    onlyInexact(mode, toNearest),
    // Two above the subnormals, and neither infinite nor NaN.
    ltU(sub(exponent, 2), format.exponentMask - 2),
  );
  return quickIf(o, plain, result, slow);
}

/** Whether the only flag that an operation can raise in this mode, NX, is raised already. */
const onlyInexact = (mode: Expr, wanted: number): Expr =>
  and(eq(mode, wanted), and(get(hart.fflags), 1));

/** `result` where `plain` holds, `slow` elsewhere. */
function quickIf(o: Builder, plain: Expr, result: Expr, slow: () => Expr): Expr {
  o.if(eqz(plain), () => o.set(result, slow()));
  return result;
}

const isNan = (format: Format, value: Expr): Expr =>
  gtU(and(value, format.sign - 1n), BigInt(format.exponentMask) << BigInt(format.fractionBits));

/** WebAssembly's name of a format. */
const native = (format: Format): string => (format.suffix === 'd' ? 'f64' : 'f32');

const toNearest = 0;
const towardsZero = 1;

const opFp = '1010011';

function arithmetic(format: Format, name: string, funct5: string): Row {
  const pattern = `${funct5} ${format.code} ..... ..... ... ..... ${opFp}`;
  return row(`f${name}.${format.suffix}`, 'R', pattern, (o) => {
    requireFloat(o);
    const mode = rounding(o);
    const a = read(o, format, 'rs1');
    const b = read(o, format, 'rs2');
    const quick = op(`${native(format)}.${name}`, a, b);
    const full = `${name}.${format.suffix}`;
    writeF(
      o,
      format,
      guarded(o, format, mode, quick, () => operate(o, full, mode, a, b)),
    );
  });
}

function squareRoot(format: Format): Row {
  const pattern = `01011 ${format.code} 00000 ..... ... ..... ${opFp}`;
  return row(`fsqrt.${format.suffix}`, 'R2', pattern, (o) => {
    requireFloat(o);
    const mode = rounding(o);
    const a = read(o, format, 'rs1');
    const quick = op(`${native(format)}.sqrt`, a);
    const full = `sqrt.${format.suffix}`;
    writeF(
      o,
      format,
      guarded(o, format, mode, quick, () => operate(o, full, mode, a)),
    );
  });
}

/** a*b+c with the signs of the product and of the addend changed as the name says. */
function fused(format: Format, name: string, opcode: string, product: boolean, addend: boolean) {
  const pattern = `..... ${format.code} ..... ..... ... ..... ${opcode}`;
  return row(`${name}.${format.suffix}`, 'R4', pattern, (o) => {
    requireFloat(o);
    const mode = rounding(o);
    const negate = (value: Expr, when: boolean): Expr => (when ? xor(value, format.sign) : value);
    const a = o.let(negate(read(o, format, 'rs1'), product));
    const b = read(o, format, 'rs2');
    const c = o.let(negate(read(o, format, 'rs3'), addend));
    const quick = op(`${native(format)}.fma`, a, b, c);
    const slow = (): Expr => operate(o, `madd.${format.suffix}`, mode, a, b, c);
    writeF(o, format, guarded(o, format, mode, quick, slow));
  });
}

function signInjection(
  format: Format,
  name: string,
  funct3: string,
  sign: (a: Expr, b: Expr) => Expr,
): Row {
  const pattern = `00100 ${format.code} ..... ..... ${funct3} ..... ${opFp}`;
  return row(`${name}.${format.suffix}`, 'R', pattern, (o) => {
    requireFloat(o);
    const a = read(o, format, 'rs1');
    const b = read(o, format, 'rs2');
    const magnitude = and(a, format.sign - 1n);
    writeF(o, format, or(magnitude, and(sign(a, b), format.sign)));
  });
}

function minMax(format: Format, name: string, funct3: string): Row {
  const pattern = `00101 ${format.code} ..... ..... ${funct3} ..... ${opFp}`;
  return row(`f${name}.${format.suffix}`, 'R', pattern, (o) => {
    requireFloat(o);
    const a = read(o, format, 'rs1');
    const b = read(o, format, 'rs2');
    // Of two zeros the negative one is less, there as here.
    const plain = eqz(or(isNan(format, a), isNan(format, b)));
    const slow = (): Expr => operate(o, `${name}.${format.suffix}`, i32(0), a, b);
    writeF(o, format, quickIf(o, plain, o.let(op(`${native(format)}.${name}`, a, b)), slow));
  });
}

function comparison(format: Format, name: string, funct3: string): Row {
  const pattern = `10100 ${format.code} ..... ..... ${funct3} ..... ${opFp}`;
  return row(`f${name}.${format.suffix}`, 'R', pattern, (o) => {
    requireFloat(o);
    const a = read(o, format, 'rs1');
    const b = read(o, format, 'rs2');
    const quick = op(`${native(format)}.${name}`, a, b);
    const result = o.let(quick);
    o.if(or(isNan(format, a), isNan(format, b)), () =>
      o.set(result, operateToX(o, `${name}.${format.suffix}`, i32(0), a, b)),
    );
    o.setX('rd', result);
  });
}

function classify(format: Format): Row {
  const pattern = `11100 ${format.code} 00000 ..... 001 ..... ${opFp}`;
  return row(`fclass.${format.suffix}`, 'R2', pattern, (o) => {
    requireFloat(o);
    const a = read(o, format, 'rs1');
    o.setX('rd', operate(o, `class.${format.suffix}`, i32(0), a));
  });
}

interface Integer {
  readonly suffix: string;
  readonly name: string;
  readonly rs2: string;
  readonly type: 'i32' | 'i64';
  readonly sign: 's' | 'u';
  /** Bits of its magnitude. */
  readonly bits: number;
}

const integers: readonly Integer[] = [
  { suffix: 'w', name: 'W', rs2: '00000', type: 'i32', sign: 's', bits: 31 },
  { suffix: 'wu', name: 'WU', rs2: '00001', type: 'i32', sign: 'u', bits: 32 },
  { suffix: 'l', name: 'L', rs2: '00010', type: 'i64', sign: 's', bits: 63 },
  { suffix: 'lu', name: 'LU', rs2: '00011', type: 'i64', sign: 'u', bits: 64 },
];

function toInteger(format: Format): Row[] {
  return integers.map(({ suffix, name, rs2, type, sign, bits }) => {
    const pattern = `11000 ${format.code} ${rs2} ..... ... ..... ${opFp}`;
    return row(`fcvt.${suffix}.${format.suffix}`, 'R2', pattern, (o) => {
      requireFloat(o);
      const mode = rounding(o);
      const a = read(o, format, 'rs1');
      // As C converts: towards zero, from a number whose integer part fits.
      const fits = ltU(exponentOf(format, a), exponentBias(format) + bits);
      const signed = sign === 's' ? i32(1) : eqz(and(a, format.sign));
      const plain = and(and(onlyInexact(mode, towardsZero), fits), signed);
      const part = op(`${type}.trunc_sat_${native(format)}_${sign}`, a);
      const quick = type === 'i32' ? sext(part) : part;
      const slow = (): Expr => operateToX(o, `to${name}.${format.suffix}`, mode, a);
      o.setX('rd', quickIf(o, plain, o.let(quick), slow));
    });
  });
}

const exponentBias = (format: Format): number => format.exponentMask >> 1;

/** Whether an integer has no more bits than a significand. */
function isExact(format: Format, type: 'i32' | 'i64', sign: 's' | 'u', a: Expr): Expr {
  const limit = 1n << BigInt(format.fractionBits + 1);
  const value = type === 'i64' ? a : sign === 's' ? extend32(a) : zext32(a);
  return sign === 'u' ? ltU(value, limit) : ltU(add(value, limit), limit << 1n);
}

function fromIntegerValue(
  o: Builder,
  format: Format,
  type: 'i32' | 'i64',
  sign: 's' | 'u',
  mode: Expr,
  a: Expr,
  quick: (from: 'i32' | 'i64') => Expr,
  slow: () => Expr,
): Expr {
  const double = format.suffix === 'd';
  if (type === 'i32' && double) return quick('i32');
  const exact = isExact(format, type, sign, a);
  // WebAssembly's own conversion of 64 bits to single has no counterpart in the evaluator.
  if (type === 'i64' && !double) return quickIf(o, exact, o.let(quick('i32')), slow);
  return quickIf(o, or(exact, onlyInexact(mode, toNearest)), o.let(quick(type)), slow);
}

function fromInteger(format: Format): Row[] {
  return integers.map(({ suffix, name, rs2, type, sign }) => {
    const pattern = `11010 ${format.code} ${rs2} ..... ... ..... ${opFp}`;
    return row(`fcvt.${format.suffix}.${suffix}`, 'R2', pattern, (o) => {
      requireFloat(o);
      const mode = rounding(o);
      const a = o.let(o.x('rs1'));
      const slow = (): Expr => operate(o, `from${name}.${format.suffix}`, mode, a);
      const quick = (from: 'i32' | 'i64'): Expr =>
        op(`${native(format)}.convert_${from}_${sign}`, from === 'i32' ? wrap(a) : a);
      writeF(o, format, fromIntegerValue(o, format, type, sign, mode, a, quick, slow));
    });
  });
}

function loadStoreMove(format: Format): Row[] {
  const { suffix, code, funct3 } = format;
  const letter = suffix === 'd' ? 'd' : 'w';
  return [
    row(`fl${letter}`, 'I', `............ ..... ${funct3} ..... 0000111`, (o) => {
      requireFloat(o);
      const value = o.load(format.load, add(o.x('rs1'), o.imm));
      writeF(o, format, value);
    }),
    row(`fs${letter}`, 'S', `....... ..... ..... ${funct3} ..... 0100111`, (o) => {
      requireFloat(o);
      // The raw bits: a value that is not boxed is stored as it is.
      o.store(format.store, add(o.x('rs1'), o.imm), o.f('rs2'));
    }),
    row(
      `fmv.x.${suffix === 'd' ? 'd' : 'w'}`,
      'R2',
      `11100 ${code} 00000 ..... 000 ..... ${opFp}`,
      (o) => {
        requireFloat(o);
        const raw = o.f('rs1');
        o.setX('rd', suffix === 'd' ? raw : extend32(raw));
      },
    ),
    row(
      `fmv.${suffix === 'd' ? 'd' : 'w'}.x`,
      'R2',
      `11110 ${code} 00000 ..... 000 ..... ${opFp}`,
      (o) => {
        requireFloat(o);
        const value = o.let(o.x('rs1'));
        writeF(o, format, suffix === 'd' ? value : and(value, 0xffff_ffffn));
      },
    ),
  ];
}

function rowsOf(format: Format): Row[] {
  return [
    ...loadStoreMove(format),
    arithmetic(format, 'add', '00000'),
    arithmetic(format, 'sub', '00001'),
    arithmetic(format, 'mul', '00010'),
    arithmetic(format, 'div', '00011'),
    squareRoot(format),
    fused(format, 'fmadd', '1000011', false, false),
    fused(format, 'fmsub', '1000111', false, true),
    fused(format, 'fnmsub', '1001011', true, false),
    fused(format, 'fnmadd', '1001111', true, true),
    signInjection(format, 'fsgnj', '000', (_, b) => b),
    signInjection(format, 'fsgnjn', '001', (_, b) => not(b)),
    signInjection(format, 'fsgnjx', '010', xor),
    minMax(format, 'min', '000'),
    minMax(format, 'max', '001'),
    comparison(format, 'eq', '010'),
    comparison(format, 'lt', '001'),
    comparison(format, 'le', '000'),
    classify(format),
    ...toInteger(format),
    ...fromInteger(format),
  ];
}

export const floatRows: readonly Row[] = [
  ...rowsOf(single),
  ...rowsOf(double),
  row('fcvt.s.d', 'R2', `01000 00 00001 ..... ... ..... ${opFp}`, (o) => {
    requireFloat(o);
    const mode = rounding(o);
    const a = read(o, double, 'rs1');
    const slow = (): Expr => operate(o, 'narrow.s', mode, a);
    writeF(o, single, guarded(o, single, mode, op('f32.demote_f64', a), slow));
  }),
  row('fcvt.d.s', 'R2', `01000 01 00000 ..... ... ..... ${opFp}`, (o) => {
    requireFloat(o);
    const mode = rounding(o);
    const a = read(o, single, 'rs1');
    const slow = (): Expr => operate(o, 'widen.d', mode, a);
    const plain = eqz(isNan(single, a));
    writeF(o, double, quickIf(o, plain, o.let(op('f64.promote_f32', a)), slow));
  }),
];
