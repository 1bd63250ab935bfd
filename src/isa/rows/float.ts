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
  shrU,
  sub,
  wrap,
  xor,
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
    and(eqz(mode), and(get(hart.fflags), 1)),
    // Two above the subnormals, and neither infinite nor NaN.
    ltU(sub(exponent, 2), format.exponentMask - 2),
  );
  o.if(eqz(plain), () => o.set(result, slow()));
  return result;
}

const opFp = '1010011';

function arithmetic(format: Format, name: string, funct5: string): Row {
  const pattern = `${funct5} ${format.code} ..... ..... ... ..... ${opFp}`;
  return row(`f${name}.${format.suffix}`, 'R', pattern, (o) => {
    requireFloat(o);
    const mode = rounding(o);
    const a = read(o, format, 'rs1');
    const b = read(o, format, 'rs2');
    const quick = op(`${format.suffix === 'd' ? 'f64' : 'f32'}.${name}`, a, b);
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
    const quick = op(`${format.suffix === 'd' ? 'f64' : 'f32'}.sqrt`, a);
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
    writeF(o, format, operate(o, `madd.${format.suffix}`, mode, a, b, c));
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
    writeF(o, format, operate(o, `${name}.${format.suffix}`, i32(0), a, b));
  });
}

function comparison(format: Format, name: string, funct3: string): Row {
  const pattern = `10100 ${format.code} ..... ..... ${funct3} ..... ${opFp}`;
  return row(`f${name}.${format.suffix}`, 'R', pattern, (o) => {
    requireFloat(o);
    const a = read(o, format, 'rs1');
    const b = read(o, format, 'rs2');
    const nan = (value: Expr): Expr =>
      gtU(and(value, format.sign - 1n), BigInt(format.exponentMask) << BigInt(format.fractionBits));
    const quick = op(`${format.suffix === 'd' ? 'f64' : 'f32'}.${name}`, a, b);
    const result = o.let(quick);
    o.if(or(nan(a), nan(b)), () =>
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

const integers = [
  { suffix: 'w', name: 'W', rs2: '00000' },
  { suffix: 'wu', name: 'WU', rs2: '00001' },
  { suffix: 'l', name: 'L', rs2: '00010' },
  { suffix: 'lu', name: 'LU', rs2: '00011' },
];

function toInteger(format: Format): Row[] {
  return integers.map(({ suffix, name, rs2 }) => {
    const pattern = `11000 ${format.code} ${rs2} ..... ... ..... ${opFp}`;
    return row(`fcvt.${suffix}.${format.suffix}`, 'R2', pattern, (o) => {
      requireFloat(o);
      const mode = rounding(o);
      const a = read(o, format, 'rs1');
      o.setX('rd', operateToX(o, `to${name}.${format.suffix}`, mode, a));
    });
  });
}

function fromInteger(format: Format): Row[] {
  return integers.map(({ suffix, name, rs2 }) => {
    const pattern = `11010 ${format.code} ${rs2} ..... ... ..... ${opFp}`;
    return row(`fcvt.${format.suffix}.${suffix}`, 'R2', pattern, (o) => {
      requireFloat(o);
      const mode = rounding(o);
      const a = o.let(o.x('rs1'));
      writeF(o, format, operate(o, `from${name}.${format.suffix}`, mode, a));
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
    writeF(o, single, operate(o, 'narrow.s', mode, a));
  }),
  row('fcvt.d.s', 'R2', `01000 01 00000 ..... ... ..... ${opFp}`, (o) => {
    requireFloat(o);
    const mode = rounding(o);
    const a = read(o, single, 'rs1');
    writeF(o, double, operate(o, 'widen.d', mode, a));
  }),
];
