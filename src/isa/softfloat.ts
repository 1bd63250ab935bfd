/**
 * IEEE 754 binary32 and binary64 as RISC-V's F and D extensions want them, in integers alone: the
 * one place that decides a rounding, a flag or a NaN when the host's own arithmetic cannot.
 *
 * Operands and results are raw bits as BigInt (NaN boxing is the caller's business; bits above the
 * format's width are ignored, results are unsigned). Flags are ORed into the caller's sink, which
 * is the shape of `fflags`: an operation never clears one. One body serves both formats.
 *
 * Every finite operation works alike: compute the exact value as `significand * 2^exponent`, or
 * enough of it with a sticky last bit, and give it to `rounded`, which alone knows about modes,
 * subnormals, overflow and flags.
 *
 * Unprivileged ISA, chapters "F" and "D": a NaN result is always the canonical one, tininess is
 * detected after rounding, conversions to integers saturate, min and max are IEEE 754-2019's
 * minimumNumber and maximumNumber.
 */

/** The encoding of `frm`: to nearest even, to zero, down, up, to nearest away from zero. */
export type Rounding = 0 | 1 | 2 | 3 | 4;
export const RNE = 0;
export const RTZ = 1;
export const RDN = 2;
export const RUP = 3;
export const RMM = 4;

/** The bits of `fflags`: inexact, underflow, overflow, division by zero, invalid. */
export const NX = 1;
export const UF = 2;
export const OF = 4;
export const DZ = 8;
export const NV = 16;

export interface FlagSink {
  flags: number;
}

export interface Format {
  readonly width: number;
  /** Bits of the significand with the hidden one: 24 or 53. */
  readonly precision: number;
  readonly fractionBits: bigint;
  /** The exponent field of infinities and NaNs. */
  readonly exponentMax: number;
  /** Exponent of the last bit of a subnormal: the value is `fraction * 2^quantumMin`. */
  readonly quantumMin: number;
  readonly hidden: bigint;
  readonly signBit: bigint;
  readonly infinity: bigint;
  readonly canonicalNaN: bigint;
}

function format(exponentBits: number, precision: number): Format {
  const fractionBits = BigInt(precision - 1);
  const exponentMax = 2 ** exponentBits - 1;
  const infinity = BigInt(exponentMax) << fractionBits;
  return {
    width: exponentBits + precision,
    precision,
    fractionBits,
    exponentMax,
    quantumMin: 3 - 2 ** (exponentBits - 1) - precision,
    hidden: 1n << fractionBits,
    signBit: 1n << BigInt(exponentBits + precision - 1),
    infinity,
    canonicalNaN: infinity | (1n << (fractionBits - 1n)),
  };
}

export const f32: Format = format(8, 24);
export const f64: Format = format(11, 53);

const isNegative = (f: Format, a: bigint): boolean => (a & f.signBit) !== 0n;
const magnitude = (f: Format, a: bigint): bigint => BigInt.asUintN(f.width - 1, a);
const isNan = (f: Format, a: bigint): boolean => magnitude(f, a) > f.infinity;
const isInfinite = (f: Format, a: bigint): boolean => magnitude(f, a) === f.infinity;
const isZero = (f: Format, a: bigint): boolean => magnitude(f, a) === 0n;
const isSignalling = (f: Format, a: bigint): boolean =>
  isNan(f, a) && (a & (f.hidden >> 1n)) === 0n;

const withSign = (f: Format, negative: boolean, bits: bigint): bigint =>
  negative ? bits | f.signBit : bits;

export const negate = (f: Format, a: bigint): bigint => BigInt.asUintN(f.width, a ^ f.signBit);

function invalid(f: Format, sink: FlagSink): bigint {
  sink.flags |= NV;
  return f.canonicalNaN;
}

/** The result of an operation one of whose operands is a NaN. */
function quiet(f: Format, sink: FlagSink, a: bigint, b = 0n, c = 0n): bigint {
  if (isSignalling(f, a) || isSignalling(f, b) || isSignalling(f, c)) sink.flags |= NV;
  return f.canonicalNaN;
}

/** A finite number's significand: an integer in units of `2^quantum`. */
function significand(f: Format, a: bigint): bigint {
  const fraction = BigInt.asUintN(f.precision - 1, a);
  return magnitude(f, a) >= f.hidden ? fraction | f.hidden : fraction;
}

function quantum(f: Format, a: bigint): number {
  const exponent = Number(magnitude(f, a) >> f.fractionBits);
  return f.quantumMin + (exponent === 0 ? 0 : exponent - 1);
}

const float = new Float64Array(1);
const floatWords = new Uint32Array(float.buffer);
/** Typed arrays have the host's byte order. */
const highWord = new Uint8Array(new Uint16Array([1]).buffer)[0]!;

/** Bits of a positive integer below 2^1023: the host's exponent, corrected where it rounded up. */
function bitLength(value: bigint): number {
  float[0] = Number(value);
  const length = (floatWords[highWord]! >>> 20) - 1022;
  return value >> BigInt(length - 1) === 0n ? length - 1 : length;
}

/** `value / 2^shift` to an integer. */
function shiftRounded(value: bigint, shift: number, negative: boolean, rm: Rounding): bigint {
  const kept = value >> BigInt(shift);
  const rest = BigInt.asUintN(shift, value);
  if (rest === 0n) return kept;
  return roundsUp(kept, rest, shift, negative, rm) ? kept + 1n : kept;
}

/** Whether a magnitude grows when `rest`, which is not zero, of `shift` bits is rounded away. */
function roundsUp(
  kept: bigint,
  rest: bigint,
  shift: number,
  negative: boolean,
  rm: Rounding,
): boolean {
  if (rm === RTZ) return false;
  if (rm === RDN) return negative;
  if (rm === RUP) return !negative;
  const half = 1n << BigInt(shift - 1);
  if (rest !== half) return rest > half;
  return rm === RMM || (kept & 1n) === 1n;
}

function overflow(f: Format, negative: boolean, rm: Rounding, sink: FlagSink): bigint {
  sink.flags |= OF | NX;
  const toInfinity = rm === RNE || rm === RMM || rm === (negative ? RDN : RUP);
  return withSign(f, negative, toInfinity ? f.infinity : f.infinity - 1n);
}

/**
 * The number nearest to `value * 2^exponent`, where `value` is not negative. A value whose last bit
 * is sticky must have at least two bits more than the precision.
 */
function rounded(
  f: Format,
  negative: boolean,
  value: bigint,
  exponent: number,
  rm: Rounding,
  sink: FlagSink,
): bigint {
  if (value === 0n) return withSign(f, negative, 0n);
  const normal = exponent + bitLength(value) - f.precision;
  const target = Math.max(normal, f.quantumMin);
  const shift = target - exponent;
  let kept: bigint;
  if (shift <= 0) {
    kept = value << BigInt(-shift);
  } else {
    kept = value >> BigInt(shift);
    const rest = BigInt.asUintN(shift, value);
    if (rest !== 0n) {
      sink.flags |= NX;
      if (roundsUp(kept, rest, shift, negative, rm)) kept += 1n;
      if (normal < f.quantumMin && isTiny(f, negative, value, normal, exponent, rm)) {
        sink.flags |= UF;
      }
    }
  }
  // A carry out of the significand lands in the exponent field, where it belongs; a subnormal has
  // no hidden bit, so that its exponent field stays 0 unless rounding made it normal.
  const bits = (BigInt(target - f.quantumMin) << f.fractionBits) + kept;
  if (bits >= f.infinity) return overflow(f, negative, rm, sink);
  return withSign(f, negative, bits);
}

/** After rounding as if the exponent had no lower bound, is the result still below all normals? */
function isTiny(
  f: Format,
  negative: boolean,
  value: bigint,
  normal: number,
  exponent: number,
  rm: Rounding,
): boolean {
  if (normal < f.quantumMin - 1) return true;
  const shift = normal - exponent;
  if (shift <= 0) return true;
  return shiftRounded(value, shift, negative, rm) < f.hidden << 1n;
}

/**
 * The sum of two exact values. A far smaller one is only its sign below the larger one's last bits:
 * more than three precisions away it cannot decide anything but an exact tie.
 */
function sum(
  f: Format,
  negativeA: boolean,
  valueA: bigint,
  exponentA: number,
  negativeB: boolean,
  valueB: bigint,
  exponentB: number,
  rm: Rounding,
  sink: FlagSink,
): bigint {
  if (exponentA < exponentB) {
    return sum(f, negativeB, valueB, exponentB, negativeA, valueA, exponentA, rm, sink);
  }
  const farthest = 3 * f.precision + 4;
  let distance = exponentA - exponentB;
  let low = valueB;
  if (distance > farthest && valueA !== 0n) {
    distance = farthest;
    if (low !== 0n) low = 1n;
  }
  // A zero has no bits to align; its exponent would only blow up the shift.
  const exponent = valueA === 0n ? exponentB : exponentA - distance;
  const high = valueA === 0n ? 0n : valueA << BigInt(distance);
  const total = (negativeA ? -high : high) + (negativeB ? -low : low);
  if (total === 0n) {
    const negative = negativeA === negativeB ? negativeA : rm === RDN;
    return withSign(f, negative, 0n);
  }
  return total < 0n
    ? rounded(f, true, -total, exponent, rm, sink)
    : rounded(f, false, total, exponent, rm, sink);
}

export function add(f: Format, a: bigint, b: bigint, rm: Rounding, sink: FlagSink): bigint {
  if (isNan(f, a) || isNan(f, b)) return quiet(f, sink, a, b);
  const negativeA = isNegative(f, a);
  const negativeB = isNegative(f, b);
  if (isInfinite(f, a)) {
    if (isInfinite(f, b) && negativeA !== negativeB) return invalid(f, sink);
    return withSign(f, negativeA, f.infinity);
  }
  if (isInfinite(f, b)) return withSign(f, negativeB, f.infinity);
  const valueA = significand(f, a);
  const valueB = significand(f, b);
  return sum(f, negativeA, valueA, quantum(f, a), negativeB, valueB, quantum(f, b), rm, sink);
}

export function sub(f: Format, a: bigint, b: bigint, rm: Rounding, sink: FlagSink): bigint {
  return add(f, a, negate(f, b), rm, sink);
}

export function mul(f: Format, a: bigint, b: bigint, rm: Rounding, sink: FlagSink): bigint {
  if (isNan(f, a) || isNan(f, b)) return quiet(f, sink, a, b);
  const negative = isNegative(f, a) !== isNegative(f, b);
  if (isInfinite(f, a) || isInfinite(f, b)) {
    if (isZero(f, a) || isZero(f, b)) return invalid(f, sink);
    return withSign(f, negative, f.infinity);
  }
  const product = significand(f, a) * significand(f, b);
  return rounded(f, negative, product, quantum(f, a) + quantum(f, b), rm, sink);
}

/**
 * `a * b + c`, rounded once. The other three of the family negate operands: fmsub c, fnmsub a,
 * fnmadd a and c.
 */
export function fma(
  f: Format,
  a: bigint,
  b: bigint,
  c: bigint,
  rm: Rounding,
  sink: FlagSink,
): bigint {
  // Infinity times zero is invalid even if the addend is a quiet NaN.
  const meaningless = (isInfinite(f, a) && isZero(f, b)) || (isZero(f, a) && isInfinite(f, b));
  if (meaningless) return invalid(f, sink);
  if (isNan(f, a) || isNan(f, b) || isNan(f, c)) return quiet(f, sink, a, b, c);
  const negative = isNegative(f, a) !== isNegative(f, b);
  const negativeC = isNegative(f, c);
  if (isInfinite(f, a) || isInfinite(f, b)) {
    if (isInfinite(f, c) && negative !== negativeC) return invalid(f, sink);
    return withSign(f, negative, f.infinity);
  }
  if (isInfinite(f, c)) return withSign(f, negativeC, f.infinity);
  const product = significand(f, a) * significand(f, b);
  const exponent = quantum(f, a) + quantum(f, b);
  return sum(f, negative, product, exponent, negativeC, significand(f, c), quantum(f, c), rm, sink);
}

/** The shift that gives a positive significand its full precision. */
const normalizing = (f: Format, value: bigint): number =>
  value >= f.hidden ? 0 : f.precision - bitLength(value);

export function div(f: Format, a: bigint, b: bigint, rm: Rounding, sink: FlagSink): bigint {
  if (isNan(f, a) || isNan(f, b)) return quiet(f, sink, a, b);
  const negative = isNegative(f, a) !== isNegative(f, b);
  if (isInfinite(f, a)) {
    return isInfinite(f, b) ? invalid(f, sink) : withSign(f, negative, f.infinity);
  }
  if (isInfinite(f, b)) return withSign(f, negative, 0n);
  const divisor = significand(f, b);
  const dividend = significand(f, a);
  if (divisor === 0n) {
    if (dividend === 0n) return invalid(f, sink);
    sink.flags |= DZ;
    return withSign(f, negative, f.infinity);
  }
  if (dividend === 0n) return withSign(f, negative, 0n);
  // A divisor has at most `precision` bits and a dividend of full precision at least as many, so
  // the quotient has two bits to spare, of which the last one is sticky.
  const shift = f.precision + 2 + normalizing(f, dividend);
  const numerator = dividend << BigInt(shift);
  const quotient = numerator / divisor;
  const sticky = quotient * divisor === numerator ? quotient : quotient | 1n;
  return rounded(f, negative, sticky, quantum(f, a) - quantum(f, b) - shift, rm, sink);
}

/** The largest integer whose square is at most `value`, which is in [2^(2k), 2^(2k+2)). */
function squareRoot(value: bigint, k: number): bigint {
  // Heron's method in the host's exact +, / and *: 53 bits from a straight line in five steps.
  const scale = 2 ** k;
  const target = Number(value) / scale / scale;
  let root = (target + 2) / 3;
  for (let step = 0; step < 5; step++) root = (root + target / root) / 2;
  let exact = BigInt(Math.floor(root * scale));
  exact = (exact + value / exact) >> 1n;
  while (exact * exact > value) exact -= 1n;
  while ((exact + 1n) * (exact + 1n) <= value) exact += 1n;
  return exact;
}

export function sqrt(f: Format, a: bigint, rm: Rounding, sink: FlagSink): bigint {
  if (isNan(f, a)) return quiet(f, sink, a);
  if (isZero(f, a)) return withSign(f, isNegative(f, a), 0n);
  if (isNegative(f, a)) return invalid(f, sink);
  if (isInfinite(f, a)) return f.infinity;
  // An even exponent, and a root of two bits more than the precision.
  let shift = f.precision + 5 + normalizing(f, significand(f, a));
  let exponent = quantum(f, a) - shift;
  if (exponent % 2 !== 0) {
    shift -= 1;
    exponent += 1;
  }
  const value = significand(f, a) << BigInt(shift);
  const root = squareRoot(value, (bitLength(value) - 1) >> 1);
  const sticky = root * root === value ? root : root | 1n;
  return rounded(f, false, sticky, exponent / 2, rm, sink);
}

/** Maps bits to integers in the order of the numbers they stand for, -0 just below +0. */
function order(f: Format, a: bigint): bigint {
  return isNegative(f, a) ? -1n - magnitude(f, a) : magnitude(f, a);
}

function extreme(f: Format, a: bigint, b: bigint, wantsLess: boolean, sink: FlagSink): bigint {
  if (isSignalling(f, a) || isSignalling(f, b)) sink.flags |= NV;
  if (isNan(f, a)) return isNan(f, b) ? f.canonicalNaN : BigInt.asUintN(f.width, b);
  if (isNan(f, b)) return BigInt.asUintN(f.width, a);
  return BigInt.asUintN(f.width, order(f, a) < order(f, b) === wantsLess ? a : b);
}

export const min = (f: Format, a: bigint, b: bigint, sink: FlagSink): bigint =>
  extreme(f, a, b, true, sink);

export const max = (f: Format, a: bigint, b: bigint, sink: FlagSink): bigint =>
  extreme(f, a, b, false, sink);

export function eq(f: Format, a: bigint, b: bigint, sink: FlagSink): boolean {
  if (isSignalling(f, a) || isSignalling(f, b)) sink.flags |= NV;
  if (isNan(f, a) || isNan(f, b)) return false;
  return order(f, a) === order(f, b) || (isZero(f, a) && isZero(f, b));
}

/** Unlike `eq`, an ordering is invalid for quiet NaNs too. */
function unordered(f: Format, a: bigint, b: bigint, sink: FlagSink): boolean {
  if (!isNan(f, a) && !isNan(f, b)) return false;
  sink.flags |= NV;
  return true;
}

export function lt(f: Format, a: bigint, b: bigint, sink: FlagSink): boolean {
  if (unordered(f, a, b, sink)) return false;
  return order(f, a) < order(f, b) && !(isZero(f, a) && isZero(f, b));
}

export function le(f: Format, a: bigint, b: bigint, sink: FlagSink): boolean {
  if (unordered(f, a, b, sink)) return false;
  return order(f, a) <= order(f, b) || (isZero(f, a) && isZero(f, b));
}

/** The mask of `fclass`: bits 0 to 9 from -infinity over the numbers to +infinity, sNaN, qNaN. */
export function classify(f: Format, a: bigint): number {
  if (isNan(f, a)) return isSignalling(f, a) ? 1 << 8 : 1 << 9;
  const size = magnitude(f, a);
  const steps = size === f.infinity ? 3 : size >= f.hidden ? 2 : size > 0n ? 1 : 0;
  return isNegative(f, a) ? 1 << (3 - steps) : 1 << (4 + steps);
}

/**
 * The integer nearest to `a`, as the register that `fcvt` writes: 64 bits, a 32-bit result sign
 * extended (of an unsigned one too). What does not fit is invalid, not inexact, and saturates.
 */
export function toInteger(
  f: Format,
  a: bigint,
  bits: 32 | 64,
  signed: boolean,
  rm: Rounding,
  sink: FlagSink,
): bigint {
  const largest = (1n << BigInt(signed ? bits - 1 : bits)) - 1n;
  const smallest = signed ? -largest - 1n : 0n;
  const register = (value: bigint): bigint => BigInt.asUintN(64, BigInt.asIntN(bits, value));
  const negative = isNegative(f, a) && !isNan(f, a);
  const exponent = quantum(f, a);
  if (isNan(f, a) || isInfinite(f, a) || exponent > 64) {
    sink.flags |= NV;
    return register(negative ? smallest : largest);
  }
  const value = significand(f, a);
  const size =
    exponent >= 0 ? value << BigInt(exponent) : shiftRounded(value, -exponent, negative, rm);
  const integer = negative ? -size : size;
  if (integer < smallest || integer > largest) {
    sink.flags |= NV;
    return register(negative ? smallest : largest);
  }
  if (exponent < 0 && BigInt.asUintN(-exponent, value) !== 0n) sink.flags |= NX;
  return register(integer);
}

/** The number nearest to the low `bits` of an integer register. */
export function fromInteger(
  f: Format,
  register: bigint,
  bits: 32 | 64,
  signed: boolean,
  rm: Rounding,
  sink: FlagSink,
): bigint {
  const value = signed ? BigInt.asIntN(bits, register) : BigInt.asUintN(bits, register);
  return rounded(f, value < 0n, value < 0n ? -value : value, 0, rm, sink);
}

/** From one format to the other; widening is exact and can raise only a signalling NaN's NV. */
export function convert(from: Format, to: Format, a: bigint, rm: Rounding, sink: FlagSink): bigint {
  if (isNan(from, a)) {
    quiet(from, sink, a);
    return to.canonicalNaN;
  }
  const negative = isNegative(from, a);
  if (isInfinite(from, a)) return withSign(to, negative, to.infinity);
  return rounded(to, negative, significand(from, a), quantum(from, a), rm, sink);
}
