/**
 * A real center process, and hosts that are real at the wire: joining, who may say what, the
 * arbiter over mutual TLS, and the life of a protected VM as the center sees it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client } from '../api/client.ts';
import type { Console } from '../api/console.ts';
import { openConsole } from '../api/console.ts';
import { joinCluster } from '../api/join.ts';
import { centerName, daemonTrust, readText } from '../api/wire.ts';
import type { UmbraError } from '../base/errors.ts';
import { TestCenter, TestHost, until } from './cluster.fixture.ts';

const code = (expected: string) => (error: unknown) => {
  assert.equal((error as UmbraError).code, expected, String(error));
  return true;
};

describe('joining', () => {
  let center: TestCenter;
  before(async () => {
    center = await TestCenter.start();
  });
  after(() => center.close());

  const joinWith = (token: string | undefined, name: string) =>
    joinCluster({
      url: center.url,
      token,
      kind: 'host',
      name,
      addresses: ['127.0.0.1', '::1'],
      directory: join(center.folder, name),
    });

  test('the first start gives one join token and an administrator, for the owner only', async () => {
    assert.match(center.joinToken!, /^[\w-]{43}\.[0-9a-f]{64}$/);
    const admin = join(center.data, 'admin.json');
    assert.equal(statSync(admin).mode & 0o777, 0o600);
    assert.equal(statSync(join(center.data, 'ca-key.pem')).mode & 0o777, 0o600);
    const credentials = join(center.home, 'credentials.json');
    assert.equal(readFileSync(credentials, 'utf8'), readFileSync(admin, 'utf8'));
  });

  test('a token lets one host in; a folder that has joined needs none', async () => {
    const token = await center.token();
    const joined = await joinWith(token, 'first');
    assert.match(joined.daemonId, /^host-[0-9a-f]{12}$/);
    assert.equal(statSync(joined.keyFile).mode & 0o777, 0o600);
    assert.deepEqual(await joinWith(undefined, 'first'), joined);
    await assert.rejects(joinWith(token, 'second'), code('token-used'));
    const hosts = await center.client.call('listHosts');
    assert.deepEqual(
      hosts.map(({ name, state, pid }) => ({ name, state, pid })),
      [{ name: 'first', state: 'notResponding', pid: null }],
    );
  });

  test('wrong tokens are refused before anything is said to a stranger', async () => {
    const token = await center.token();
    const [secret, fingerprint] = token.split('.') as [string, string];
    await assert.rejects(joinWith(undefined, 'third'), code('token-malformed'));
    await assert.rejects(joinWith('nonsense', 'third'), code('token-malformed'));
    const other = `${secret}.${'0'.repeat(64)}`;
    await assert.rejects(joinWith(other, 'third'), code('center-not-trusted'));
    const unknown = `${'A'.repeat(43)}.${fingerprint}`;
    await assert.rejects(joinWith(unknown, 'third'), code('token-unknown'));
    // None of these has used it up.
    assert.ok(await joinWith(token, 'third'));
  });

  test('names are unique; the token of a refused join stays good', async () => {
    const token = await center.token();
    const again = (name: string, directory: string) =>
      joinCluster({
        ...{ url: center.url, token, kind: 'host' as const, name, addresses: [] },
        directory: join(center.folder, directory),
      });
    await assert.rejects(again('first', 'fourth'), code('name-taken'));
    await assert.rejects(again('Not A Name', 'fourth'), code('request-malformed'));
    assert.ok(await again('fourth', 'fourth'));
  });

  test('a center that is not there is said to be so', async () => {
    const url = 'https://127.0.0.1:9';
    const directory = join(center.folder, 'fifth');
    const options = { kind: 'host', name: 'fifth', addresses: [], directory } as const;
    const token = await center.token();
    await assert.rejects(joinCluster({ ...options, url, token }), code('center-unreachable'));
  });

  test('a port that is taken, a folder in use: clear errors, exit code 1', () => {
    const program = join(import.meta.dirname, '../cli/main.ts');
    const env = { ...process.env, UMBRA_HOME: center.home };
    const start = (data: string, listen: string) =>
      spawnSync(
        process.execPath,
        [program, 'center', 'start', '--data', data, '--listen', listen],
        { encoding: 'utf8', env, timeout: 20_000 },
      );
    const taken = start(join(center.folder, 'other'), new URL(center.url).host);
    assert.equal(taken.status, 1);
    assert.match(taken.stderr, /^umbra: .*another program listens there\. .*--listen\.\n$/);
    const used = start(center.data, '127.0.0.1:0');
    assert.equal(used.status, 1);
    assert.match(used.stderr, /^umbra: another center is running on .*--data\.\n$/);
    const unwritable = start(join(center.data, 'admin.json', 'data'), '127.0.0.1:0');
    assert.equal(unwritable.status, 1);
    assert.match(unwritable.stderr, /^umbra: the folder .*admin\.json\/data cannot be used: /);
    assert.equal(start(center.data, 'nonsense').status, 2);
  });
});

describe('who may say what', () => {
  let center: TestCenter;
  let stranger: TestCenter;
  let a: TestHost;
  let b: TestHost;
  before(async () => {
    [center, stranger] = await Promise.all([TestCenter.start(), TestCenter.start()]);
    a = await center.host('a');
    b = await center.host('b');
  });
  after(() => Promise.all([center.close(), stranger.close()]));

  /** A raw request, to see what others see. */
  function raw(path: string, method = 'GET', headers = {}, body?: string) {
    return new Promise<{ status: number; type: string; problem: Record<string, unknown> }>(
      (resolve, reject) => {
        const { ca } = center.client.wire.trust;
        const options = { method, ca, servername: centerName, headers };
        const sent = request(new URL(path, center.url), options, async (reply) => {
          const problem = JSON.parse(await readText(reply)) as Record<string, unknown>;
          const type = String(reply.headers['content-type']);
          resolve({ status: reply.statusCode!, type, problem });
        });
        sent.on('error', reject);
        sent.end(body);
      },
    );
  }

  test('errors are problem documents with code and remedy', async () => {
    const { status, type, problem } = await raw('/api/v1/vms');
    assert.equal(status, 401);
    assert.match(type, /^application\/problem\+json/);
    assert.deepEqual(
      { ...problem, remedy: typeof problem['remedy'] },
      {
        type: 'urn:umbra:error:credentials-missing',
        title: 'credentials missing',
        status: 401,
        detail: 'this needs a token (Authorization: Bearer ...)',
        code: 'credentials-missing',
        remedy: 'string',
      },
    );
    assert.equal((await raw('/api/v1/nothing')).status, 404);
    const wrong = await raw('/api/v1/vms', 'GET', { authorization: 'Bearer wrong' });
    assert.equal(wrong.problem['code'], 'credentials-refused');
  });

  test('malformed requests name the field', async () => {
    const call = center.client.call('createVm', {
      body: { name: 'Bad Name', image: 'tiny' },
    });
    await assert.rejects(call, /the request is malformed: the body, name must match pattern/);
    const extra = { name: 'x', image: 'tiny', colour: 'red' } as never;
    await assert.rejects(
      center.client.call('createVm', { body: extra }),
      code('request-malformed'),
    );
    for (const vlan of [0, 4095, 1.5]) {
      const tagged = center.client.call('createVm', { body: { name: 'x', image: 'tiny', vlan } });
      await assert.rejects(tagged, /the request is malformed: the body, vlan/);
    }
    const { authorization } = { authorization: `Bearer ${center.client.wire.trust.token}` };
    const headers = { authorization, 'content-type': 'application/json' };
    assert.equal((await raw('/api/v1/vms', 'POST', headers, '{not json')).status, 400);
  });

  test("a certificate of another cluster is refused in words, on a host's every way in", async () => {
    const foreigner = await TestHost.join(stranger, 'foreigner');
    // It believes this center, so that the refusal is the center's.
    const credentials = { ...foreigner.credentials, caFile: a.credentials.caFile };
    const intruder = new TestHost(center.url, 'intruder', credentials);
    await intruder.connect();
    assert.equal(intruder.refused?.code, 'certificate-foreign');
    assert.match(intruder.refused!.message, /not of this cluster's CA/);
    await assert.rejects(intruder.client.call('listVms'), code('certificate-foreign'));
    await assert.rejects(intruder.ask('v', { kind: 'claim' }), code('certificate-foreign'));
    intruder.close();
  });

  test('a host does not believe a center of another cluster', async () => {
    const lost = new Client(stranger.url, daemonTrust(a.credentials));
    await assert.rejects(lost.call('health'), code('center-not-trusted'));
    lost.close();
  });

  test('an agent of another protocol version is refused with the reason', async () => {
    const old = await TestHost.join(center, 'old');
    await old.connect(0);
    assert.equal(old.refused?.code, 'protocol-version');
    assert.match(old.refused!.message, /it speaks protocol 0, the center 4/);
    old.close();
    const young = await TestHost.join(center, 'young');
    await young.connect(6);
    assert.match(young.refused!.message, /it speaks protocol 6, the center 4/);
    young.close();
  });

  test('the arbiter answers hosts only, and each for itself', async () => {
    const claim = { kind: 'claim' } as const;
    await assert.rejects(a.ask('v', claim, { host: b.id }), code('access-denied'));
    const member = { host: a.id, process: 'p' };
    const body = { vm: 'v', member, epoch: 1, generation: 0, claimId: 'c', operation: claim };
    await assert.rejects(center.client.call('askArbiter', { body }), code('access-denied'));
    const { ca } = center.client.wire.trust;
    const nobody = new Client(center.url, { ca });
    await assert.rejects(nobody.call('askArbiter', { body }), code('credentials-missing'));
    nobody.close();
    assert.equal((await a.ask('v', claim)).refusal, 'unknown-vm');
    await assert.rejects(a.client.call('listVms'), code('access-denied'));
  });

  test('a second daemon with the same identity takes the place of the first', async () => {
    const first = await center.host('twin');
    const second = new TestHost(center.url, 'twin', first.credentials);
    await second.connect();
    await until('the refusal of the first', () => first.refused);
    assert.equal(first.refused?.code, 'daemon-replaced');
    assert.ok(second.isConnected);
    second.close();
  });

  test('images: hosts get the bytes that a VM pins, and nothing beside them', async () => {
    const digest = center.addImage('small');
    await center.client.call('createVm', { body: { name: 'pinned', image: 'small' } });
    const get = async (path: string) => readText(await a.client.wire.open('GET', path));
    assert.equal(await get('/images/small/files/Image'), 'Image of the first small');
    assert.notEqual(center.addImage('small', 'second'), digest);
    assert.equal(await get('/images/small/files/Image'), 'Image of the second small');
    assert.equal(await get(`/images/${digest}/files/disk`), 'disk of the first small');
    for (const path of ['..%2f..%2fadmin.json', 'nothing']) {
      const asked = a.client.wire.open('GET', `/images/small/files/${path}`);
      await assert.rejects(asked, code('image-file-unknown'));
    }
    await assert.rejects(get('/images/..%2fdata/files/x'), code('image-unknown'));
    await assert.rejects(
      center.client.wire.open('GET', '/images/small/files/Image'),
      code('access-denied'),
    );
    const made = center.client.call('createVm', { body: { name: 'other', image: 'none' } });
    await assert.rejects(made, code('image-unknown'));
  });

  test('a removed host is refused, and says so', async () => {
    const gone = await center.host('gone');
    await center.client.call('removeHost', { params: { host: 'gone' } });
    await until('the refusal', () => gone.refused);
    assert.equal(gone.refused?.code, 'host-removed');
    const back = new TestHost(center.url, 'gone', gone.credentials);
    await back.connect();
    assert.equal(back.refused?.code, 'host-removed');
    assert.match(back.refused!.message, /"gone" has been removed, on 20/);
    back.close();
  });
});

describe('a protected VM', () => {
  let center: TestCenter;
  let a: TestHost;
  let b: TestHost;
  let c: TestHost;
  let id = '';
  let viewer: Console | undefined;
  let shown = '';
  before(async () => {
    center = await TestCenter.start();
    center.addImage('tiny');
    [a, b, c] = await Promise.all([center.host('a'), center.host('b'), center.host('c')]);
  });
  after(async () => {
    viewer?.close();
    await center.close();
  });

  const ft = () => center.client.call('ftStatus', { params: { vm: 'web' } });
  const state = (wanted: string) =>
    until(`the state ${wanted}`, async () => ((await ft()).state === wanted ? true : undefined));

  test('prechecks: ports, names, hosts', async () => {
    const port = { protocol: 'tcp', gatewayPort: 8080, guestPort: 80 } as const;
    const create = (name: string, host: string) =>
      center.client.call('createVm', {
        body: { name, image: 'tiny', host, vlan: 7, ports: [port] },
      });
    const vm = await create('web', 'a');
    id = vm.id;
    assert.equal(vm.state, 'poweredOff');
    assert.equal(vm.ft.state, 'notConfigured');
    await assert.rejects(create('web', 'a'), code('name-taken'));
    await assert.rejects(create('other', 'a'), code('port-taken'));
    await assert.rejects(create('third', 'nowhere'), code('host-unknown'));
  });

  test('powering on: the host is told, the arbiter grants, everybody learns the place', async () => {
    await center.client.call('startVm', { params: { vm: 'web' }, body: {} });
    const start = await a.order('start');
    assert.equal(start.fenced, false);
    assert.equal(start.vm.vlan, 7);
    a.report(id, 'starting', { process: '', pid: 0 });
    assert.ok((await a.ask(id, { kind: 'start', acceptStale: start.acceptStale })).granted);
    a.report(id, 'live', { generation: 1 });
    const place = await c.order('place');
    assert.deepEqual([place.host, place.generation, place.mac], [a.id, 1, start.vm.mac]);
    const vm = await center.client.call('showVm', { params: { vm: 'web' } });
    assert.equal(vm.state, 'poweredOn');
    assert.equal(vm.host, 'a');
    await center.client.call('resetVm', { params: { vm: 'web' } });
    await a.order('reset');
    const shown = await center.client.call('showHost', { params: { host: 'a' } });
    assert.deepEqual([shown.state, shown.vmPids], ['connected', [4242]]);
  });

  test('a second primary of the same VM is refused', async () => {
    const second = await b.ask(id, { kind: 'start' });
    assert.deepEqual([second.granted, second.refusal], [false, 'already-live']);
    assert.equal((await b.ask(id, { kind: 'claim' })).refusal, 'not-eligible');
  });

  test('ft on: both hosts are told, and it is protected when the arbiter says so', async () => {
    // Of an unprotected VM the primary has been told so.
    assert.equal((await a.order('protect')).shadowHost, undefined);
    a.report(id, 'live', { generation: 1, ftState: 'disabled' });
    await center.client.call('turnFtOn', { params: { vm: 'web' } });
    const shadow = await b.order('startShadow');
    assert.deepEqual(shadow.primary, { host: a.id, address: '127.0.0.1', port: 99 });
    await a.order('protect', ({ shadowHost }) => shadowHost === b.id);
    b.report(id, 'shadow', { ftState: 'notConfigured' });
    a.report(id, 'live', { generation: 1, ftState: 'starting', shadowHost: b.id });
    await state('starting');
    const eligible = { host: b.id, process: b.process(id) };
    assert.ok((await a.ask(id, { kind: 'makeEligible', shadow: eligible })).granted);
    a.report(id, 'live', { generation: 2, ftState: 'running', shadowHost: b.id });
    await state('running');
    const { primary, shadow: copy, generation } = await ft();
    assert.deepEqual(
      { primary, copy, generation },
      {
        primary: { host: 'a', pid: 4242 },
        copy: { host: 'b', pid: 4242, lagMs: 1.5 },
        generation: 2,
      },
    );
  });

  test('the console shows what was written before, and each byte once', async () => {
    const write = (host: TestHost, offset: number, text: string) => {
      const bytes = Buffer.from(text).toString('base64');
      host.send({ kind: 'console', vm: id, offset: String(offset), bytes });
    };
    write(a, 0, 'boot ');
    viewer = openConsole(center.client, 'web', {
      onOutput: (bytes) => {
        shown += Buffer.from(bytes).toString();
      },
      onEnd: () => {},
    });
    await until('the boot', () => (shown === 'boot ' ? true : undefined));
    write(a, 5, 'login: ');
    await until('the login', () => (shown === 'boot login: ' ? true : undefined));
    viewer.input(Buffer.from('root\n'));
    const { bytes } = await a.order('consoleInput');
    assert.equal(Buffer.from(bytes, 'base64').toString(), 'root\n');
    // The shadow that goes live computes again what the primary has shown.
    write(b, 5, 'login: roo');
    await until('the echo', () => (shown === 'boot login: roo' ? true : undefined));
  });

  test("the center's restart is nobody's failure", async () => {
    assert.equal(await center.end('SIGKILL'), null);
    await center.start();
    assert.equal(center.joinToken, null, 'shown once');
    for (const host of [a, b, c]) {
      await until(`${host.name} to come back`, () => (host.isConnected ? true : undefined));
    }
    await state('running');
    for (const host of [a, b, c]) {
      const kinds = host.heard.map(({ kind }) => kind);
      assert.ok(!kinds.includes('dismiss') && !kinds.includes('stop'), kinds.join());
    }
  });

  test('the primary is lost: the shadow takes over, and a third host protects it', async () => {
    b.heard.length = 0;
    c.heard.length = 0;
    a.disconnect();
    const began = performance.now();
    assert.ok((await b.ask(id, { kind: 'claim' })).granted);
    b.report(id, 'live', { generation: 3 });
    const shadow = await c.order('startShadow');
    assert.ok(performance.now() - began < 3_000, 'protection is restored within 3 s');
    assert.equal(shadow.primary.host, b.id);
    assert.equal((await b.order('protect')).shadowHost, c.id);
    const place = await c.order('place');
    assert.deepEqual([place.host, place.generation], [b.id, 3]);
    const [failover] = await center.events('ft-primary-failover');
    assert.deepEqual(failover?.data, { vm: 'web', host: 'b', from: 'a', generation: 3 });
    c.report(id, 'shadow');
    const eligible = { host: c.id, process: c.process(id) };
    assert.ok((await b.ask(id, { kind: 'makeEligible', shadow: eligible })).granted);
    b.report(id, 'live', { generation: 4, ftState: 'running', shadowHost: c.id });
    await state('running');
  });

  test('the old primary comes back and is dismissed', async () => {
    a.heard.length = 0;
    await a.connect();
    await a.order('dismiss');
    a.report(id, 'ended', { ended: { kind: 'dismissed', text: 'another copy is live' } });
    await state('running');
    for (const host of [b, c]) {
      assert.ok(!host.heard.some(({ kind }) => kind === 'dismiss'), host.name);
    }
  });

  test('test failover: the primary is asked, and the answer is the new primary', async () => {
    b.heard.length = 0;
    const asked = center.client.call('testFailover', { params: { vm: 'web' } });
    await b.order('handOver');
    assert.ok((await c.ask(id, { kind: 'claim' })).granted);
    assert.equal((await asked).primary?.host, 'c');
    const tasks = await center.client.call('listTasks', { query: { vm: 'web' } });
    assert.deepEqual(
      tasks.map(({ kind, state, by }) => [kind, state, by]),
      [['test-failover', 'succeeded', 'admin.json']],
    );
    b.report(id, 'ended', { ended: { kind: 'handed-over', text: 'the shadow has taken over' } });
    c.report(id, 'live', { generation: 5 });
    await state('needShadow');
    const early = center.client.call('testFailover', { params: { vm: 'web' } });
    await assert.rejects(early, code('ft-not-protected'));
    const failed = await center.client.call('listTasks', { query: { state: 'failed' } });
    assert.deepEqual(
      failed.map(({ error }) => error?.code),
      ['ft-not-protected'],
    );
  });

  test('a guest that switches itself off stays off', async () => {
    const stop = { kind: 'stop', state: 'stopped', currentReplicas: [c.id] } as const;
    assert.ok((await c.ask(id, stop)).granted);
    c.report(id, 'ended', { ended: { kind: 'off', text: 'the machine is switched off' } });
    await state('enabled');
    a.heard.length = 0;
    const vm = await center.client.call('showVm', { params: { vm: 'web' } });
    assert.equal(vm.state, 'poweredOff');
    await center.client.call('deleteVm', { params: { vm: 'web' } });
    await a.order('forget');
    await assert.rejects(ft(), code('vm-unknown'));
  });

  test('events are numbered and can be read on from one', async () => {
    const all = await center.client.call('listEvents', { query: { vm: 'web' } });
    const kinds = new Set(all.map((event) => event.kind));
    for (const kind of [
      'vm-created',
      'vm-powered-on',
      'ft-enabled',
      'ft-shadow-added',
      'ft-shadow-started',
      'ft-state-changed',
      'ft-primary-failover',
      'ft-test-failover',
      'vm-powered-off',
      'vm-deleted',
    ]) {
      assert.ok(kinds.has(kind), kind);
    }
    const after = all[3]!.sequence;
    const later = await center.client.call('listEvents', { query: { vm: 'web', after, limit: 2 } });
    assert.deepEqual(later, all.slice(4, 6));
  });
});
