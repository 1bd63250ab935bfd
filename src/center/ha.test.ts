/**
 * VMs on datastores, at a real center with hosts that say what the test says: placement, leases, and
 * the restart elsewhere when a host is lost.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DatastoreInfo } from '../api/agent.ts';
import type { VmRecord } from '../lockstep/arbiter.ts';
import { TestCenter, type TestHost, until } from './cluster.fixture.ts';

/** Copies renew it every second: long enough for one that is held up. */
const leaseSeconds = 4;
const leaseMs = leaseSeconds * 1000;
const storage = (id: string, name = 'shared'): DatastoreInfo => ({
  ...{ name, id, path: '/mnt/shared', canClone: true, bytesFree: 2 ** 30, bytesTotal: 2 ** 31 },
});

describe('VMs on a datastore', () => {
  let center: TestCenter;
  let a: TestHost;
  let b: TestHost;
  let without: TestHost;
  /** By VM: ends the renewals of its live copy, and resolves behind the last one. */
  const renewals = new Map<string, () => Promise<void>>();

  before(async () => {
    center = await TestCenter.start(['--ha-lease', String(leaseSeconds)]);
    center.addImage('img');
    a = await center.host('a', [storage('one')]);
    b = await center.host('b', [storage('one')]);
    without = await center.host('without', [storage('other', 'elsewhere')]);
  });
  after(async () => {
    try {
      for (const end of renewals.values()) await end();
    } finally {
      await center.close();
    }
  });

  const created = async (name: string, host?: string): Promise<string> => {
    const place = host === undefined ? {} : { host };
    const body = { name, image: 'img', datastore: 'shared', ...place };
    const vm = await center.client.call('createVm', { body });
    assert.equal(vm.datastore, 'shared');
    return vm.id;
  };

  const live = (host: TestHost, id: string, generation: number): void => {
    host.report(id, 'live', { generation });
    renewals.set(id, host.keepLease(id, leaseMs));
  };

  /** Nothing more is heard of the host, and its copy is cut off from the arbiter. */
  const lost = async (host: TestHost, id: string): Promise<void> => {
    await renewals.get(id)!();
    host.disconnect();
  };

  /** Live on this host, which has made the disks. */
  const started = async (name: string, host: TestHost): Promise<string> => {
    const id = await created(name, host.name);
    await center.client.call('startVm', { params: { vm: name }, body: {} });
    const order = await host.order('start', ({ vm }) => vm.name === name);
    assert.equal(order.leaseMs, leaseMs);
    assert.equal(order.lapsed, undefined);
    const disks = `1-1-${host.name}`;
    const reply = await host.ask(id, { kind: 'start', fenced: false, disks, leaseMs });
    assert.ok(reply.granted, reply.refusal);
    live(host, id, reply.record!.generation);
    await until('it is on', async () => {
      const { state } = await center.client.call('showVm', { params: { vm: name } });
      return state === 'poweredOn' ? true : undefined;
    });
    return id;
  };

  /** The arbiter first: a process that ends without its word is started again. */
  const switchedOff = async (host: TestHost, id: string): Promise<void> => {
    await renewals.get(id)!();
    await host.ask(id, { kind: 'stop', state: 'stopped', currentReplicas: [] });
    host.report(id, 'ended', { ended: { kind: 'off', text: 'off' } });
  };

  const takeOver = async (host: TestHost, id: string): Promise<VmRecord> => {
    const { lapsed, fenced } = await host.order('start');
    assert.ok(fenced);
    const disks = `1-9-${host.name}`;
    const start = { kind: 'start', fenced, disks, leaseMs, lapsed } as const;
    const reply = await host.ask(id, start);
    assert.ok(reply.granted, reply.refusal);
    live(host, id, reply.record!.generation);
    return reply.record!;
  };

  test('hosts tell their datastores, and only those that have it are chosen', async () => {
    const hosts = await center.client.call('listHosts');
    const of = (name: string) => hosts.find((host) => host.name === name)!.datastores;
    assert.deepEqual(of('a'), [storage('one')]);
    assert.deepEqual(of('without'), [storage('other', 'elsewhere')]);
    await created('placed');
    await center.client.call('startVm', { params: { vm: 'placed' }, body: {} });
    await until('an order', () => a.heard.concat(b.heard).find(({ kind }) => kind === 'start'));
    assert.equal(
      without.heard.some(({ kind }) => kind === 'start'),
      false,
    );
    await center.client.call('stopVm', { params: { vm: 'placed' }, body: { how: 'power-off' } });
    await center.client.call('deleteVm', { params: { vm: 'placed' } });
    for (const host of [a, b]) host.heard.length = 0;
  });

  test('a name that nobody has, or that means two things, is refused', async () => {
    const create = (datastore: string) =>
      center.client.call('createVm', { body: { name: 'refused', image: 'img', datastore } });
    await assert.rejects(create('nowhere'), { code: 'datastore-unknown' });
    const liar = await center.host('liar', [storage('two', 'elsewhere')]);
    await assert.rejects(create('elsewhere'), { code: 'datastore-ambiguous' });
    liar.disconnect();
  });

  test('a VM on its host alone cannot be restarted elsewhere', async () => {
    await center.client.call('createVm', { body: { name: 'local', image: 'img' } });
    const params = { vm: 'local' };
    const { ha } = await center.client.call('showVm', { params });
    assert.deepEqual(ha, {
      ...{ restart: false, priority: 'medium', state: 'off', watchdogSeconds: null },
    });
    const wish = center.client.call('setHa', { params, body: { restart: true } });
    await assert.rejects(wish, { code: 'ha-needs-datastore' });
  });

  test('a lost host: its VM is restarted behind the end of its lease, once', async () => {
    const id = await started('web', a);
    await lost(a, id);
    const renewedAt = performance.now();
    assert.ok((await a.ask(id, { kind: 'renew' })).granted);
    const record = await takeOver(b, id);
    const waited = performance.now() - renewedAt;
    assert.ok(waited > leaseMs, `after ${waited} ms`);
    assert.equal(record.live?.host, b.id);
    const [event] = await until('the event', async () => {
      const events = await center.events('ha-vm-restarted');
      return events.length > 0 ? events : undefined;
    });
    assert.equal(event?.text, 'web was restarted on b since a failed');
    assert.equal((await center.events('ha-host-failed')).length, 1);
    b.heard.length = 0;
    // The lost host comes back with the copy still there: it has lost its place, and is dismissed.
    await a.connect();
    assert.equal((await a.ask(id, { kind: 'renew' })).refusal, 'not-live');
    a.report(id, 'live', { generation: 1 });
    await a.order('dismiss');
    a.report(id, 'ended', { ended: { kind: 'lost-claim', text: 'b is live' } });
    assert.equal(
      b.heard.some(({ kind }) => kind === 'start'),
      false,
    );
    assert.equal((await center.events('ha-vm-restarted')).length, 1);
    await switchedOff(b, id);
  });

  test('a copy that renews at the last moment is not put aside', async () => {
    const id = await started('late', a);
    await lost(a, id);
    const { lapsed } = await b.order('start');
    assert.ok((await a.ask(id, { kind: 'renew' })).granted, 'by another way than its daemon');
    renewals.set(id, a.keepLease(id, leaseMs));
    const start = { kind: 'start', fenced: true, disks: 'x', leaseMs, lapsed } as const;
    // By the arbiter, or by a center that has noticed already.
    const isGranted = b.ask(id, start).then(
      ({ granted }) => granted,
      () => false,
    );
    assert.equal(await isGranted, false);
    await a.connect();
    a.report(id, 'live', { generation: 1 });
    await until('it is shown where it is', async () => {
      const { host } = await center.client.call('showVm', { params: { vm: 'late' } });
      return host === 'a' ? true : undefined;
    });
    await switchedOff(a, id);
    b.heard.length = 0;
  });

  test('off is off, and without room there is an alarm', async () => {
    const id = await started('kept', a);
    const params = { vm: 'kept' };
    const off = await center.client.call('setHa', { params, body: { restart: false } });
    assert.equal(off.ha.state, 'off');
    await lost(a, id);
    await sleep(leaseMs + 1000);
    assert.equal(
      b.heard.some(({ kind }) => kind === 'start'),
      false,
    );
    b.disconnect();
    await center.client.call('setHa', { params, body: { restart: true, priority: 'high' } });
    const alarm = await until('the alarm', async () => {
      const alarms = await center.client.call('listAlarms');
      return alarms.find(({ kind }) => kind === 'ha-failover-failed');
    });
    assert.match(alarm.text, /^HA virtual machine failover failed: kept cannot be restarted: /);
    await b.connect();
    assert.equal((await takeOver(b, id)).live?.host, b.id);
    await until('the alarm goes', async () => {
      const alarms = await center.client.call('listAlarms');
      return alarms.some(({ kind }) => kind === 'ha-failover-failed') ? undefined : true;
    });
    await switchedOff(b, id);
    await a.connect();
  });

  test('the watchdog is ordered of the live copy, and what it does is told', async () => {
    const id = await started('watched', a);
    const params = { vm: 'watched' };
    const { ha } = await center.client.call('setHa', { params, body: { watchdogSeconds: 30 } });
    assert.equal(ha.watchdogSeconds, 30);
    await a.order('watchdog', ({ seconds }) => seconds === 30);
    a.report(id, 'live', { generation: 1, watchdogSeconds: 30 });
    a.send({ kind: 'report', vm: id, report: { kind: 'guest-reset', seconds: 30 } });
    a.send({ kind: 'report', vm: id, report: { kind: 'guest-not-responding', seconds: 30 } });
    const alarm = await until('the alarm', async () => {
      const alarms = await center.client.call('listAlarms');
      return alarms.find(({ kind }) => kind === 'ha-guest-not-responding');
    });
    assert.match(alarm.text, /watched does not respond/);
    const [reset] = await center.events('ha-vm-reset');
    assert.match(reset!.text, /^watched was reset by HA: /);
    await center.client.call('setHa', { params, body: { watchdogSeconds: null } });
    await a.order('watchdog', ({ seconds }) => seconds === undefined);
  });
});

test('a center that may have forgotten hears every host before a VM on a datastore is started', async () => {
  const center = await TestCenter.start();
  try {
    center.addImage('img');
    const a = await center.host('a', [storage('one')]);
    const b = await center.host('b', [storage('one')]);
    const params = { vm: 'web' };
    const body = { name: 'web', image: 'img', datastore: 'shared' };
    const { id } = await center.client.call('createVm', { body });
    await center.end('SIGTERM');
    // As if it had been put back: nothing in the record names a host.
    rmSync(join(center.data, 'decisions'));
    await center.start();
    await until('the hosts are back', () => (a.isConnected && b.isConnected ? true : undefined));
    await center.client.call('startVm', { params, body: {} });
    const none = { epoch: 0, generation: 0, state: 'stopped', currentReplicas: [] } as const;
    const known = { ...none, live: undefined, eligibleShadow: undefined, claimId: '' };
    const register = { kind: 'register', known, intent: undefined } as const;
    for (const host of [a, b]) {
      const { epoch } = await host.order('register');
      assert.ok(epoch > 1);
      assert.equal(
        [a, b].some(({ heard }) => heard.some(({ kind }) => kind === 'start')),
        false,
      );
      await host.ask(id, register);
    }
    await until('the start', () =>
      [a, b].some(({ heard }) => heard.some(({ kind }) => kind === 'start')) ? true : undefined,
    );
  } finally {
    await center.close();
  }
});

test('who comes first is restarted first, where there is room for one', async () => {
  const center = await TestCenter.start(['--ha-lease', String(leaseSeconds)]);
  try {
    center.addImage('img');
    const a = await center.host('a', [storage('one')]);
    const b = await center.host('b', [storage('one')]);
    // Each takes more than half of a host.
    const common = { image: 'img', memoryBytes: 1.5 * 2 ** 30 };
    const filler = { ...common, name: 'filler', host: 'b' };
    const { id } = await center.client.call('createVm', { body: filler });
    await center.client.call('startVm', { params: { vm: 'filler' }, body: {} });
    await b.order('start');
    await b.ask(id, { kind: 'start', acceptStale: true });
    b.report(id, 'live', { generation: 1 });
    const ids = new Map<string, string>();
    const renewals: (() => Promise<void>)[] = [];
    for (const [name, priority] of [
      ['low', 'low'],
      ['high', 'highest'],
    ] as const) {
      const body = { ...common, name, datastore: 'shared', host: 'a' };
      const { id } = await center.client.call('createVm', { body });
      ids.set(name, id);
      await center.client.call('setHa', { params: { vm: name }, body: { priority } });
      await center.client.call('startVm', { params: { vm: name }, body: {} });
      await a.order('start', ({ vm }) => vm.name === name);
      const reply = await a.ask(id, { kind: 'start', disks: `1-1-${name}`, leaseMs });
      a.report(id, 'live', { generation: reply.record!.generation });
      renewals.push(a.keepLease(id, leaseMs));
    }
    for (const end of renewals) await end();
    // The low one's lease ends first, by a second.
    assert.ok((await a.ask(ids.get('low')!, { kind: 'renew' })).granted);
    a.disconnect();
    await sleep(1_000);
    assert.ok((await a.ask(ids.get('high')!, { kind: 'renew' })).granted);
    const order = await b.order('start', ({ vm }) => vm.name !== 'filler');
    assert.equal(order.vm.name, 'high');
  } finally {
    await center.close();
  }
});
