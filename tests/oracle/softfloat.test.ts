/**
 * src/isa/softfloat.ts against QEMU (Berkeley SoftFloat's descendant): every operation, both
 * formats, all rounding modes, results and flags, on operands chosen for their edges.
 *
 * The instruction words are written out here on purpose: this test must not share a table with
 * what it tests.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { SeededRandom } from '../../src/base/random.ts';
import * as soft from '../../src/isa/softfloat.ts';
import { type FlagSink, type Format, f32, f64, type Rounding } from '../../src/isa/softfloat.ts';
import { breakpoint, type Case, qemuExecute } from './execute.ts';
import { boxed, floatOperand, integerOperand } from './operands.ts';
import { qemuMissing } from './qemu.ts';

/** Operands a, b, c: f1, f2, f3, or x1 for a. The result goes to f4 or x4. */
interface Operation {
  readonly name: string;
  readonly word: number;
  readonly f: Format;
  readonly reads: 'float' | 'integer';
  readonly writes: Format | 'integer';
  readonly run: (a: bigint, b: bigint, c: bigint, rm: Rounding, sink: FlagSink) => bigint;
}

const dynamic = 7;

function operations(f: Format, suffix: string): Operation[] {
  const fmt = f === f64 ? 1 : 0;
  const other = f === f64 ? f32 : f64;
  const word = (f5: number, rs2: number, rm: number, to = fmt): number =>
    ((f5 << 27) | (to << 25) | (rs2 << 20) | (1 << 15) | (rm << 12) | (4 << 7) | 0x53) >>> 0;
  const fused = (opcode: number): number =>
    ((3 << 27) | (fmt << 25) | (2 << 20) | (1 << 15) | (dynamic << 12) | (4 << 7) | opcode) >>> 0;
  const arithmetic = (name: string, code: number, run: Operation['run']): Operation => ({
    ...{ name: `${name}.${suffix}`, word: code, f, reads: 'float', writes: f, run },
  });
  const toInteger = (name: string, code: number, run: Operation['run']): Operation => ({
    ...arithmetic(name, code, run),
    writes: 'integer',
  });
  const negate = (a: bigint): bigint => soft.negate(f, a);
  const flag = (is: boolean): bigint => (is ? 1n : 0n);
  const integers = [
    ['w', 32, true],
    ['wu', 32, false],
    ['l', 64, true],
    ['lu', 64, false],
  ] as const;
  return [
    arithmetic('fadd', word(0, 2, dynamic), (a, b, _, rm, s) => soft.add(f, a, b, rm, s)),
    arithmetic('fsub', word(1, 2, dynamic), (a, b, _, rm, s) => soft.sub(f, a, b, rm, s)),
    arithmetic('fmul', word(2, 2, dynamic), (a, b, _, rm, s) => soft.mul(f, a, b, rm, s)),
    arithmetic('fdiv', word(3, 2, dynamic), (a, b, _, rm, s) => soft.div(f, a, b, rm, s)),
    arithmetic('fsqrt', word(11, 0, dynamic), (a, _b, _c, rm, s) => soft.sqrt(f, a, rm, s)),
    arithmetic('fmin', word(5, 2, 0), (a, b, _c, _rm, s) => soft.min(f, a, b, s)),
    arithmetic('fmax', word(5, 2, 1), (a, b, _c, _rm, s) => soft.max(f, a, b, s)),
    arithmetic('fmadd', fused(0x43), (a, b, c, rm, s) => soft.fma(f, a, b, c, rm, s)),
    arithmetic('fmsub', fused(0x47), (a, b, c, rm, s) => soft.fma(f, a, b, negate(c), rm, s)),
    arithmetic('fnmsub', fused(0x4b), (a, b, c, rm, s) => soft.fma(f, negate(a), b, c, rm, s)),
    arithmetic('fnmadd', fused(0x4f), (a, b, c, rm, s) =>
      soft.fma(f, negate(a), b, negate(c), rm, s),
    ),
    toInteger('fle', word(20, 2, 0), (a, b, _c, _rm, s) => flag(soft.le(f, a, b, s))),
    toInteger('flt', word(20, 2, 1), (a, b, _c, _rm, s) => flag(soft.lt(f, a, b, s))),
    toInteger('feq', word(20, 2, 2), (a, b, _c, _rm, s) => flag(soft.eq(f, a, b, s))),
    toInteger('fclass', word(28, 0, 1), (a) => BigInt(soft.classify(f, a))),
    {
      ...arithmetic('fcvt from', word(8, fmt, dynamic, 1 - fmt), (a, _b, _c, rm, s) =>
        soft.convert(f, other, a, rm, s),
      ),
      writes: other,
    },
    ...integers.flatMap(([name, bits, signed], code): Operation[] => [
      toInteger(`fcvt.${name}`, word(24, code, dynamic), (a, _b, _c, rm, s) =>
        soft.toInteger(f, a, bits, signed, rm, s),
      ),
      {
        ...arithmetic(`fcvt from ${name}`, word(26, code, dynamic), (a, _b, _c, rm, s) =>
          soft.fromInteger(f, a, bits, signed, rm, s),
        ),
        reads: 'integer',
      },
    ]),
  ];
}

interface Trial {
  readonly operation: Operation;
  readonly operands: readonly [bigint, bigint, bigint];
  readonly rm: Rounding;
}

function trial(operation: Operation, random: SeededRandom): Trial {
  const f = operation.f;
  const a = operation.reads === 'integer' ? integerOperand(random) : floatOperand(f, random);
  const b = random.chance(0.1) ? a : floatOperand(f, random);
  const rm = random.below(5) as Rounding;
  if (!operation.name.startsWith('fm') || random.chance(0.5)) {
    return { operation, operands: [a, b, floatOperand(f, random)], rm };
  }
  // An addend that cancels the product, up to a few units.
  const product = soft.mul(f, a, b, rm, { flags: 0 });
  const c = BigInt.asUintN(f.width, product + BigInt(random.between(-2, 2)));
  return { operation, operands: [a, b, random.chance(0.5) ? c : soft.negate(f, c)], rm };
}

function asCase({ operation, operands: [a, b, c], rm }: Trial): Case {
  const f = operation.f;
  const float = { 2: boxed(f, b), 3: boxed(f, c) };
  return operation.reads === 'integer'
    ? { words: [operation.word], x: { 1: a }, f: float, fcsr: rm << 5 }
    : { words: [operation.word], f: { 1: boxed(f, a), ...float }, fcsr: rm << 5 };
}

test('softfloat equals QEMU: results and flags of all operations in all modes', {
  skip: qemuMissing,
}, async () => {
  const random = new SeededRandom(2009);
  const table = [...operations(f32, 's'), ...operations(f64, 'd')];
  const trials = table.flatMap((row) => Array.from({ length: 2000 }, () => trial(row, random)));
  const results = await qemuExecute(trials.map(asCase));
  trials.forEach(({ operation, operands, rm }, index) => {
    const { x, f, fcsr, cause } = results[index]!;
    const sink = { flags: 0 };
    const value = operation.run(...operands, rm, sink);
    const { writes } = operation;
    const actual = writes === 'integer' ? value : boxed(writes, value);
    const hex = operands.map((bits) => bits.toString(16)).join(' ');
    const message = `${operation.name} rm=${rm} ${hex}`;
    assert.equal(cause, breakpoint, message);
    const expected = (writes === 'integer' ? x : f)[4]!;
    assert.equal(actual.toString(16), expected.toString(16), message);
    assert.equal(sink.flags, fcsr & 31, `flags of ${message}`);
  });
});
