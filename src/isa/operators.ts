/**
 * The numeric operators of the semantics language: those of WebAssembly (core specification 2.0,
 * section 4.3), because the engine's tiers are WebAssembly. One row gives name, opcode and exact
 * meaning, so the emitter and the evaluator cannot disagree about what exists.
 *
 * Values are i32 and i64, unsigned bigint in the evaluator. Floating-point operators take and give
 * the bits of their values in an i64. They round to nearest even, raise no flags, and the payloads
 * of their NaNs are unspecified: rows use a result only where none of this can matter.
 */
import { type Format, f32, f64, fma, RNE } from './softfloat.ts';

export type Type = 'i32' | 'i64';

export interface Operator {
  /** The first byte of its opcode; what follows it (numeric and vector prefixes) leads `result`. */
  readonly opcode: number;
  /** Opcodes emitted behind each operand and behind the result, for floats held as their bits. */
  readonly around?: { readonly operand: readonly number[]; readonly result: readonly number[] };
  readonly takes: readonly Type[];
  readonly gives: Type;
  /** Only where the host multiplies and adds in one rounding; else its result is a NaN. */
  readonly fused?: true;
  readonly meaning: (...args: bigint[]) => bigint;
}

const bitsOf = { i32: 32, i64: 64 } as const;

function integerOperators(type: Type, opcodes: Readonly<Record<string, number>>) {
  const bits = bitsOf[type];
  const signed = (value: bigint): bigint => BigInt.asIntN(bits, value);
  const wrap = (value: bigint): bigint => BigInt.asUintN(bits, value);
  const flag = (value: boolean): bigint => (value ? 1n : 0n);
  const shift = (count: bigint): bigint => count & BigInt(bits - 1);
  const binary: Record<string, (a: bigint, b: bigint) => bigint> = {
    add: (a, b) => wrap(a + b),
    sub: (a, b) => wrap(a - b),
    mul: (a, b) => wrap(a * b),
    div_s: (a, b) => wrap(signed(a) / signed(b)),
    div_u: (a, b) => a / b,
    rem_s: (a, b) => wrap(signed(a) % signed(b)),
    rem_u: (a, b) => a % b,
    and: (a, b) => a & b,
    or: (a, b) => a | b,
    xor: (a, b) => a ^ b,
    shl: (a, b) => wrap(a << shift(b)),
    shr_s: (a, b) => wrap(signed(a) >> shift(b)),
    shr_u: (a, b) => a >> shift(b),
    rotl: (a, b) => wrap((a << shift(b)) | (a >> (BigInt(bits) - shift(b)))),
    rotr: (a, b) => wrap((a >> shift(b)) | (a << (BigInt(bits) - shift(b)))),
  };
  const comparison: Record<string, (a: bigint, b: bigint) => boolean> = {
    eq: (a, b) => a === b,
    ne: (a, b) => a !== b,
    lt_s: (a, b) => signed(a) < signed(b),
    lt_u: (a, b) => a < b,
    gt_s: (a, b) => signed(a) > signed(b),
    gt_u: (a, b) => a > b,
    le_s: (a, b) => signed(a) <= signed(b),
    le_u: (a, b) => a <= b,
    ge_s: (a, b) => signed(a) >= signed(b),
    ge_u: (a, b) => a >= b,
  };
  const unary: Record<string, (a: bigint) => bigint> = {
    clz: (a) => BigInt(bits - (a === 0n ? 0 : a.toString(2).length)),
    ctz: (a) => BigInt(a === 0n ? bits : (a & -a).toString(2).length - 1),
    popcnt: (a) => BigInt(a.toString(2).replaceAll('0', '').length),
    extend8_s: (a) => wrap(BigInt.asIntN(8, a)),
    extend16_s: (a) => wrap(BigInt.asIntN(16, a)),
    extend32_s: (a) => wrap(BigInt.asIntN(32, a)),
  };
  const operators: Record<string, Operator> = {};
  for (const [name, opcode] of Object.entries(opcodes)) {
    const full = `${type}.${name}`;
    const two = binary[name];
    const compare = comparison[name];
    const one = unary[name];
    if (two) operators[full] = { opcode, takes: [type, type], gives: type, meaning: two };
    else if (compare) {
      const meaning = (a: bigint, b: bigint): bigint => flag(compare(a, b));
      operators[full] = { opcode, takes: [type, type], gives: 'i32', meaning };
    } else if (one) operators[full] = { opcode, takes: [type], gives: type, meaning: one };
    else if (name === 'eqz') {
      const meaning = (a: bigint): bigint => flag(a === 0n);
      operators[full] = { opcode, takes: [type], gives: 'i32', meaning };
    }
  }
  return operators;
}

/** Opcodes of the comparisons and of the arithmetic run in the same order for both types. */
const comparisons = 'eqz eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u'.split(' ');
const arithmetic =
  'clz ctz popcnt add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr'.split(
    ' ',
  );

function opcodesFrom(compareBase: number, arithmeticBase: number, extendBase: number) {
  const opcodes: Record<string, number> = {};
  for (const [index, name] of comparisons.entries()) opcodes[name] = compareBase + index;
  for (const [index, name] of arithmetic.entries()) opcodes[name] = arithmeticBase + index;
  opcodes['extend8_s'] = extendBase;
  opcodes['extend16_s'] = extendBase + 1;
  return opcodes;
}

const scratch = new DataView(new ArrayBuffer(8));
const doubleOf = (bits: bigint): number => {
  scratch.setBigUint64(0, bits);
  return scratch.getFloat64(0);
};
const bitsOfDouble = (value: number): bigint => {
  scratch.setFloat64(0, value);
  return scratch.getBigUint64(0);
};
const singleOf = (bits: bigint): number => {
  scratch.setUint32(0, Number(bits & 0xffff_ffffn));
  return scratch.getFloat32(0);
};
const bitsOfSingle = (value: number): bigint => {
  scratch.setFloat32(0, value);
  return BigInt(scratch.getUint32(0));
};

const wrapI64 = 0xa7;
const extendI32 = 0xad;
/** One operation on numbers is right for both widths: rounding a double's sum, difference, product,
 * quotient or root of two singles to single gives the correctly rounded single (Figueroa 1995). */
const floatArithmetic: Readonly<Record<string, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  sqrt: Math.sqrt,
  min: Math.min,
  max: Math.max,
};
const floatComparison: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  eq: (a, b) => a === b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
};

function floatOperators(): Record<string, Operator> {
  const formats = [
    {
      name: 'f32',
      opcodes: {
        sqrt: 0x91,
        add: 0x92,
        sub: 0x93,
        mul: 0x94,
        div: 0x95,
        min: 0x96,
        max: 0x97,
        eq: 0x5b,
        lt: 0x5d,
        le: 0x5f,
      },
      operand: [wrapI64, 0xbe],
      result: [0xbc, extendI32],
      decode: singleOf,
      encode: bitsOfSingle,
    },
    {
      name: 'f64',
      opcodes: {
        sqrt: 0x9f,
        add: 0xa0,
        sub: 0xa1,
        mul: 0xa2,
        div: 0xa3,
        min: 0xa4,
        max: 0xa5,
        eq: 0x61,
        lt: 0x63,
        le: 0x65,
      },
      operand: [0xbf],
      result: [0xbd],
      decode: doubleOf,
      encode: bitsOfDouble,
    },
  ];
  const found: Record<string, Operator> = {};
  for (const format of formats) {
    for (const [name, opcode] of Object.entries(format.opcodes)) {
      const takes: Type[] = name === 'sqrt' ? ['i64'] : ['i64', 'i64'];
      const arithmetic = floatArithmetic[name];
      const compare = floatComparison[name];
      found[`${format.name}.${name}`] = {
        opcode,
        takes,
        gives: 'i64',
        around: { operand: format.operand, result: arithmetic ? format.result : [extendI32] },
        meaning: (a, b = 0n) => {
          const [left, right] = [format.decode(a), format.decode(b)];
          return arithmetic
            ? format.encode(arithmetic(left, right))
            : compare!(left, right)
              ? 1n
              : 0n;
        },
      };
    }
  }
  return found;
}

/** Bytes around a float held as its bits: in front of an operation, and behind it. */
const asDouble = { operand: [0xbf], result: [0xbd] };
const asSingle = { operand: [wrapI64, 0xbe], result: [0xbc, extendI32] };

const signedOf: Readonly<Record<Type, (value: bigint) => bigint>> = {
  i32: (value) => BigInt.asIntN(32, value),
  i64: (value) => BigInt.asIntN(64, value),
};
const integerPart = (value: number, bits: number): bigint =>
  Number.isFinite(value) ? BigInt.asUintN(bits, BigInt(Math.trunc(value))) : 0n;

/** To nearest even, as the others; a conversion to an integer is right only within its range. */
function floatConversions(): Record<string, Operator> {
  const fromInteger = (
    type: Type,
    around: typeof asDouble,
    encode: (value: number) => bigint,
    opcodes: readonly [signed: number, unsigned: number],
  ): Operator[] =>
    opcodes.map((opcode, unsigned) => ({
      opcode,
      around: { operand: [], result: around.result },
      takes: [type],
      gives: 'i64',
      meaning: (a) => encode(Number(unsigned ? a : signedOf[type](a))),
    }));
  const toInteger = (
    type: Type,
    around: typeof asDouble,
    decode: (bits: bigint) => number,
    opcodes: readonly [signed: number, unsigned: number],
  ): Operator[] =>
    opcodes.map((opcode) => ({
      opcode: 0xfc,
      around: { operand: around.operand, result: [opcode] },
      takes: ['i64'],
      gives: type,
      meaning: (a) => integerPart(decode(a), bitsOf[type]),
    }));
  const pair = (name: string, [signed, unsigned]: Operator[]): Record<string, Operator> => ({
    [`${name}_s`]: signed!,
    [`${name}_u`]: unsigned!,
  });
  return {
    ...pair('f64.convert_i32', fromInteger('i32', asDouble, bitsOfDouble, [0xb7, 0xb8])),
    ...pair('f64.convert_i64', fromInteger('i64', asDouble, bitsOfDouble, [0xb9, 0xba])),
    ...pair('f32.convert_i32', fromInteger('i32', asSingle, bitsOfSingle, [0xb2, 0xb3])),
    ...pair('i32.trunc_sat_f32', toInteger('i32', asSingle, singleOf, [0, 1])),
    ...pair('i32.trunc_sat_f64', toInteger('i32', asDouble, doubleOf, [2, 3])),
    ...pair('i64.trunc_sat_f32', toInteger('i64', asSingle, singleOf, [4, 5])),
    ...pair('i64.trunc_sat_f64', toInteger('i64', asDouble, doubleOf, [6, 7])),
    'f32.demote_f64': {
      opcode: 0xb6,
      around: { operand: asDouble.operand, result: asSingle.result },
      takes: ['i64'],
      gives: 'i64',
      meaning: (a) => bitsOfSingle(doubleOf(a)),
    },
    'f64.promote_f32': {
      opcode: 0xbb,
      around: { operand: asSingle.operand, result: asDouble.result },
      takes: ['i64'],
      gives: 'i64',
      meaning: (a) => bitsOfDouble(singleOf(a)),
    },
  };
}

/** a * b + c in one rounding: relaxed_madd (relaxed SIMD), where that is fused. */
function fusedOperators(): Record<string, Operator> {
  const madd = (
    format: Format,
    around: typeof asDouble,
    shape: { splat: number; extract: number; madd: number },
  ): Operator => ({
    opcode: 0xfd,
    around: {
      operand: [...around.operand, 0xfd, shape.splat],
      result: [shape.madd, 0x02, 0xfd, shape.extract, 0, ...around.result],
    },
    takes: ['i64', 'i64', 'i64'],
    gives: 'i64',
    fused: true,
    meaning: (a, b, c) => fma(format, a!, b!, c!, RNE, { flags: 0 }),
  });
  return {
    'f32.fma': madd(f32, asSingle, { splat: 0x13, extract: 0x1f, madd: 0x85 }),
    'f64.fma': madd(f64, asDouble, { splat: 0x14, extract: 0x21, madd: 0x87 }),
  };
}

export const operators: Readonly<Record<string, Operator>> = {
  ...floatConversions(),
  ...fusedOperators(),
  ...integerOperators('i32', opcodesFrom(0x45, 0x67, 0xc0)),
  ...integerOperators('i64', { ...opcodesFrom(0x50, 0x79, 0xc2), extend32_s: 0xc4 }),
  ...floatOperators(),
  'i32.wrap_i64': {
    opcode: 0xa7,
    takes: ['i64'],
    gives: 'i32',
    meaning: (a) => BigInt.asUintN(32, a),
  },
  'i64.extend_i32_s': {
    opcode: 0xac,
    takes: ['i32'],
    gives: 'i64',
    meaning: (a) => BigInt.asUintN(64, BigInt.asIntN(32, a)),
  },
  'i64.extend_i32_u': { opcode: 0xad, takes: ['i32'], gives: 'i64', meaning: (a) => a },
};

/** Loads and stores: opcode, bytes, and whether a load extends the sign. */
export interface Access {
  readonly load: number;
  readonly store: number;
  readonly bytes: 1 | 2 | 4 | 8;
  readonly type: Type;
  readonly signed: boolean;
}

export const accesses = {
  i8: { load: 0x30, store: 0x3c, bytes: 1, type: 'i64', signed: true },
  u8: { load: 0x31, store: 0x3c, bytes: 1, type: 'i64', signed: false },
  i16: { load: 0x32, store: 0x3d, bytes: 2, type: 'i64', signed: true },
  u16: { load: 0x33, store: 0x3d, bytes: 2, type: 'i64', signed: false },
  i32: { load: 0x34, store: 0x3e, bytes: 4, type: 'i64', signed: true },
  u32: { load: 0x35, store: 0x3e, bytes: 4, type: 'i64', signed: false },
  u64: { load: 0x29, store: 0x37, bytes: 8, type: 'i64', signed: false },
  /** As 32-bit values, for Umbra's own tables in linear memory. */
  byte: { load: 0x2d, store: 0x3a, bytes: 1, type: 'i32', signed: false },
  half: { load: 0x2f, store: 0x3b, bytes: 2, type: 'i32', signed: false },
  word: { load: 0x28, store: 0x36, bytes: 4, type: 'i32', signed: false },
} as const satisfies Record<string, Access>;

export type AccessName = keyof typeof accesses;
