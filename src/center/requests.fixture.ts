/**
 * For tests: what an endpoint takes, made up from its schema, and the same with something wrong.
 *
 * From: a schema of the endpoint table, as JSON Schema. To: arbitraries of fast-check.
 */
import { createHash } from 'node:crypto';
import fc, { type Arbitrary } from 'fast-check';
import type { TSchema } from 'typebox';
import { describeImage } from './in-process.fixture.ts';

const tinyDigest = createHash('sha256').update(describeImage('tiny')).digest('hex');

interface Schema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly multipleOf?: number;
}

export const fieldFor = (schema: TSchema): Arbitrary<unknown> => valueFor(schema as Schema, '');

/** Well-formed bodies; some name things that are there. */
export const bodyFor = (schema: TSchema): Arbitrary<unknown> => valueFor(schema as Schema, '');

/** The text of a body with one thing wrong. */
export function changed(body: Arbitrary<unknown>): Arbitrary<string> {
  return fc
    .tuple(body, fc.nat(), fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(...changes))
    .map(([value, at, other, change]) => change(value, at, other));
}

type Change = (value: unknown, at: number, other: unknown) => string;

const changes: readonly Change[] = [
  (_value, _at, other) => JSON.stringify(other),
  (value) => JSON.stringify([value]),
  (value) => JSON.stringify(value).slice(0, -1),
  (value, at, other) => inField(value, at, () => other),
  (value, at) => inField(value, at, () => undefined),
  (value, at) => inField(value, at, () => null),
  (value, at) =>
    inField(value, at, (field) => `${JSON.stringify(field)}\u0000\u202e${'\ud800'}é'"<`),
  (value, at) => inField(value, at, () => 'x'.repeat(5_000)),
  (value, at) => inField(value, at, () => -(2 ** 53)),
  (value, at) => inField(value, at, () => 1e308),
  (value, _at, other) => JSON.stringify({ ...(value as object), constructor: other }),
  (value) => JSON.stringify(value).replace('{', '{"__proto__":{"role":"administrator"},'),
];

function inField(value: unknown, at: number, change: (field: unknown) => unknown): string {
  const names = Object.keys(value as object);
  const name = names[at % Math.max(1, names.length)] ?? 'name';
  return JSON.stringify({
    ...(value as object),
    [name]: change((value as Record<string, unknown>)[name]),
  });
}

function valueFor(schema: Schema, name: string): Arbitrary<unknown> {
  const { type, properties, items, anyOf } = schema;
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if ('const' in schema) return fc.constant(schema.const);
  if (anyOf !== undefined) return fc.oneof(...anyOf.map((each) => valueFor(each, name)));
  if (type === 'object') {
    return fc.record(
      Object.fromEntries(
        Object.entries(properties ?? {}).map(([field, each]) => [field, valueFor(each, field)]),
      ),
      { requiredKeys: [...(schema.required ?? [])] },
    );
  }
  if (type === 'array') {
    return fc.array(valueFor(items!, name), { maxLength: Math.min(4, schema.maxItems ?? 4) });
  }
  if (type === 'boolean') return fc.boolean();
  if (type === 'null') return fc.constant(null);
  if (type === 'integer' || type === 'number') return numberOf(schema);
  if (type === 'string') return textOf(schema, name);
  return fc.jsonValue();
}

function numberOf({ minimum = -1e6, multipleOf = 1, ...rest }: Schema): Arbitrary<number> {
  // A least value may be beyond what is the greatest elsewhere.
  const { maximum = Math.max(1e6, 4 * minimum) } = rest;
  return fc
    .integer({ min: Math.ceil(minimum / multipleOf), max: Math.floor(maximum / multipleOf) })
    .map((steps) => steps * multipleOf);
}

function textOf({ pattern, minLength = 0, maxLength = 300 }: Schema, name: string) {
  // What is there, more often than not.
  const there: Readonly<Record<string, string>> = {
    ...{ image: 'tiny', imageDigest: tinyDigest, host: 'a', datastore: 'shared' },
  };
  const present = there[name];
  if (present !== undefined) {
    return fc.oneof(
      { weight: 4, arbitrary: fc.constant(present) },
      { weight: 1, arbitrary: fc.string({ minLength: 1 }) },
    );
  }
  if (pattern !== undefined) {
    return fc.stringMatching(new RegExp(pattern)).filter((text) => text.length <= maxLength);
  }
  return fc.string({ minLength, maxLength: Math.min(maxLength, minLength + 60), unit: 'grapheme' });
}
