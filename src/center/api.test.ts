/**
 * All endpoints of the table alike: who may call each, that each has a test, and that none of them
 * fails on what it cannot use, however odd (seeded by fast-check; a failure prints its seed).
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { daemonFiles } from '../api/credentials.ts';
import { type Access, type Endpoint, endpoints } from '../api/endpoints.ts';
import { problemCodes } from '../api/problems.ts';
import { mayAct, type Role, roles } from '../api/roles.ts';
import { centerName, readText } from '../api/wire.ts';
import { TestHost } from './cluster.fixture.ts';
import { InProcessCenter, type RawReply, type RawRequest } from './in-process.fixture.ts';
import { bodyFor, changed, fieldFor } from './requests.fixture.ts';

const rows = Object.entries(endpoints) as [string, Endpoint][];

/** The path with a value for each parameter, encoded or not. */
function pathOf({ path }: Endpoint, values: (name: string) => string): string {
  return `/api/v1${path.replace(/:(\w+)/g, (_, name: string) => values(name))}`;
}

test('every endpoint is called in a test through the typed client', () => {
  const root = resolve(import.meta.dirname, '../..');
  const sources = globSync(['src/**/*.{test,fixture}.ts', 'tests/**/*.ts'], { cwd: root })
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n');
  const called = new Set([...sources.matchAll(/\bcall\(\s*'(\w+)'/g)].map(([, name]) => name));
  const untested = rows.map(([name]) => name).filter((name) => !called.has(name));
  assert.deepEqual(untested, [], 'write a test that calls them: client.call(NAME, ...)');
});

describe('who may call what', () => {
  let center: InProcessCenter;
  let host: TestHost;
  const tokens = new Map<Role, string>();
  before(async () => {
    center = await InProcessCenter.start();
    host = await TestHost.join(center, 'a');
    for (const role of roles) tokens.set(role, await center.tokenOf(role));
  });
  after(async () => {
    host.close();
    await center.close();
    assert.deepEqual(center.bugs, []);
  });

  const admits = (caller: 'nobody' | 'daemon' | Role, access: Access): boolean => {
    if (access === 'anyone') return true;
    if (caller === 'nobody') return false;
    if (caller === 'daemon' || access === 'daemon') return caller === access;
    return mayAct(caller, access);
  };

  const call = (endpoint: Endpoint, caller: 'nobody' | 'daemon' | Role) => {
    const path = pathOf(endpoint, () => 'none');
    const { method } = endpoint;
    const body = method === 'POST' ? '{}' : undefined;
    const sent = { method, ...(body !== undefined && { body }) };
    if (caller === 'daemon') return asDaemon(path, sent);
    return center.raw(path, {
      ...sent,
      ...(caller !== 'nobody' && { token: tokens.get(caller)! }),
    });
  };

  /** With the certificate of a host. */
  function asDaemon(path: string, { method = 'GET', body }: RawRequest): Promise<RawReply> {
    const { certificateFile, keyFile, caFile } = daemonFiles(join(center.folder, 'a'));
    const [ca, cert, key] = [caFile, certificateFile, keyFile].map((file) => readFileSync(file));
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const options = { method, ca, cert, key, servername: centerName, headers, agent: false };
    return new Promise((done, reject) => {
      const sent = request(new URL(path, center.url), options, async (reply) => {
        const text = await readText(reply);
        const json = JSON.parse(text) as Record<string, unknown>;
        done({ status: reply.statusCode!, headers: reply.headers, text, json });
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  for (const caller of ['nobody', 'daemon', ...roles] as const) {
    test(`${caller}: every endpoint lets in or refuses as its row says`, async () => {
      for (const [name, endpoint] of rows) {
        const { status, json } = await call(endpoint, caller);
        const said = `${name} answers ${caller} with ${status} ${json['code'] ?? ''}`;
        if (admits(caller, endpoint.access)) {
          assert.ok(!['access-denied', 'credentials-missing'].includes(String(json['code'])), said);
        } else if (caller === 'nobody') {
          assert.deepEqual([status, json['code']], [401, 'credentials-missing'], said);
        } else {
          assert.deepEqual([status, json['code']], [403, 'access-denied'], said);
        }
      }
    });
  }
});

describe('whatever is sent', () => {
  let center: InProcessCenter;
  let token: string;
  before(async () => {
    // So many logins fail here that they would be refused unseen.
    const loginRule = { freeFailures: 1e9, firstDelayMs: 1, delayMsMax: 1 };
    center = await InProcessCenter.start({ loginRule });
    center.addImage('tiny');
    ({ token } = center.admin);
    (await TestHost.join(center, 'a')).close();
    const { inventory } = center.center.cluster;
    const storage = { name: 'shared', id: 'one', path: '/mnt', canClone: true };
    const datastores = [{ ...storage, bytesFree: 1, bytesTotal: 1 }];
    inventory.putDaemon({ ...inventory.findDaemon('a'), datastores });
  });
  after(() => center.close());

  /** Either what the row promises, or a problem with a code of the table, and never a bug. */
  function checkReply(said: string, reply: RawReply): void {
    assert.deepEqual(center.bugs, [], said);
    if (reply.status === 200) {
      assert.match(String(reply.headers['content-type']), /^application\/json/, said);
      return;
    }
    assert.match(String(reply.headers['content-type']), /^application\/problem\+json/, said);
    const { type, title, status, detail, code, remedy } = reply.json;
    assert.equal(status, reply.status, said);
    assert.ok(typeof code === 'string' && code in problemCodes, `${said}: code ${code}`);
    assert.equal(problemCodes[code]![0], status, said);
    assert.equal(type, `urn:umbra:error:${code}`, said);
    assert.ok(
      [title, detail, remedy].every((text) => typeof text === 'string'),
      said,
    );
    assert.ok(Number(status) < 500, said);
  }

  const odd = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }).map(encodeURIComponent),
    fc.string({ unit: 'grapheme', maxLength: 320 }).map(encodeURIComponent),
    fc.constantFrom('%zz', '%00', '%2f', '..', '%2e%2e%2fadmin.json', '%ff', '-', 'current', 'a;b'),
    fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty'),
  );

  for (const [name, endpoint] of rows) {
    // Each of them costs tens of milliseconds of argon2.
    const isCostly = ['login', 'createUser', 'setUserPassword'].includes(name);
    // One body in fifteen makes a VM: of sixty there was none in one run of a hundred or two.
    const numRuns = isCostly ? 12 : name === 'createVm' ? 240 : 60;
    test(`${name}: a reply or a problem, and never a bug`, async () => {
      const query = fc.record(
        Object.fromEntries(
          Object.entries(endpoint.query?.properties ?? {}).map(([field, schema]) => [
            field,
            fc.oneof(fieldFor(schema).map(String), fc.string({ maxLength: 20 })),
          ]),
        ),
        { requiredKeys: [] },
      );
      const body = endpoint.body === undefined ? fc.constant({}) : bodyFor(endpoint.body);
      const property = fc.asyncProperty(
        fc.infiniteStream(odd),
        query,
        fc.oneof(
          body.map((value) => JSON.stringify(value)),
          changed(body),
          fc.string(),
        ),
        fc.oneof(
          { weight: 8, arbitrary: fc.constant('application/json') },
          { weight: 1, arbitrary: fc.constantFrom('application/json;charset=utf-8', 'a/b', '') },
        ),
        fc.option(fc.constantFrom('key', ' ', '"1"', '*', 'W/"2"', 'x'.repeat(300)), { freq: 2 }),
        async (segments, asked, text, type, header) => {
          const path = pathOf(endpoint, () => segments.next().value as string);
          const search = new URLSearchParams(asked as Record<string, string>).toString();
          const { method } = endpoint;
          const reply = await center.raw(search === '' ? path : `${path}?${search}`, {
            ...{ method, token },
            ...(method === 'POST' && { body: text }),
            headers: {
              ...(method === 'POST' && type !== 'application/json' && { 'content-type': type }),
              ...(header !== null && { 'if-match': header, 'idempotency-key': header }),
            },
          });
          checkReply(`${method} ${path} ${search} ${text}`, reply);
        },
      );
      await fc.assert(property, { numRuns, interruptAfterTimeLimit: 20_000 });
    });
  }

  test('a body that is too large, and another method, on every path', async () => {
    const large = JSON.stringify({ name: 'x'.repeat(300_000) });
    for (const [name, endpoint] of rows) {
      const path = pathOf(endpoint, () => 'none');
      if (endpoint.method === 'POST') {
        const reply = await center.raw(path, { method: 'POST', token, body: large });
        assert.equal(reply.json['code'], 'body-too-large', name);
      }
      for (const method of ['PUT', 'PATCH', 'OPTIONS']) {
        const reply = await center.raw(path, { method, token });
        checkReply(`${method} ${path}`, reply);
        assert.equal(reply.json['code'], 'method-not-allowed', name);
      }
    }
  });

  test('after all of that the center is as well as before', async () => {
    const client = center.client();
    assert.deepEqual(await client.call('healthReady'), { ready: true, epoch: 1 });
    await client.call('createVm', { body: { name: 'still-here', image: 'tiny' } });
    assert.equal((await client.call('showVm', { params: { vm: 'still-here' } })).version, 1);
    assert.deepEqual(center.bugs, []);
    // Not everything was refused.
    assert.ok((await client.call('listVms')).length > 1);
    assert.ok((await client.call('listJoinTokens')).length > 1);
  });
});
