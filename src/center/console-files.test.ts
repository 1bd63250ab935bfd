/** The console's files: what the page may do, what a path gives, and what is said without them. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fastify, { type FastifyInstance } from 'fastify';
import { addConsole } from './console-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbra-console-'));
let server: FastifyInstance;
before(() => {
  server = fastify();
  addConsole(server, (_request, reply) => reply.status(404).send({ code: 'none' }), folder);
});
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const get = (url: string, headers: Record<string, string> = { accept: 'text/html' }) =>
  server.inject({ url, headers });

test('without it the page says what to do, and a running center finds it later', async () => {
  const absent = await get('/');
  assert.equal(absent.statusCode, 503);
  assert.match(absent.body, /npm run build:console/);
  mkdirSync(join(folder, 'assets'));
  writeFileSync(join(folder, 'assets/main-1.js'), 'x'.repeat(2_000));
  writeFileSync(join(folder, 'index.html'), '<style nonce="UMBRA-CSP-NONCE"></style>');
  assert.equal((await get('/')).statusCode, 200);
});

test('every path of people gives the page, with a nonce of its own in page and policy', async () => {
  const nonces = new Set<string>();
  for (const path of ['/', '/vms', '/vms/web/console', '/?x=1']) {
    const { body, headers } = await get(path);
    const [, nonce] = body.match(/nonce="([^"]+)"/) ?? [];
    const policy = String(headers['content-security-policy']);
    assert.ok(policy.includes(`'nonce-${nonce}'`), path);
    assert.match(policy, /script-src 'self';/);
    assert.match(policy, /default-src 'none';.*frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    nonces.add(nonce!);
  }
  assert.equal(nonces.size, 4);
});

test('programs, and whatever is below the API, are told in their own way', async () => {
  for (const [path, accept] of [
    ['/vms', 'application/json'],
    ['/api/v1/nothing', 'text/html'],
    ['/api', 'text/html'],
    ['/assets/..%2findex.html', 'text/html'],
    ['/assets/none.js', '*/*'],
  ] as const) {
    assert.equal((await get(path, { accept })).statusCode, 404, path);
  }
});

test('files are kept for ever, compressed for whoever takes it', async () => {
  const plain = await get('/assets/main-1.js', {});
  assert.equal(plain.body.length, 2_000);
  assert.match(String(plain.headers['cache-control']), /immutable/);
  const packed = await get('/assets/main-1.js', { 'accept-encoding': 'gzip, br' });
  assert.equal(packed.headers['content-encoding'], 'gzip');
  assert.ok(packed.rawPayload.length < 200);
});
