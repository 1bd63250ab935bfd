/**
 * Snapshots, clones, exports and sizes at the center: what it refuses before any host is asked, and
 * the tasks in which hosts do the rest. Hosts are real at the wire.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Client } from '../api/client.ts';
import type { TaskView } from '../api/tasks.ts';
import { TestHost, until } from './cluster.fixture.ts';
import { InProcessCenter } from './in-process.fixture.ts';

let center: InProcessCenter;
let client: Client;
const params = { vm: 'web' };
const code = (expected: string) => (error: { code?: string }) => error.code === expected;

before(async () => {
  center = await InProcessCenter.start();
  center.addImage('tiny');
  client = center.client();
  await client.call('createVm', { body: { name: 'web', image: 'tiny' } });
});
after(() => center.close());

test('a VM that was never on has no snapshot, and is given none', async () => {
  const taken = client.call('takeSnapshot', { params, body: { name: 's1' } });
  await assert.rejects(taken, code('vm-without-disks'));
  assert.deepEqual(await client.call('listSnapshots', { params }), []);
  const unknown = { params: { vm: 'web', snapshot: 's1' } };
  await assert.rejects(client.call('deleteSnapshot', unknown), code('snapshot-unknown'));
  const back = client.call('revertToSnapshot', { ...unknown, body: {} });
  await assert.rejects(back, code('snapshot-unknown'));
});

test('what was never powered on has nothing to copy', async () => {
  const clone = client.call('cloneVm', { params, body: { name: 'other' } });
  await assert.rejects(clone, code('vm-without-disks'));
  const taken = client.call('cloneVm', { params, body: { name: 'web' } });
  await assert.rejects(taken, code('name-taken'));
  const exported = client.call('exportVm', { params, body: {} });
  await assert.rejects(exported, code('vm-without-disks'));
});

test('sizes of a VM that is off', async () => {
  const body = { cpus: 3, memoryBytes: 2 ** 28 };
  const { cpus, memoryBytes } = await client.call('resizeVm', { params, body });
  assert.deepEqual([cpus, memoryBytes], [3, 2 ** 28]);
  const none = client.call('resizeVm', { params, body: { disks: [{ disk: 7, bytes: 512 }] } });
  await assert.rejects(none);
  assert.equal((await client.call('showVm', { params })).cpus, 3);
});

describe('what hosts do is a task', () => {
  const own = { vm: 'own' };
  let id: string;
  let a: TestHost;
  let b: TestHost;
  const show = (task: string) => client.call('showTask', { params: { task } });
  const ended = (task: string): Promise<TaskView> =>
    until('the end of the task', async () => {
      const view = await show(task);
      return view.ended === null ? undefined : view;
    });
  const report = (host: TestHost, kind: string, work: string, more: object = {}) =>
    host.send({ kind: 'report', vm: id, report: { kind, id: work, ...more } });

  before(async () => {
    const body = { name: 'own', image: 'tiny', host: 'a' };
    for (const name of ['a', 'b']) {
      const host = await TestHost.join(center, name);
      await host.connect();
      if (name === 'a') a = host;
      else b = host;
    }
    ({ id } = await client.call('createVm', { body }));
    await live();
  });
  after(() => {
    a.close();
    b.close();
  });

  /** Powered on, on a. */
  async function live(): Promise<void> {
    await client.call('startVm', { params: own, body: {} });
    await a.order('start');
    const restore = (await a.ask(id, { kind: 'read' })).record?.saved?.id;
    const start = { kind: 'start', acceptStale: true } as const;
    const asked = restore === undefined ? start : { ...start, restore };
    const { record } = await a.ask(id, asked);
    assert.deepEqual(record?.live?.host, a.id);
    a.report(id, 'live', { generation: record!.generation });
    await until('own is seen', async () =>
      (await client.call('showVm', { params: own })).state === 'poweredOn' ? true : undefined,
    );
  }

  /** Its copy stops when it is told to. */
  async function stop(): Promise<void> {
    await a.order('stop');
    await a.ask(id, { kind: 'stop', state: 'stopped', currentReplicas: [a.id] });
    a.report(id, 'ended', { ended: { kind: 'off', text: 'powered off' } });
  }

  const tell = (snapshots: readonly string[]) =>
    a.send({
      ...{ kind: 'snapshots', vm: id },
      snapshots: snapshots.map((name) => ({
        ...{ id: `${name}id`, name, count: '1', savedAtMs: 1, bytes: 1 },
        vm: center.center.cluster.inventory.vm(id)!.spec,
      })),
    });

  test('a snapshot: how far it is, and what it has become', async () => {
    const begun = await client.call('takeSnapshot', { params: own, body: { name: 's1' } });
    assert.deepEqual(
      [begun.kind, begun.state, begun.vm, begun.host, begun.by, begun.isCancellable],
      ['take-snapshot', 'running', 'own', 'a', 'admin.json', false],
    );
    const order = await a.order('snapshot');
    const half = { bytesDone: 2 ** 20, bytesTotal: 2 ** 21 };
    // Of no work of its own nothing is believed.
    report(b, 'snapshot-taken', order.id);
    report(a, 'snapshot-progress', order.id, half);
    const { progress, message } = await until('progress', async () => {
      const view = await show(begun.id);
      return view.progress > 0 ? view : undefined;
    });
    assert.deepEqual([progress, message], [0.5, '1M of 2M']);
    const cancel = client.call('cancelTask', { params: { task: begun.id } });
    await assert.rejects(cancel, code('task-not-cancellable'));
    report(a, 'snapshot-taken', order.id);
    const { state, result } = await ended(begun.id);
    assert.deepEqual([state, result], ['succeeded', { snapshot: 's1', id: order.id }]);
    const events = await client.call('listEvents', { query: { vm: 'own' } });
    assert.equal(events.at(-2)?.kind, 'vm-snapshot-taken');
    assert.equal(events.at(-1)?.data['task'], begun.id);
  });

  test('a failure is what the host says; a copy that ends takes its snapshot along', async () => {
    const first = await client.call('takeSnapshot', { params: own, body: { name: 's2' } });
    const order = await a.order('snapshot');
    const why = { code: 'no-room-on-host', text: 'It is full.', remedy: 'Free some space.' };
    report(a, 'snapshot-failed', order.id, why);
    const { error, state } = await ended(first.id);
    assert.deepEqual(
      [state, error?.code, error?.detail, error?.remedy],
      ['failed', why.code, why.text, why.remedy],
    );
    const second = await client.call('takeSnapshot', { params: own, body: { name: 's2' } });
    await a.order('snapshot');
    const refusal = { code: 'vm-busy', message: 'It is busy.', remedy: '' };
    a.send({ kind: 'failed', vm: id, command: 'snapshot', ...refusal });
    assert.equal((await ended(second.id)).error?.code, 'vm-busy');
    const third = await client.call('takeSnapshot', { params: own, body: { name: 's2' } });
    await a.order('snapshot');
    await client.call('stopVm', { params: own, body: { how: 'power-off' } });
    await stop();
    const last = (await ended(third.id)).error;
    assert.equal(last?.code, 'snapshot-failed');
    assert.match(last!.detail, /ended on this host before the snapshot was there/);
  });

  test('an export says where it is, a clone is a VM', async () => {
    const exported = await client.call('exportVm', { params: own, body: {} });
    const { work, file } = await a.order('export');
    assert.match(file, /^own-.*\.tar\.zst$/);
    report(a, 'work-done', work, { file: `/exports/${file}` });
    const { result } = await ended(exported.id);
    assert.deepEqual(result, { file: `/exports/${file}`, host: 'a' });
    const cloned = await client.call('cloneVm', { params: own, body: { name: 'copy' } });
    const order = await a.order('clone');
    report(a, 'work-done', order.work);
    assert.deepEqual((await ended(cloned.id)).result, { vm: 'copy', id: order.newVm });
    assert.equal((await client.call('showVm', { params: { vm: 'copy' } })).host, 'a');
  });

  test('a host goes back to a snapshot only while a task wants it', async () => {
    tell(['s3']);
    await live();
    const saved = 's3id-task-000000000000';
    // It would put aside what runs, on the host itself or on another one.
    for (const host of [a, b]) {
      const unasked = await host.ask(id, { kind: 'revert', saved, fenced: true });
      assert.deepEqual([unasked.granted, unasked.refusal], [false, 'not-ordered']);
    }
    const back = { params: { vm: 'own', snapshot: 's3' }, body: {} };
    const begun = await client.call('revertToSnapshot', back);
    await stop();
    const order = await a.order('revert');
    assert.deepEqual([order.snapshot, order.fenced], ['s3id', false]);
    const asks = { kind: 'revert', saved: order.saved } as const;
    const elsewhere = await b.ask(id, asks);
    assert.equal(elsewhere.refusal, 'not-ordered');
    const other = await a.ask(id, { ...asks, saved });
    assert.equal(other.refusal, 'not-ordered');
    assert.equal((await a.ask(id, asks)).granted, true);
    report(a, 'work-done', order.saved);
    const { state, result } = await ended(begun.id);
    assert.deepEqual([state, result], ['succeeded', { snapshot: 's3' }]);
    assert.equal((await client.call('showVm', { params: own })).state, 'suspended');
    // The task has ended, and with it the right to ask anew.
    assert.equal((await a.ask(id, asks)).refusal, 'not-ordered');
  });

  test('one that is off goes back to being off, and is powered on anew from there', async () => {
    // It is suspended, and neither runs nor is off.
    const none = client.call('takeSnapshot', { params: own, body: { name: 'none' } });
    await assert.rejects(none, code('vm-not-running'));
    await client.call('startVm', { params: own, body: {} });
    await live();
    await client.call('stopVm', { params: own, body: { how: 'power-off' } });
    await stop();
    await until('it is off', async () =>
      (await client.call('showVm', { params: own })).state === 'poweredOff' ? true : undefined,
    );
    const taken = await client.call('takeSnapshot', { params: own, body: { name: 'off' } });
    const order = await a.order('snapshotDisks');
    assert.deepEqual([order.vm.id, order.name], [id, 'off']);
    const { vms } = center.center.cluster.inventory;
    const snapshot = { name: 'off', count: '0', savedAtMs: 2, bytes: 1, isOff: true };
    const vm = vms.find(({ spec }) => spec.id === id)!.spec;
    a.send({ kind: 'snapshots', vm: id, snapshots: [{ ...snapshot, id: order.id, vm }] });
    report(a, 'work-done', order.id);
    assert.equal((await ended(taken.id)).state, 'succeeded');
    const [listed] = await client.call('listSnapshots', { params: own });
    assert.deepEqual([listed?.name, listed?.state], ['off', 'poweredOff']);

    const back = { params: { vm: 'own', snapshot: 'off' }, body: {} };
    const begun = await client.call('revertToSnapshot', back);
    const { saved } = await a.order('revert');
    assert.equal((await a.ask(id, { kind: 'revert', saved })).granted, true);
    report(a, 'work-done', saved);
    await ended(begun.id);
    assert.equal((await client.call('showVm', { params: own })).state, 'poweredOff');
    const inputs = () => center.center.cluster.inventory.vm(id)!.spec.randomSeed;
    const before = inputs();
    const { length } = await client.call('listEvents', { query: { vm: 'own' } });
    await live();
    assert.notEqual(inputs(), before, 'no power-on is like another one');
    const since = (await client.call('listEvents', { query: { vm: 'own' } })).slice(length);
    assert.ok(since.some(({ kind }) => kind === 'vm-powered-on'));
    assert.ok(!since.some(({ kind }) => kind === 'vm-resumed'));
    await client.call('stopVm', { params: own, body: { how: 'power-off' } });
    await stop();
    tell(['s3']);
    await until('the list', async () =>
      (await client.call('listSnapshots', { params: own }))[0]?.name === 's3' ? true : undefined,
    );
  });

  test('a host that is lost ends its tasks', async () => {
    const begun = await client.call('cloneVm', {
      params: own,
      body: { name: 'late', snapshot: 's3' },
    });
    await a.order('clone');
    a.disconnect();
    const { error } = await ended(begun.id);
    assert.equal(error?.code, 'host-not-responding');
    assert.equal(error?.detail, 'The host is not responding.');
  });

  test('disks that were copied for a clone that is none are removed', async () => {
    const gone = async (newVm: string) => {
      const forgotten = await a.order('forget');
      assert.equal(forgotten.vm, newVm);
    };
    // It comes back, and may have copied on for nobody.
    const lost = (await client.call('listTasks', { query: { vm: 'own' } })).at(-1)!;
    const id = String(lost.result?.['id']);
    await a.connect();
    await gone(id);
    // And says later that it has.
    report(a, 'work-done', lost.id);
    await gone(id);
    // The name was taken while it copied.
    const body = { name: 'taken', snapshot: 's3' };
    const begun = await client.call('cloneVm', { params: own, body });
    const order = await a.order('clone');
    await client.call('createVm', { body: { name: 'taken', image: 'tiny' } });
    report(a, 'work-done', order.work);
    assert.equal((await ended(begun.id)).error?.code, 'name-taken');
    await gone(order.newVm);
    assert.equal(a.heard.filter(({ kind }) => kind === 'forget').length, 0, 'nothing else is');
  });

  test('a VM that is deleted while it is copied ends the task', async () => {
    const body = { name: 'orphan', snapshot: 's3' };
    const begun = await client.call('cloneVm', { params: own, body });
    const { work, newVm } = await a.order('clone');
    await client.call('deleteVm', { params: own });
    assert.equal((await a.order('forget')).vm, id);
    report(a, 'work-done', work);
    assert.equal((await ended(begun.id)).error?.code, 'vm-unknown');
    assert.equal((await a.order('forget')).vm, newVm);
  });
});
