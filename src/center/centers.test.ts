/**
 * Several centers on one etcd, as processes: any of them answers, each decides for the arbiter, and
 * a leader that is killed takes nothing with it that anybody was told.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { archiveUploadPath, digestHeader, sha256OfDigest } from '../api/archive.ts';
import { Client } from '../api/client.ts';
import { openConsole } from '../api/console.ts';
import { openEvents } from '../api/event-stream.ts';
import { openDaemonSocket } from '../api/socket.ts';
import type { EventView } from '../api/views.ts';
import type { UmbraError } from '../base/errors.ts';
import type { Operation } from '../lockstep/arbiter.ts';
import { TestCenter, type TestHost, until } from './cluster.fixture.ts';
import { hasEtcd, TestEtcd } from './store/etcd.fixture.ts';

const code = (expected: string) => (error: { code?: string }) => error.code === expected;

describe('three centers', { skip: hasEtcd ? false : 'etcd-server is not installed' }, () => {
  let etcd: TestEtcd;
  const centers: TestCenter[] = [];
  let a: TestHost;
  let b: TestHost;
  let vm: string;

  const urls = () => centers.map((center) => center.url);

  before(async () => {
    etcd = await TestEtcd.start();
    const store = ['--store', `etcd://${etcd.endpoint}`];
    const first = await TestCenter.start(store);
    centers.push(first);
    for (let n = 0; n < 2; n++) {
      const token = await first.token('center');
      centers.push(await TestCenter.start([...store, '--join', first.url, '--token', token]));
    }
    for (const center of centers) center.addImage('tiny');
    a = await first.host('a');
    b = await first.host('b');
    for (const host of [a, b]) host.urls = urls;
  });
  after(async () => {
    for (const host of [a, b]) host?.close();
    for (const center of centers) await center.close();
    await etcd?.close();
  });

  test('a token for a host is none for a center', async () => {
    const token = await centers[0]!.token();
    const body = { token: token.split('.')[0]! };
    const trade = centers[0]!.client.call('joinCenter', { body });
    await assert.rejects(trade, code('token-wrong-kind'));
    const more = ['--store', `etcd://${etcd.endpoint}`, '--join', centers[0]!.url];
    await assert.rejects(TestCenter.start([...more, '--token', token]), /is for a host or gateway/);
    const foreign = TestCenter.start(['--store', `etcd://${etcd.endpoint}`]);
    await assert.rejects(foreign, /another certificate authority/);
  });

  test('a follower passes on what only the leader can answer', async () => {
    const { client } = centers[1]!;
    const created = await client.call('createVm', {
      body: { name: 'web', image: 'tiny', host: 'a' },
    });
    vm = created.id;
    const hosts = await client.call('listHosts');
    assert.deepEqual(
      hosts.map(({ name, state }) => [name, state]),
      [
        ['a', 'connected'],
        ['b', 'connected'],
      ],
    );
    await assert.rejects(client.call('showVm', { params: { vm: 'none' } }), code('vm-unknown'));
    assert.equal((await centers[2]!.client.call('listVms')).length, 1);
  });

  test('people log in at any of them, and are known at all', async () => {
    const password = 'correct horse battery';
    const [leader, follower, other] = centers as [TestCenter, TestCenter, TestCenter];
    const user = { name: 'otto', role: 'operator', password } as const;
    await follower.client.call('createUser', { body: user });
    const { ca } = follower.client.wire.trust;
    const stranger = new Client(follower.url, { ca });
    const { token } = await stranger.call('login', { body: { user: 'otto', password } });
    stranger.close();
    for (const center of [leader, follower, other]) {
      const client = new Client(center.url, { ca, token: token! });
      assert.equal((await client.call('showSession')).name, 'otto');
      await client.call('healthReady');
      client.close();
    }
    const audit = await other.client.call('listAudit', { query: { who: 'otto' } });
    assert.deepEqual(
      audit.map(({ action, outcome }) => [action, outcome]),
      [['login', 'done']],
    );
  });

  test('hosts hear of all centers', async () => {
    const told = await b.order('centers');
    assert.deepEqual([...told.urls].sort(), urls().sort());
  });

  /** At the center with this index. */
  const ask = (host: TestHost, index: number, operation: Operation) =>
    host.ask(vm, operation, { at: centers[index]!.url });

  test('any center decides for the arbiter, and the leader gives the orders', async () => {
    await centers[2]!.client.call('startVm', { params: { vm: 'web' }, body: {} });
    const start = await a.order('start');
    const { acceptStale } = start;
    assert.ok((await ask(a, 1, { kind: 'start', acceptStale })).granted);
    a.report(vm, 'live', { generation: 1 });
    const place = await b.order('place');
    assert.equal(place.host, a.id);
    await centers[1]!.client.call('turnFtOn', { params: { vm: 'web' } });
    await b.order('startShadow');
    b.report(vm, 'shadow');
    const shadow = { host: b.id, process: b.process(vm) };
    assert.ok((await ask(a, 2, { kind: 'makeEligible', shadow })).granted);
    a.report(vm, 'live', { generation: 2, ftState: 'running' });
    await until('protection', async () => {
      const status = await centers[1]!.client.call('ftStatus', { params: { vm: 'web' } });
      return status.state === 'running' ? true : undefined;
    });
  });

  test('going back to a snapshot is granted anywhere while its task runs, and nowhere else', async () => {
    const { client } = centers[1]!;
    const body = { name: 'back', image: 'tiny', host: 'a' };
    const { ports: _, ...made } = await client.call('createVm', { body });
    const { id, name, number, image, imageDigest, cpus, memoryBytes, mac } = made;
    const spec = { id, name, number, image, imageDigest, cpus, memoryBytes, mac };
    const inputs = { disks: [], epochOffset: '0', randomSeed: '00' };
    const snapshot = { id: 's', name: 's1', count: '1', savedAtMs: 1, bytes: 1 };
    a.send({
      ...{ kind: 'snapshots', vm: id },
      snapshots: [{ ...snapshot, vm: { ...spec, ...inputs } }],
    });
    const params = { vm: name };
    await until('the snapshot', async () =>
      (await client.call('listSnapshots', { params })).length > 0 ? true : undefined,
    );
    const revert = (saved: string, index: number) =>
      a.ask(id, { kind: 'revert', saved }, { at: centers[index]!.url });
    // One that follows may only not have heard of it: the host asks again.
    await assert.rejects(revert('s-task-0', 1), code('access-denied'));
    assert.equal((await revert('s-task-0', 0)).refusal, 'not-ordered');
    const asked = { params: { ...params, snapshot: 's1' }, body: {} };
    const task = await client.call('revertToSnapshot', asked);
    const { saved } = await a.order('revert');
    // As a host asks: until one that follows has heard of the task.
    const granted = await until('an answer', () => revert(saved, 2).catch(() => undefined));
    assert.equal(granted.granted, true);
    a.send({ kind: 'report', vm: id, report: { kind: 'work-done', id: saved } });
    await until('the end', async () => {
      const { state } = await client.call('showTask', { params: { task: task.id } });
      return state === 'succeeded' ? true : undefined;
    });
    await until('the refusal', () => revert(saved, 2).then(() => undefined, code('access-denied')));
    await client.call('deleteVm', { params });
  });

  test('an archive comes through a follower whole, or breaks off there, too', async () => {
    const { client } = centers[1]!;
    const params = { vm: 'arch' };
    const body = { name: 'arch', image: 'tiny', host: 'a' };
    const { id } = await client.call('createVm', { body });
    await client.call('startVm', { params, body: {} });
    await a.order('start');
    await a.ask(id, { kind: 'start', acceptStale: true });
    a.report(id, 'live', { generation: 1 });
    await until('it to run', async () =>
      (await client.call('showVm', { params })).state === 'poweredOn' ? true : undefined,
    );
    await client.call('stopVm', { params, body: { how: 'power-off' } });
    await a.order('stop');
    await a.ask(id, { kind: 'stop', state: 'stopped', currentReplicas: [a.id] });
    a.report(id, 'ended', { ended: { kind: 'off', text: 'powered off' } });
    await until('it to be off', async () =>
      (await client.call('showVm', { params })).state === 'poweredOff' ? true : undefined,
    );
    const ask = async (signal?: AbortSignal) => {
      const asked = client.wire.open('GET', '/vms/arch/archive', undefined, signal);
      const { work } = await a.order('sendArchive');
      const socket = openDaemonSocket(centers[0]!.url, archiveUploadPath(work), a.credentials);
      await once(socket, 'open');
      return { work, socket, reply: await asked };
    };
    const bytes = randomBytes(1 << 20);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const whole = await ask();
    whole.socket.send(bytes);
    const report = { kind: 'work-done', id: whole.work, bytes: bytes.length, sha256 };
    a.send({ kind: 'report', vm: id, report });
    assert.ok((await buffer(whole.reply)).equals(bytes));
    assert.equal(sha256OfDigest(String(whole.reply.trailers[digestHeader])), sha256);

    const broken = await ask();
    broken.socket.send(bytes);
    const read = buffer(broken.reply);
    read.catch(() => {});
    await client.call('cancelTask', { params: { task: broken.work } });
    await assert.rejects(read, { code: 'ECONNRESET' });

    const unwanted = new AbortController();
    const left = await ask(unwanted.signal);
    const closed = once(left.socket, 'close');
    unwanted.abort();
    await closed;
    await until('the end', async () => {
      const { ended } = await client.call('showTask', { params: { task: left.work } });
      return ended ?? undefined;
    });
    await client.call('deleteVm', { params });
  });

  /** A console and a stream of events, at the center with this index. */
  function watch(index: number) {
    const seen: EventView[] = [];
    const ends: unknown[] = [];
    const { client } = centers[index]!;
    const events = openEvents(client, {
      after: 0,
      onEvent: (event) => seen.push(event),
      onEnd: (why) => ends.push(why),
    });
    const watched = { shown: '', outages: 0 };
    const console = openConsole(client, 'web', {
      onOutput: (bytes) => {
        watched.shown += Buffer.from(bytes).toString();
      },
      onEnd: (why) => why && ends.push(why),
      onCenter: (isThere) => {
        if (!isThere) watched.outages += 1;
      },
    });
    return { seen, ends, events, console, watched };
  }
  let watchers: ReturnType<typeof watch>[] = [];

  /** What the guest has written so far. */
  const write = (host: TestHost, text: string) =>
    host.send({
      ...{ kind: 'console', vm, offset: '0' },
      bytes: Buffer.from(text).toString('base64'),
    });

  test('consoles and events are to be had at any center', async () => {
    watchers = [0, 1, 2].map(watch);
    write(a, 'login: ');
    for (const { watched, console, seen } of watchers) {
      await until('the console', () => (watched.shown === 'login: ' ? true : undefined));
      await until('events', () => (seen.length > 0 ? true : undefined));
      console.input(Buffer.from('root'));
      const { bytes } = await a.order('consoleInput');
      assert.equal(Buffer.from(bytes, 'base64').toString(), 'root');
    }
    // Whom the leader refuses is refused in its words, wherever it was asked.
    const { ca } = centers[1]!.client.wire.trust;
    const stranger = new Client(centers[1]!.url, { ca, token: 'nobody' });
    const refused = await new Promise<UmbraError>((onEnd) => {
      openEvents(stranger, { after: 0, onEvent: () => {}, onEnd });
    });
    assert.equal(refused.code, 'credentials-refused');
    const opened = await centers[2]!.client.call('listAudit', { query: { last: true } });
    const consoles = opened.filter(({ action }) => action === 'openConsole');
    assert.deepEqual(new Set(consoles.map(({ address }) => address)), new Set(['127.0.0.1']));
  });

  test('the leader is killed: a failover does not wait, nothing told is lost', async () => {
    const names = ['one', 'two', 'three'];
    for (const name of names) {
      await centers[2]!.client.call('createVm', { body: { name, image: 'tiny' } });
    }
    await centers[0]!.end('SIGKILL');
    const killed = performance.now();
    const { client } = centers[1]!;
    assert.ok((await ask(b, 1, { kind: 'claim' })).granted);
    const grantedAtMs = Date.now();
    b.report(vm, 'live', { generation: 3 });
    const seen = await until(
      'another leader',
      () => client.call('showVm', { params: { vm: 'web' } }).catch(() => undefined),
      15_000,
    );
    const leads = (await centers[1]!.events('center-leads')).at(-1)!;
    assert.ok(grantedAtMs < Date.parse(leads.time), 'the claim waited for a leader');
    console.log(`another center leads ${Math.round(performance.now() - killed)} ms after the kill`);
    assert.equal(seen.name, 'web');
    await until('both hosts', async () => {
      const hosts = await client.call('listHosts');
      return hosts.every(({ state }) => state === 'connected') ? true : undefined;
    });
    const vms = (await client.call('listVms')).map(({ name }) => name);
    assert.deepEqual(vms.sort(), ['one', 'three', 'two', 'web']);
    const failover = await until(
      'the event',
      async () => (await centers[2]!.events('ft-primary-failover'))[0],
    );
    assert.match(failover.text, /from a to b/);
    assert.equal((await client.call('showVm', { params: { vm: 'web' } })).host, 'b');
  });

  test('consoles and events have outlived it, also where it was they who were asked', async () => {
    // What the lost center had not passed on: hosts say the end of it again.
    write(b, 'login: root\npassword: ');
    for (const [index, { watched, console }] of watchers.entries()) {
      await until(`the console at ${index}`, () =>
        watched.shown === 'login: root\npassword: ' ? true : undefined,
      );
      assert.ok(watched.outages > 0);
      console.input(Buffer.from('x'));
      assert.equal(Buffer.from((await b.order('consoleInput')).bytes, 'base64').toString(), 'x');
    }
    const all = await centers[1]!.client.call('listEvents', { query: {} });
    const last = all.at(-1)!.sequence;
    for (const { seen, ends, events, console } of watchers) {
      await until('the last event', () => (seen.at(-1)!.sequence >= last ? true : undefined));
      // Each once, in order, none missing.
      assert.deepEqual(seen.slice(0, all.length), all);
      assert.deepEqual(ends, []);
      events.close();
      console.close();
    }
  });

  test('the killed one comes back and follows', async () => {
    await centers[0]!.start();
    const vms = await centers[0]!.client.call('listVms');
    assert.equal(vms.length, 4);
    await centers[0]!.client.call('deleteVm', { params: { vm: 'one' } });
    assert.equal((await centers[1]!.client.call('listVms')).length, 3);
  });

  test('etcd is frozen: nobody is granted anything, and it goes on afterwards', async () => {
    etcd.signal('SIGSTOP');
    try {
      await assert.rejects(ask(b, 1, { kind: 'goAlone' }), code('store-unreachable'));
    } finally {
      etcd.signal('SIGCONT');
    }
    await until(
      'an answer',
      async () => (await ask(b, 1, { kind: 'read' }).catch(() => undefined))?.record,
    );
  });
});
