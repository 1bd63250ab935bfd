/**
 * The floating-point operations that instructions call by number: one table, read by the rows
 * (which number), by the host of an engine (what to compute) and by the evaluator.
 *
 * Operands and results are the raw bits of a format in the low half or the whole of 64 bits;
 * NaN boxing is the rows' business.
 */
import * as soft from './softfloat.ts';
import { type FlagSink, type Format, f32, f64, type Rounding } from './softfloat.ts';

type Operation = (a: bigint, b: bigint, c: bigint, rounding: Rounding, sink: FlagSink) => bigint;

const flag = (value: boolean): bigint => (value ? 1n : 0n);

function operationsOf(format: Format, suffix: string): Record<string, Operation> {
  const operations: Record<string, Operation> = {
    add: (a, b, _, rm, sink) => soft.add(format, a, b, rm, sink),
    sub: (a, b, _, rm, sink) => soft.sub(format, a, b, rm, sink),
    mul: (a, b, _, rm, sink) => soft.mul(format, a, b, rm, sink),
    div: (a, b, _, rm, sink) => soft.div(format, a, b, rm, sink),
    sqrt: (a, _b, _c, rm, sink) => soft.sqrt(format, a, rm, sink),
    madd: (a, b, c, rm, sink) => soft.fma(format, a, b, c, rm, sink),
    min: (a, b, _, _rm, sink) => soft.min(format, a, b, sink),
    max: (a, b, _, _rm, sink) => soft.max(format, a, b, sink),
    eq: (a, b, _, _rm, sink) => flag(soft.eq(format, a, b, sink)),
    lt: (a, b, _, _rm, sink) => flag(soft.lt(format, a, b, sink)),
    le: (a, b, _, _rm, sink) => flag(soft.le(format, a, b, sink)),
    class: (a) => BigInt(soft.classify(format, a)),
    toW: (a, _b, _c, rm, sink) => soft.toInteger(format, a, 32, true, rm, sink),
    toWU: (a, _b, _c, rm, sink) => soft.toInteger(format, a, 32, false, rm, sink),
    toL: (a, _b, _c, rm, sink) => soft.toInteger(format, a, 64, true, rm, sink),
    toLU: (a, _b, _c, rm, sink) => soft.toInteger(format, a, 64, false, rm, sink),
    fromW: (a, _b, _c, rm, sink) => soft.fromInteger(format, a, 32, true, rm, sink),
    fromWU: (a, _b, _c, rm, sink) => soft.fromInteger(format, a, 32, false, rm, sink),
    fromL: (a, _b, _c, rm, sink) => soft.fromInteger(format, a, 64, true, rm, sink),
    fromLU: (a, _b, _c, rm, sink) => soft.fromInteger(format, a, 64, false, rm, sink),
  };
  return Object.fromEntries(
    Object.entries(operations).map(([name, operation]) => [`${name}.${suffix}`, operation]),
  );
}

const table: Readonly<Record<string, Operation>> = {
  ...operationsOf(f32, 's'),
  ...operationsOf(f64, 'd'),
  'widen.d': (a, _b, _c, rm, sink) => soft.convert(f32, f64, a, rm, sink),
  'narrow.s': (a, _b, _c, rm, sink) => soft.convert(f64, f32, a, rm, sink),
};

const numbers = new Map(Object.keys(table).map((name, number) => [name, number]));
const operations = Object.values(table);

export function floatOperationNumber(name: string): number {
  const number = numbers.get(name);
  if (number === undefined) throw new Error(`no floating-point operation ${name}`);
  return number;
}

export function floatOperate(
  number: number,
  a: bigint,
  b: bigint,
  c: bigint,
  rounding: number,
  sink: FlagSink,
): bigint {
  return operations[number]!(a, b, c, rounding as Rounding, sink);
}
