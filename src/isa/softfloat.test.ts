/**
 * The host's arithmetic is an oracle for rounding to nearest even. The other modes, flags and NaNs
 * are tested by properties here and against QEMU in tests/oracle/.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { SeededRandom } from '../base/random.ts';
import * as soft from './softfloat.ts';
import { type Format, f32, f64, type Rounding } from './softfloat.ts';

const view = new DataView(new ArrayBuffer(8));

function fromBits(f: Format, bits: bigint): number {
  if (f === f32) {
    view.setUint32(0, Number(bits));
    return view.getFloat32(0);
  }
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}

function toBits(f: Format, value: number): bigint {
  if (Number.isNaN(value)) return f.canonicalNaN;
  if (f === f32) {
    view.setFloat32(0, value);
    return BigInt(view.getUint32(0));
  }
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}

/** Numbers near every edge of a format, and random ones with exponents close to each other. */
function operand(f: Format, random: SeededRandom): bigint {
  const sign = random.chance(0.5) ? f.signBit : 0n;
  const edges = [0n, 1n, f.hidden - 1n, f.hidden, f.infinity - 1n, f.infinity, f.canonicalNaN];
  if (random.chance(0.2)) return sign | random.pick(edges);
  const raw = BigInt.asUintN(f.width, random.u64());
  if (random.chance(0.4)) return raw;
  const near = BigInt(((f.exponentMax + 1) >> 1) + random.between(-30, 30)) << f.fractionBits;
  const fraction = BigInt.asUintN(f.precision - 1, raw);
  const few = fraction & -(1n << BigInt(random.between(0, f.precision - 1)));
  return sign | near | (random.chance(0.5) ? few : fraction);
}

const hex = (...bits: bigint[]): string => bits.map((b) => b.toString(16)).join(' ');

for (const [name, f] of [
  ['f32', f32],
  ['f64', f64],
] as const) {
  /** In binary32, rounding a binary64 result once more is innocuous for + - * / and sqrt. */
  const narrow = (value: number): number => (f === f32 ? Math.fround(value) : value);

  test(`${name}: to nearest even as the host computes`, () => {
    const random = new SeededRandom(1, f.width);
    const sink = { flags: 0 };
    for (let i = 0; i < 40_000; i++) {
      const [a, b] = [operand(f, random), operand(f, random)];
      const [x, y] = [fromBits(f, a), fromBits(f, b)];
      const same = (operation: string, actual: bigint, expected: number): void =>
        assert.equal(hex(actual), hex(toBits(f, narrow(expected))), `${operation} ${hex(a, b)}`);
      same('add', soft.add(f, a, b, 0, sink), x + y);
      same('sub', soft.sub(f, a, b, 0, sink), x - y);
      same('mul', soft.mul(f, a, b, 0, sink), x * y);
      same('div', soft.div(f, a, b, 0, sink), x / y);
      same('sqrt', soft.sqrt(f, a, 0, sink), Math.sqrt(x));
      assert.equal(soft.eq(f, a, b, sink), x === y);
      assert.equal(soft.lt(f, a, b, sink), x < y);
      assert.equal(soft.le(f, a, b, sink), x <= y);
      const bits = random.u64();
      same(
        'from integer',
        soft.fromInteger(f, bits, 32, true, 0, sink),
        Number(BigInt.asIntN(32, bits)),
      );
      const other = f === f32 ? f64 : f32;
      assert.equal(hex(soft.convert(f, other, a, 0, sink)), hex(toBits(other, x)));
      if (x >= -(2 ** 31) && x < 2 ** 31) {
        const truncated = BigInt.asUintN(64, BigInt(Math.trunc(x)));
        assert.equal(soft.toInteger(f, a, 32, true, 1, sink), truncated);
      }
    }
  });

  test(`${name}: fma equals the exact sum where the host can compute it`, () => {
    const random = new SeededRandom(2, f.width);
    const sink = { flags: 0 };
    for (let i = 0; i < 20_000; i++) {
      const [a, b] = [operand(f, random), operand(f, random)];
      const zero = (a ^ b) & f.signBit;
      assert.equal(soft.fma(f, a, b, zero, 0, sink), soft.mul(f, a, b, 0, sink), hex(a, b));
      assert.equal(soft.fma(f, a, toBits(f, 1), b, 0, sink), soft.add(f, a, b, 0, sink), hex(a, b));
    }
  });

  test(`${name}: directed modes enclose the exact result, and agree where it is exact`, () => {
    const random = new SeededRandom(3, f.width);
    for (let i = 0; i < 20_000; i++) {
      const [a, b, c] = [operand(f, random), operand(f, random), operand(f, random)];
      const run = (rm: Rounding): [number, number] => {
        const sink = { flags: 0 };
        return [fromBits(f, soft.fma(f, a, b, c, rm, sink)), sink.flags];
      };
      const [even, zero, down, up, away] = [run(0), run(1), run(2), run(3), run(4)];
      if (Number.isNaN(even[0])) continue;
      const message = hex(a, b, c);
      assert.ok(down[0] <= even[0] && even[0] <= up[0], message);
      assert.equal(Math.abs(zero[0]), Math.min(Math.abs(down[0]), Math.abs(up[0])), message);
      assert.ok(away[0] === down[0] || away[0] === up[0], message);
      assert.equal((even[1] & soft.NX) === 0, down[0] === up[0], message);
    }
  });
}

test('flags', () => {
  const one = toBits(f64, 1);
  const smallest = f64.hidden;
  const largest = f64.infinity - 1n;
  const cases: [string, (sink: soft.FlagSink) => unknown, number][] = [
    ['1/0', (s) => soft.div(f64, one, 0n, 0, s), soft.DZ],
    ['0/0', (s) => soft.div(f64, 0n, 0n, 0, s), soft.NV],
    ['1/3', (s) => soft.div(f64, one, toBits(f64, 3), 0, s), soft.NX],
    ['sqrt -1', (s) => soft.sqrt(f64, toBits(f64, -1), 0, s), soft.NV],
    ['overflow', (s) => soft.add(f64, largest, largest, 0, s), soft.OF | soft.NX],
    ['exact subnormal', (s) => soft.div(f64, smallest, toBits(f64, 2), 0, s), 0],
    ['inexact subnormal', (s) => soft.div(f64, 1n, toBits(f64, 2), 0, s), soft.UF | soft.NX],
    // Rounds to the smallest normal: with an unbounded exponent 1 - 2^-54 of it still rounds up.
    ['not tiny', (s) => soft.mul(f64, smallest + 1n, one - 1n, 0, s), soft.NX],
    ['tiny', (s) => soft.div(f64, smallest + 1n, one + 2n, 0, s), soft.UF | soft.NX],
    ['inf * 0 + qNaN', (s) => soft.fma(f64, f64.infinity, 0n, f64.canonicalNaN, 0, s), soft.NV],
    ['quiet eq', (s) => soft.eq(f64, f64.canonicalNaN, 0n, s), 0],
    ['signalling lt', (s) => soft.lt(f64, f64.canonicalNaN, 0n, s), soft.NV],
    ['min of sNaN', (s) => soft.min(f64, f64.infinity + 1n, 0n, s), soft.NV],
    ['-0.25 to unsigned', (s) => soft.toInteger(f64, toBits(f64, -0.25), 64, false, 0, s), soft.NX],
    ['-0.25 down', (s) => soft.toInteger(f64, toBits(f64, -0.25), 64, false, 2, s), soft.NV],
    ['2^31', (s) => soft.toInteger(f64, toBits(f64, 2 ** 31), 32, true, 0, s), soft.NV],
  ];
  for (const [name, run, flags] of cases) {
    const sink = { flags: 0 };
    run(sink);
    assert.equal(sink.flags, flags, name);
  }
});

test('min and max prefer numbers to NaNs and order the zeros', () => {
  const sink = { flags: 0 };
  const nan = f32.canonicalNaN | 5n;
  assert.equal(soft.min(f32, f32.signBit, 0n, sink), f32.signBit);
  assert.equal(soft.max(f32, f32.signBit, 0n, sink), 0n);
  assert.equal(soft.min(f32, nan, 7n, sink), 7n);
  assert.equal(soft.max(f32, 7n, nan, sink), 7n);
  assert.equal(soft.max(f32, nan, nan, sink), f32.canonicalNaN);
  assert.equal(sink.flags, 0);
});

test('every class has its bit', () => {
  const down = [f64.infinity, f64.hidden, 1n, 0n];
  const classes = [...down.map((b) => b | f64.signBit), ...down.toReversed()];
  assert.deepEqual(
    [...classes, f64.infinity + 1n, f64.canonicalNaN].map((b) => soft.classify(f64, b)),
    Array.from({ length: 10 }, (_, bit) => 1 << bit),
  );
});
