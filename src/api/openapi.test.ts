/**
 * The OpenAPI document: each schema valid by JSON Schema 2020-12, the whole by the rules of OpenAPI
 * 3.1 that can be told in a few lines; and the table of problem codes.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { UmbraError } from '../base/errors.ts';
import { type Endpoint, endpoints } from './endpoints.ts';
import { openApiDocument } from './openapi.ts';
import { fromProblem, problemCodes, toProblem } from './problems.ts';

type Json = Record<string, unknown>;

// As a client gets it.
const document = JSON.parse(JSON.stringify(openApiDocument('1.2.3'))) as Json;
const paths = document['paths'] as Record<string, Record<string, Json>>;
const parts = document['components'] as Record<string, Record<string, Json>>;

/** Every object in the document, with where it is. */
function* objects(value: unknown, at = '#'): Generator<readonly [string, Json]> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield [at, value as Json];
  for (const [name, each] of Object.entries(value)) {
    yield* objects(each, `${at}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`);
  }
}

function find(pointer: string): unknown {
  const names = pointer.slice(2).split('/');
  return names.reduce<unknown>((value, name) => (value as Json)?.[name], document);
}

test('the frame: version, info, servers; every reference leads somewhere', () => {
  assert.match(String(document['openapi']), /^3\.1\.\d+$/);
  const { title, version } = document['info'] as Json;
  assert.deepEqual([title, version], ['Umbra', '1.2.3']);
  assert.deepEqual(document['servers'], [{ url: '/api/v1' }]);
  const known = new Set(['openapi', 'info', 'servers', 'paths', 'components']);
  for (const name of Object.keys(document)) assert.ok(known.has(name) || name.startsWith('x-'));
  let count = 0;
  for (const [at, { $ref }] of objects(document)) {
    if (typeof $ref !== 'string') continue;
    count += 1;
    assert.match($ref, /^#\/components\/(schemas|parameters|responses)\/\w+$/, at);
    assert.notEqual(find($ref), undefined, `${at}: ${$ref}`);
  }
  assert.ok(count > 20);
});

test('every endpoint is there once, with what it takes, gives and needs', () => {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  assert.equal(operations.length, Object.keys(endpoints).length);
  for (const { path, method, operation } of operations) {
    const name = String(operation['operationId']);
    const endpoint: Endpoint = endpoints[name as keyof typeof endpoints];
    assert.equal(method, endpoint.method.toLowerCase(), name);
    assert.equal(path.replace(/\{(\w+)\}/g, ':$1'), endpoint.path, name);
    const parameters = ((operation['parameters'] ?? []) as Json[]).map((parameter) =>
      '$ref' in parameter ? (find(String(parameter['$ref'])) as Json) : parameter,
    );
    const inPath = parameters.filter((parameter) => parameter['in'] === 'path');
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, each]) => each);
    assert.deepEqual(
      inPath.map((parameter) => parameter['name']),
      named,
      name,
    );
    assert.ok(
      inPath.every((parameter) => parameter['required'] === true),
      name,
    );
    const keys = parameters.map((parameter) => `${parameter['in']} ${parameter['name']}`);
    assert.equal(new Set(keys).size, keys.length, name);
    const headers = keys.filter((key) => key.startsWith('header'));
    assert.equal(headers.includes('header Idempotency-Key'), endpoint.creates === true, name);
    assert.equal('requestBody' in operation, endpoint.body !== undefined, name);
    assert.deepEqual(Object.keys(operation['responses'] as Json), ['200', 'default'], name);
    const security = operation['security'] as Json[];
    assert.equal(security.length === 0, endpoint.access === 'anyone', name);
    for (const scheme of security.flatMap(Object.keys)) {
      assert.ok(scheme in parts['securitySchemes']!, scheme);
    }
  }
});

test('each schema is one by JSON Schema 2020-12, and says what the center checks', () => {
  const ajv = new Ajv2020({ strict: true, strictRequired: false, validateFormats: false });
  ajv.addVocabulary(['components']);
  ajv.addSchema({ $id: 'umbra://api', components: document['components'] });
  let count = 0;
  for (const [at, object] of objects(document)) {
    const { schema } = object;
    if (typeof schema !== 'object' || schema === null || at.includes('/properties/')) continue;
    const text = JSON.stringify(schema).replaceAll('"#/', '"umbra://api#/');
    ajv.compile(JSON.parse(text) as object);
    count += 1;
  }
  for (const name of Object.keys(parts['schemas']!)) {
    assert.ok(ajv.compile({ $ref: `umbra://api#/components/schemas/${name}` }));
    count += 1;
  }
  assert.ok(count > 80, `${count} schemas`);
  const problem = ajv.compile({ $ref: 'umbra://api#/components/schemas/Problem' });
  assert.ok(problem(toProblem(new UmbraError('vm-unknown', 'there is none', ''))));
  assert.equal(problem({ code: 'vm-unknown' }), false);
});

test('problems come back as the errors that they were', () => {
  const error = new UmbraError('vm-unknown', 'there is no VM "x"', 'See umbra vm list.');
  assert.deepEqual(fromProblem(JSON.stringify(toProblem(error))), error);
  assert.equal(toProblem(error).status, 404);
  assert.equal(fromProblem('<html>'), undefined);
  assert.equal(fromProblem('{"error":"x"}'), undefined);
});

test('every code that the center throws has its row, and every row its code', () => {
  // Before it serves, and at the caller: never sent.
  const unsent = new Set([
    ...['listen-failed', 'listen-malformed', 'directory-unwritable', 'authority-damaged'],
    ...['store-damaged', 'store-in-use', 'store-newer', 'store-unreachable', 'store-malformed'],
  ]);
  const root = join(import.meta.dirname, '../center');
  const thrown = new Set<string>();
  const texts: string[] = [];
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts') || /\.(test|fixture)\.ts$/.test(name)) continue;
    const text = readFileSync(join(root, name), 'utf8');
    texts.push(text);
    for (const [, code] of text.matchAll(/new UmbraError\(\s*'([a-z-]+)'/g)) thrown.add(code!);
  }
  assert.ok(thrown.size > 30);
  const missing = [...thrown].filter((code) => !(code in problemCodes) && !unsent.has(code));
  assert.deepEqual(missing, [], 'add them to problemCodes in api/problems.ts');
  const source = texts.join('\n');
  const unused = Object.keys(problemCodes).filter((code) => !source.includes(`'${code}'`));
  assert.deepEqual(unused, [], 'nothing sends them');
  const sent = document['x-problem-codes'] as Json;
  assert.deepEqual(Object.keys(sent), Object.keys(problemCodes));
});
