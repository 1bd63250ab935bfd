/** People at a real center over HTTPS: users, roles, sessions, cookies, tokens, the audit trail. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { joinCluster } from '../api/join.ts';
import { tlsOptions } from '../api/wire.ts';
import type { UmbraError } from '../base/errors.ts';
import { InProcessCenter, type RawRequest } from './in-process.fixture.ts';

const code = (expected: string) => (error: unknown) => {
  assert.equal((error as UmbraError).code, expected, String(error));
  return true;
};

const password = 'correct horse battery';

describe('users and sessions', () => {
  let center: InProcessCenter;
  before(async () => {
    center = await InProcessCenter.start();
  });
  after(() => center.close());

  const login = async (user: string, given = password) => {
    const reply = await center.stranger().call('login', { body: { user, password: given } });
    return center.client(reply.token!);
  };

  test('the first start makes an administrator, who can log in with the password shown', async () => {
    const { name, password: shown } = center.center.administrator!;
    const admin = await login(name, shown);
    const session = await admin.call('showSession');
    assert.deepEqual(
      [session.name, session.kind, session.role, session.csrfToken],
      ['admin', 'session', 'administrator', null],
    );
    const hours = (Date.parse(session.expires!) - Date.now()) / 3_600_000;
    assert.ok(hours > 11.9 && hours <= 12, `${hours} h`);
  });

  test('users are added, listed without their hashes, and unique', async () => {
    const admin = center.client();
    for (const [name, role] of [
      ['vera', 'viewer'],
      ['otto', 'operator'],
    ] as const) {
      const made = await admin.call('createUser', { body: { name, role, password } });
      assert.equal(made.role, role);
    }
    const again = admin.call('createUser', { body: { name: 'vera', role: 'viewer', password } });
    await assert.rejects(again, code('name-taken'));
    const short = { name: 'kurt', role: 'viewer', password: 'too short' } as const;
    await assert.rejects(admin.call('createUser', { body: short }), code('request-malformed'));
    const users = await admin.call('listUsers');
    assert.deepEqual(
      users.map(({ name }) => name),
      ['admin', 'otto', 'vera'],
    );
    assert.doesNotMatch(JSON.stringify(users), /argon2|hash/i);
  });

  test('a session has the role of its user at this moment, and ends with a logout', async () => {
    const vera = await login('vera');
    await assert.rejects(
      vera.call('createVm', { body: { name: 'x', image: 'none' } }),
      code('access-denied'),
    );
    const admin = center.client();
    await admin.call('setUserRole', { params: { user: 'vera' }, body: { role: 'operator' } });
    await assert.rejects(
      vera.call('createVm', { body: { name: 'x', image: 'none' } }),
      code('image-unknown'),
    );
    await admin.call('setUserRole', { params: { user: 'vera' }, body: { role: 'viewer' } });
    await vera.call('logout');
    await assert.rejects(vera.call('showSession'), code('credentials-refused'));
    await assert.rejects(center.client().call('logout'), code('session-missing'));
  });

  test("passwords: one's own with the present one, others' as administrator only", async () => {
    const otto = await login('otto');
    const other = await login('otto');
    const set = (present?: string) =>
      otto.call('setUserPassword', {
        params: { user: 'otto' },
        body: { password: 'a new long password', ...(present !== undefined && { present }) },
      });
    await assert.rejects(set(), code('password-wrong'));
    await assert.rejects(set('wrong'), code('password-wrong'));
    await set(password);
    await otto.call('showSession');
    await assert.rejects(other.call('showSession'), code('credentials-refused'));
    await assert.rejects(login('otto'), code('login-refused'));
    const foreign = { params: { user: 'vera' }, body: { password } };
    await assert.rejects(otto.call('setUserPassword', foreign), code('access-denied'));
    await center.client().call('setUserPassword', { params: { user: 'otto' }, body: { password } });
    await login('otto');
  });

  test('the last administrator stays', async () => {
    const admin = center.client();
    const params = { user: 'admin' };
    await assert.rejects(admin.call('removeUser', { params }), code('last-administrator'));
    const body = { role: 'operator' } as const;
    await assert.rejects(admin.call('setUserRole', { params, body }), code('last-administrator'));
    await assert.rejects(
      admin.call('removeUser', { params: { user: 'nobody' } }),
      code('user-unknown'),
    );
  });

  test('a removed user is out, with sessions and tokens', async () => {
    const admin = center.client();
    await admin.call('createUser', { body: { name: 'gone', role: 'operator', password } });
    const gone = await login('gone');
    const { token } = await gone.call('createApiToken', { body: { name: 'mine', role: 'viewer' } });
    await center.client(token).call('listVms');
    await admin.call('removeUser', { params: { user: 'gone' } });
    await assert.rejects(gone.call('showSession'), code('credentials-refused'));
    await assert.rejects(center.client(token).call('listVms'), code('credentials-refused'));
    // Another person of the same name inherits nothing.
    await admin.call('createUser', { body: { name: 'gone', role: 'operator', password } });
    await assert.rejects(center.client(token).call('listVms'), code('credentials-refused'));
    await admin.call('removeUser', { params: { user: 'gone' } });
  });

  test('sessions outlive a restart of the center', async () => {
    const vera = await center.stranger().call('login', { body: { user: 'vera', password } });
    const { token } = center.admin;
    await center.stop();
    await center.start();
    assert.equal(center.center.administrator, undefined, 'made once');
    assert.equal((await center.client(vera.token!).call('showSession')).name, 'vera');
    assert.equal(center.admin.token, token, 'admin.json keeps its token');
    await center.client(token).call('listUsers');
  });
});

describe('cookies', () => {
  let center: InProcessCenter;
  before(async () => {
    center = await InProcessCenter.start();
  });
  after(() => center.close());

  const call = (path: string, request: RawRequest = {}) => center.raw(`/api/v1${path}`, request);

  test('a login by cookie tells no token; changes need the CSRF token and our origin', async () => {
    const { name, password: shown } = center.center.administrator!;
    const body = JSON.stringify({ user: name, password: shown, cookie: true });
    const stale = { cookie: '__Host-umbra-session=of-long-ago' };
    const opened = await call('/sessions', { method: 'POST', body, headers: stale });
    assert.equal(opened.status, 200, opened.text);
    assert.equal(opened.json['token'], null);
    const set = String(opened.headers['set-cookie']);
    for (const attribute of ['HttpOnly', 'Secure', 'SameSite=Strict', 'Path=/']) {
      assert.ok(set.includes(attribute), attribute);
    }
    const cookie = set.split(';')[0]!;
    const { csrfToken } = opened.json['session'] as { csrfToken: string };
    assert.equal((await call('/vms', { headers: { cookie } })).status, 200);
    const change = (headers: Record<string, string>) =>
      call('/join-tokens', { method: 'POST', body: '{}', headers: { cookie, ...headers } });
    assert.equal((await change({})).json['code'], 'csrf-refused');
    assert.equal((await change({ 'x-csrf-token': 'guessed' })).json['code'], 'csrf-refused');
    const csrf = { 'x-csrf-token': csrfToken };
    assert.equal((await change(csrf)).status, 200);
    const elsewhere = { ...csrf, origin: 'https://evil.example' };
    assert.equal((await change(elsewhere)).json['code'], 'csrf-refused');
    const ours = { ...csrf, origin: center.url };
    assert.equal((await change(ours)).status, 200);
    const session = await call('/sessions/current', { headers: { cookie } });
    assert.equal(session.json['csrfToken'], csrfToken, 'a reloaded page finds it again');
    const url = `${center.url.replace(/^https/, 'wss')}/api/v1/events/stream`;
    const socket = (origin: string | undefined): Promise<number> => {
      const headers = { cookie, ...(origin !== undefined && { origin }) };
      const opened = new WebSocket(url, { ...tlsOptions({ ca: center.admin.ca }), headers });
      return new Promise((resolve, reject) => {
        opened.once('open', () => {
          opened.close();
          resolve(101);
        });
        opened.once('unexpected-response', (request, reply) => {
          request.destroy();
          resolve(reply.statusCode!);
        });
        opened.once('error', reject);
      });
    };
    assert.equal(await socket('https://evil.example'), 403, "another page's WebSocket");
    assert.equal(await socket(undefined), 403, 'one that does not say where it is from');
    assert.equal(await socket(center.url), 101);
    const ended = await call('/sessions/current', {
      ...{ method: 'DELETE', headers: { cookie, ...csrf } },
    });
    assert.match(String(ended.headers['set-cookie']), /Max-Age=0/);
    assert.equal((await call('/vms', { headers: { cookie } })).status, 401);
  });
});

describe('logins that fail', () => {
  let center: InProcessCenter;
  before(async () => {
    center = await InProcessCenter.start({
      loginRule: { freeFailures: 5, firstDelayMs: 30_000, delayMsMax: 60_000 },
    });
  });
  after(() => center.close());

  const attempt = async (user: string, given: string) => {
    const body = JSON.stringify({ user, password: given });
    const began = performance.now();
    const reply = await center.raw('/api/v1/sessions', { method: 'POST', body });
    return { ...reply, ms: performance.now() - began };
  };

  test('an unknown user and a wrong password look alike, and take as long', async () => {
    const known: number[] = [];
    const unknown: number[] = [];
    for (let round = 0; round < 4; round += 1) {
      const wrong = await attempt('admin', 'wrong');
      const nobody = await attempt('nobody', 'wrong');
      assert.deepEqual(wrong.json, nobody.json);
      assert.equal(wrong.status, 401);
      known.push(wrong.ms);
      unknown.push(nobody.ms);
    }
    const [a, b] = [Math.min(...known), Math.min(...unknown)];
    assert.ok(a < 4 * b && b < 4 * a, `${a} ms and ${b} ms`);
  });

  test('after some failures even the right password is not looked at for a while', async () => {
    const { password: right } = center.center.administrator!;
    await attempt('admin', 'wrong');
    await attempt('nobody', 'wrong');
    for (const user of ['admin', 'nobody']) {
      const refused = await attempt(user, right);
      assert.equal(refused.status, 429, user);
      assert.equal(refused.json['code'], 'login-throttled');
      const seconds = Number(refused.headers['retry-after']);
      assert.ok(seconds > 10 && seconds <= 30, `${seconds} s`);
    }
    const other = await attempt('somebody-else', 'wrong');
    assert.equal(other.status, 401, 'others are not slowed by it');
  });
});

describe('API tokens', () => {
  let center: InProcessCenter;
  before(async () => {
    center = await InProcessCenter.start();
  });
  after(() => center.close());

  test('they have a name, a role, an expiry and a last use, and can be revoked', async () => {
    const admin = center.client();
    const body = { name: 'backup script', role: 'operator', ttlSeconds: 3600 } as const;
    const { token, info } = await admin.call('createApiToken', { body });
    assert.deepEqual(
      [info.name, info.role, info.user, info.lastUsed],
      [...['backup script', 'operator', null, null]],
    );
    const script = center.client(token);
    assert.equal((await script.call('showSession')).name, 'backup script');
    const listed = await admin.call('listApiTokens');
    const found = listed.find(({ id }) => id === info.id)!;
    assert.ok(Date.now() - Date.parse(found.lastUsed!) < 60_000);
    assert.doesNotMatch(JSON.stringify(listed), /hash/);
    await admin.call('revokeApiToken', { params: { token: info.id } });
    await assert.rejects(script.call('listVms'), code('credentials-refused'));
    const again = admin.call('revokeApiToken', { params: { token: info.id } });
    await assert.rejects(again, code('api-token-unknown'));
  });

  test('no token gives more than its maker has, nor lives longer', async () => {
    const body = { name: 'parent', role: 'operator', ttlSeconds: 60 } as const;
    const { token, info } = await center.client().call('createApiToken', { body });
    const parent = center.client(token);
    const more = { name: 'more', role: 'administrator' } as const;
    await assert.rejects(parent.call('createApiToken', { body: more }), code('access-denied'));
    const longer = { name: 'longer', role: 'viewer', ttlSeconds: 6000 } as const;
    const child = await parent.call('createApiToken', { body: longer });
    assert.equal(child.info.expires, info.expires);
    const others = await parent.call('listApiTokens');
    assert.deepEqual(others, [], 'it sees none that is not its own');
    const foreign = parent.call('revokeApiToken', { params: { token: child.info.id } });
    await assert.rejects(foreign, code('api-token-unknown'));
    await center.client().call('revokeApiToken', { params: { token: info.id } });
    await assert.rejects(center.client(child.token).call('listVms'), code('credentials-refused'));
  });

  test('an expired one says so', async () => {
    const body = { name: 'short', role: 'viewer', ttlSeconds: 4 } as const;
    const { token, info } = await center.client().call('createApiToken', { body });
    await center.client(token).call('listVms');
    await sleep(Date.parse(info.expires!) - Date.now() + 50);
    await assert.rejects(center.client(token).call('listVms'), code('credentials-expired'));
  });
});

describe('join tokens', () => {
  let center: InProcessCenter;
  before(async () => {
    center = await InProcessCenter.start();
  });
  after(() => center.close());

  let joined = 0;
  const joinWith = (token: string, kind: 'host' | 'gateway' = 'host') => {
    joined += 1;
    const name = `daemon-${joined}`;
    const directory = join(center.folder, name);
    return joinCluster({ url: center.url, token, kind, name, addresses: [], directory });
  };
  const make = (body: { ttlSeconds?: number; kind?: 'host' | 'gateway' | 'center' }) =>
    center.client().call('createJoinToken', { body });

  test('used, unknown, revoked, expired, of another kind: each has its own code', async () => {
    const good = await make({});
    const hours = (Date.parse(good.expires) - Date.now()) / 3_600_000;
    assert.ok(hours > 23.9 && hours <= 24, `${hours} h`);
    await joinWith(good.token);
    await assert.rejects(joinWith(good.token), code('token-used'));
    const wrong = `${'A'.repeat(43)}.${good.token.split('.')[1]}`;
    await assert.rejects(joinWith(wrong), code('token-unknown'));
    const revoked = await make({});
    await center.client().call('revokeJoinToken', { params: { token: revoked.id } });
    await assert.rejects(joinWith(revoked.token), code('token-unknown'));
    const gateways = await make({ kind: 'gateway' });
    await assert.rejects(joinWith(gateways.token), code('token-wrong-kind'));
    await joinWith(gateways.token, 'gateway');
    const short = await make({ ttlSeconds: 1 });
    await sleep(1_050);
    await assert.rejects(joinWith(short.token), code('token-expired'));
    const listed = await center.client().call('listJoinTokens');
    const states = Object.fromEntries(listed.map(({ id, state }) => [id, state]));
    assert.deepEqual(
      [states[good.id], states[gateways.id], states[short.id], states[revoked.id]],
      ['used', 'used', 'expired', undefined],
    );
    assert.equal(listed.find(({ id }) => id === good.id)?.usedBy, 'daemon-1');
    assert.equal(listed.find(({ id }) => id === good.id)?.madeBy, 'admin.json');
    const unknown = center.client().call('revokeJoinToken', { params: { token: 'join-none' } });
    await assert.rejects(unknown, code('join-token-unknown'));
  });
});

describe('a further center', () => {
  test('gets the authority for a token of its own kind, which is good for no host', async () => {
    const center = await InProcessCenter.start();
    try {
      const made = await center.client().call('createJoinToken', { body: { kind: 'center' } });
      const [secret] = made.token.split('.') as [string];
      const asHost = joinCluster({
        ...{ url: center.url, token: made.token, kind: 'host', name: 'a', addresses: [] },
        directory: join(center.folder, 'a'),
      });
      await assert.rejects(asHost, code('token-wrong-kind'));
      const [hosts] = (await center.token()).split('.') as [string];
      const asked = (token: string) => center.stranger().call('joinCenter', { body: { token } });
      await assert.rejects(asked(hosts), code('token-wrong-kind'));
      const { key, adminToken } = await asked(secret);
      assert.match(key, /^-----BEGIN PRIVATE KEY-----/);
      assert.equal((await center.client(adminToken).call('showSession')).role, 'administrator');
      await assert.rejects(asked(secret), code('token-used'));
      const records = await center.client().call('listAudit', { query: {} });
      assert.ok(
        records.some(({ action, outcome }) => action === 'joinCenter' && outcome === 'done'),
      );
      assert.ok(!JSON.stringify(records).includes(secret));
    } finally {
      await center.close();
    }
  });
});

describe('the audit trail', () => {
  let center: InProcessCenter;
  before(async () => {
    center = await InProcessCenter.start();
    center.addImage('tiny');
  });
  after(() => center.close());

  test('has every change with who, where, what and outcome, and no secret', async () => {
    const admin = center.client();
    await admin.call('createUser', { body: { name: 'otto', role: 'operator', password } });
    const { token } = await center.stranger().call('login', { body: { user: 'otto', password } });
    const otto = center.client(token!);
    await otto.call('createVm', { body: { name: 'web', image: 'tiny' } });
    await otto.call('listVms');
    const denied = otto.call('removeHost', { params: { host: 'a' } });
    await assert.rejects(denied, code('access-denied'));
    await assert.rejects(
      otto.call('startVm', { params: { vm: 'web' }, body: {} }),
      code('no-host'),
    );
    const wrong = center.stranger().call('login', { body: { user: 'otto', password: 'guess' } });
    await assert.rejects(wrong, code('login-refused'));
    const records = await admin.call('listAudit', { query: {} });
    assert.deepEqual(
      records.map(({ who, role, action, outcome }) => [who, role, action, outcome]),
      [
        ['admin.json', 'administrator', 'createUser', 'done'],
        ['otto', 'operator', 'login', 'done'],
        ['otto', 'operator', 'createVm', 'done'],
        ['otto', 'operator', 'removeHost', 'access-denied'],
        ['otto', 'operator', 'startVm', 'no-host'],
        ['-', null, 'login', 'login-refused'],
      ],
    );
    assert.ok(records.every(({ address }) => address === '127.0.0.1'));
    assert.deepEqual(records[0]!.input, { name: 'otto', role: 'operator' });
    assert.doesNotMatch(JSON.stringify(records), /correct horse|guess/);
    const ofVm = await admin.call('listAudit', { query: { vm: 'web' } });
    assert.deepEqual(
      ofVm.map(({ action }) => action),
      ['createVm', 'startVm'],
    );
    const last = await admin.call('listAudit', { query: { last: true, limit: 1 } });
    assert.deepEqual(last, records.slice(-1));
    await assert.rejects(otto.call('listAudit', { query: {} }), code('access-denied'));
  });

  test('strangers cannot push it out: their refusals are written only so often', async () => {
    const admin = center.client();
    const before = (await admin.call('listAudit', { query: {} })).length;
    const refusals = Array.from({ length: 150 }, () =>
      center.raw('/api/v1/vms', { method: 'POST', body: '{}' }),
    );
    await Promise.all(refusals);
    await admin.call('createJoinToken', { body: {} });
    const after = await admin.call('listAudit', { query: {} });
    // A minute may have begun in between.
    assert.ok(after.length - before <= 122, `${after.length - before} records`);
    assert.ok(after.some(({ skipped }) => skipped > 0));
  });
});
