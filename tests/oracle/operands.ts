/** Random operands that prefer the edges: where carries, signs, roundings and limits are. */
import type { SeededRandom } from '../../src/base/random.ts';
import { type Format, f32 } from '../../src/isa/softfloat.ts';

/** A register's contents: binary32 has ones above it. */
export const boxed = (f: Format, bits: bigint): bigint =>
  f === f32 ? bits | 0xffff_ffff_0000_0000n : bits;

/** Every edge of the format, and numbers whose sums, products and quotients fall near one. */
export function floatOperand(f: Format, random: SeededRandom): bigint {
  const sign = random.chance(0.5) ? f.signBit : 0n;
  const ulps = BigInt(random.between(-2, 2));
  const bias = BigInt((f.exponentMax - 1) / 2);
  const edges = [0n, f.hidden, f.hidden << 1n, f.infinity, f.canonicalNaN, bias << f.fractionBits];
  const raw = BigInt.asUintN(f.width - 1, random.u64());
  const fraction = BigInt.asUintN(f.precision - 1, raw);
  const few = fraction & -(1n << BigInt(random.between(0, f.precision - 1)));
  const exponent = (from: number, to: number): bigint =>
    BigInt(random.between(from, to)) << f.fractionBits;
  const middle = Number(bias);
  switch (random.below(6)) {
    case 0:
      return sign | BigInt.asUintN(f.width - 1, random.pick(edges) + ulps);
    case 1:
      return sign | raw;
    case 2: // small integers and halves, for ties
      return sign | exponent(middle - 2, middle + 6) | (few & -(1n << (f.fractionBits - 6n)));
    case 3:
      return sign | exponent(0, 4) | few;
    case 4: // around the limits of the integers and half the range of the format
      return sign | exponent(middle + 29, middle + 66) | few;
    default:
      return sign | exponent(middle >> 1, middle + (middle >> 1)) | few;
  }
}

/** Integers of all sizes, small ones and those next to powers of two among them. */
export function integerOperand(random: SeededRandom): bigint {
  const value = random.chance(0.3)
    ? (1n << BigInt(random.below(65))) + BigInt(random.between(-2, 2))
    : random.u64() >> BigInt(random.below(64));
  return BigInt.asUintN(64, random.chance(0.5) ? value : -value);
}
