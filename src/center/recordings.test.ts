/**
 * Recordings at the center: what it refuses before any host is asked, the tasks in which hosts do the
 * rest, and the wish that follows a VM from host to host. Hosts are real at the wire.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import type { RecordingInfo, VmStatus } from '../api/agent.ts';
import { agentProtocolVersion } from '../api/agent.ts';
import { archiveUploadPath, digestHeader, sha256OfDigest } from '../api/archive.ts';
import type { Client } from '../api/client.ts';
import { openDaemonSocket } from '../api/socket.ts';
import type { TaskView } from '../api/tasks.ts';
import { TestHost, until } from './cluster.fixture.ts';
import { InProcessCenter } from './in-process.fixture.ts';

let center: InProcessCenter;
let client: Client;
let a: TestHost;
let b: TestHost;
let id: string;
const params = { vm: 'web' };
const code = (expected: string) => (error: { code?: string }) => error.code === expected;
const start = (name: string) => client.call('startRecording', { params, body: { name } });
const stop = (recording: string) =>
  client.call('stopRecording', { params: { ...params, recording } });
const list = () => client.call('listRecordings', { params });
const events = async (kind: string) =>
  (await client.call('listEvents', { query: { vm: 'web' } })).filter(
    (event) => event.kind === kind,
  );
const ended = (task: TaskView): Promise<TaskView> =>
  until('the end of the task', async () => {
    const view = await client.call('showTask', { params: { task: task.id } });
    return view.ended === null ? undefined : view;
  });

before(async () => {
  center = await InProcessCenter.start();
  center.addImage('tiny');
  client = center.client();
  a = await TestHost.join(center, 'a');
  b = await TestHost.join(center, 'b');
  for (const host of [a, b]) await host.connect();
  const body = { name: 'web', image: 'tiny', host: 'a' };
  ({ id } = await client.call('createVm', { body }));
});
after(async () => {
  for (const host of [a, b]) host.close();
  await center.close();
  assert.deepEqual(center.bugs, []);
});

const info = (recording: string, name: string, changes: Partial<RecordingInfo> = {}) => ({
  ...{ id: recording, name, vm: 'web', startedAtMs: Date.now(), count: '5', bytes: 1000 },
  ...changes,
});

function said(host: TestHost, ...recordings: RecordingInfo[]): void {
  host.send({ kind: 'recordings', vm: id, recordings });
}

const report = (host: TestHost, what: Readonly<Record<string, unknown>>): void =>
  host.send({ kind: 'report', vm: id, report: what });

const live = (host: TestHost, changes: Partial<VmStatus> = {}): void =>
  host.report(id, 'live', { generation: 1, ...changes });

/** Ordered of that host, and begun. */
async function begins(host: TestHost, name: string): Promise<string> {
  const order = await host.order('record', (each) => each.name === name);
  said(host, info(order.id, name));
  report(host, { kind: 'work-done', id: order.id, recording: order.id, pauseMicros: 900 });
  const recordings = [{ id: order.id, name, bytes: 4321, seconds: 2.5, bytesPerSecond: 99 }];
  live(host, { recordings });
  return order.id;
}

test('what does not run is not recorded, and what is not there is neither ended nor deleted', async () => {
  await assert.rejects(start('first'), code('vm-not-running'));
  assert.deepEqual(await list(), []);
  await assert.rejects(stop('first'), code('recording-unknown'));
  const unknown = { params: { ...params, recording: 'first' } };
  await assert.rejects(client.call('deleteRecording', unknown), code('recording-unknown'));
  const archive = client.wire.open('GET', '/vms/web/recordings/first/archive');
  await assert.rejects(archive, code('recording-unknown'));
  const viewer = center.client(await center.tokenOf('viewer'));
  const asked = { params, body: { name: 'first' } };
  await assert.rejects(viewer.call('startRecording', asked), code('access-denied'));
  const malformed = client.call('startRecording', { params, body: { name: '../x' } });
  await assert.rejects(malformed, code('request-malformed'));
});

describe('of a VM that runs', () => {
  let first: string;

  before(async () => {
    await client.call('startVm', { params, body: {} });
    await a.order('start');
    await a.ask(id, { kind: 'start', acceptStale: true });
    live(a);
    await until('it is on', async () =>
      (await client.call('showVm', { params })).state === 'poweredOn' ? true : undefined,
    );
  });

  test('it is begun as a task, and told with size and rate while it is under way', async () => {
    const task = await start('first');
    first = await begins(a, 'first');
    assert.deepEqual((await ended(task)).result, {
      ...{ recording: 'first', id: first, pauseMicros: 900 },
    });
    const [view] = await until('its figures', async () => {
      const all = await list();
      return all[0]?.bytesPerSecond === 99 ? all : undefined;
    });
    const { state, bytes, seconds, end, host } = view!;
    assert.deepEqual([state, bytes, seconds, end, host], ['recording', 4321, 2.5, null, 'a']);
    await assert.rejects(start('second'), code('recording-under-way'));
    const under = { params: { ...params, recording: 'first' } };
    await assert.rejects(client.call('deleteRecording', under), code('recording-under-way'));
    const archive = client.wire.open('GET', '/vms/web/recordings/first/archive');
    await assert.rejects(archive, code('recording-under-way'));
  });

  test('where it goes live elsewhere, the recording goes on there as the next part', async () => {
    const shadow = { host: b.id, process: b.process(id) };
    await a.ask(id, { kind: 'makeEligible', shadow });
    a.disconnect();
    await b.ask(id, { kind: 'claim' });
    live(b);
    await begins(b, 'first-2');
    const [event] = await events('vm-recording-continues');
    assert.match(event!.text, /recording first of web goes on as first-2 on b/);
    await until('both', async () => ((await list()).length === 2 ? true : undefined));
    const views = await list();
    assert.deepEqual(
      views.map(({ name, state }) => [name, state]),
      [
        ['first', 'unknown'],
        ['first-2', 'recording'],
      ],
    );
    a.copies.clear();
    await a.connect();
    await until('a has said nothing of it', async () =>
      (await list())[0]?.end === 'process-lost' ? true : undefined,
    );
  });

  test('it is ended as a task, and once', async () => {
    const task = await stop('first-2');
    const { id: recording, work } = await b.order('stopRecording');
    report(b, {
      kind: 'recording-ended',
      id: recording,
      recording,
      name: 'first-2',
      how: 'stopped',
    });
    const endedAtMs = Date.now();
    said(b, info(recording, 'first-2', { endedAtMs, seconds: 3, ended: { kind: 'stopped' } }));
    live(b, { recordings: [] });
    report(b, { kind: 'work-done', id: work, recording });
    assert.equal((await ended(task)).state, 'succeeded');
    const view = (await list()).find(({ name }) => name === 'first-2')!;
    assert.deepEqual([view.state, view.end, view.seconds], ['ended', 'stopped', 3]);
    await assert.rejects(stop('first-2'), code('recording-ended'));
    await assert.rejects(start('first-2'), code('name-taken'));
    assert.equal((await events('vm-recording-ended')).length, 1);
  });

  test('what the host sends is its archive', async () => {
    const bytes = randomBytes(100_000);
    const asked = client.wire.open('GET', '/vms/web/recordings/first-2/archive');
    const { work } = await b.order('sendRecording');
    const socket = openDaemonSocket(center.url, archiveUploadPath(work), b.credentials);
    await once(socket, 'open');
    const reply = await asked;
    assert.match(String(reply.headers['content-disposition']), /web-first-2\.tar\.zst/);
    socket.send(bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    report(b, { kind: 'work-done', id: work, bytes: bytes.length, sha256 });
    const parts: Buffer[] = [];
    for await (const part of reply) parts.push(part as Buffer);
    assert.deepEqual(Buffer.concat(parts), bytes);
    assert.equal(sha256OfDigest(reply.trailers[digestHeader] as string), sha256);
    await until('the event', async () => (await events('vm-recording-exported'))[0]);
  });

  test('what its host cannot write any more ends with an alarm, and is not begun again', async () => {
    const task = await start('third');
    const recording = await begins(b, 'third');
    await ended(task);
    const why = { code: 'recording-unwritable', text: 'the disk is full', remedy: '' };
    report(b, {
      ...{ kind: 'recording-ended', id: recording, recording, name: 'third', how: 'failed' },
      ...why,
    });
    live(b, { recordings: [] });
    const alarm = await until('the alarm', async () =>
      (await client.call('listAlarms')).find(({ kind }) => kind === 'recording-failed'),
    );
    assert.match(alarm.text, /web is not recorded any more on b: the disk is full/);
    await client.call('acknowledgeAlarm', { params: { alarm: alarm.id } });
    b.heard.length = 0;
    live(b, { recordings: [] });
    await client.call('showVm', { params });
    assert.deepEqual(
      b.heard.filter(({ kind }) => kind === 'record'),
      [],
    );
  });

  test('what the host refuses fails the task, and leaves no wish', async () => {
    const task = await start('fourth');
    const { id: recording } = await b.order('record');
    const why = { code: 'recording-no-room', text: 'no room', remedy: 'make some' };
    report(b, { kind: 'work-failed', id: recording, ...why });
    assert.equal((await ended(task)).error?.code, 'recording-no-room');
    await assert.rejects(stop('fourth'), code('recording-unknown'));
  });

  test('it is deleted when its host says so', async () => {
    const deleted = client.call('deleteRecording', { params: { ...params, recording: 'third' } });
    await b.order('deleteRecording');
    said(b);
    await deleted;
    assert.ok(!(await list()).some(({ name }) => name === 'third'));
  });

  test('a flight recorder is told to the live copy; what is kept is a recording, an incident an alarm', async () => {
    const none = client.call('keepFlight', { params, body: { name: 'now' } });
    await assert.rejects(none, code('flight-off'));
    const body = { minutes: 10, bytesMax: 2 ** 27 };
    const { flight } = await client.call('setFlight', { params, body });
    assert.deepEqual(flight, { ...body, rewindSeconds: null });
    const { seconds, bytesMax } = await b.order('flight');
    assert.deepEqual([seconds, bytesMax], [600, 2 ** 27]);
    live(b, { flight: { seconds: 600, bytesMax: 2 ** 27, held: 5, bytes: 9, bytesPerSecond: 2 } });
    const task = await client.call('keepFlight', { params, body: { name: 'now' } });
    const { work, name } = await b.order('keepFlight');
    said(b, info('kept', name, { endedAtMs: Date.now(), ended: { kind: 'kept' } }));
    report(b, { kind: 'work-done', id: work, recording: 'kept' });
    assert.deepEqual((await ended(task)).result, { recording: 'now', id: 'kept' });
    const again = client.call('keepFlight', { params, body: { name: 'now' } });
    await assert.rejects(again, code('name-taken'));
    const incident = { kind: 'incident', incident: 'panic', text: 'Kernel panic - not syncing: x' };
    report(b, { ...incident, recording: 'r', name: 'panic-1' });
    const alarm = await until('the alarm', async () =>
      (await client.call('listAlarms')).find(({ kind }) => kind === 'guest-incident'),
    );
    assert.match(
      alarm.text,
      /web has failed on b \(Kernel panic - not syncing: x\); .*kept as panic-1/,
    );
    assert.equal((await events('vm-incident')).length, 1);
    await client.call('setFlight', { params, body: { minutes: null } });
    await b.order('flight', ({ seconds }) => seconds === undefined);
    live(b);
  });

  test('back to a place of a recording: nothing is powered off before the place has been made', async () => {
    const rewind = (body: { recording?: string; to?: string; secondsBefore?: number }) =>
      client.call('rewindVm', { params, body });
    await assert.rejects(rewind({}), code('flight-off'));
    await assert.rejects(rewind({ recording: 'none' }), code('recording-unknown'));
    const viewer = center.client(await center.tokenOf('viewer'));
    await assert.rejects(viewer.call('rewindVm', { params, body: {} }), code('access-denied'));
    const nowhere = await rewind({ recording: 'now', to: 'text:never' });
    const none = await b.order('prepareRewind');
    const why = { code: 'place-unknown', text: 'nothing of the kind', remedy: '' };
    report(b, { kind: 'work-failed', id: none.work, ...why });
    assert.equal((await ended(nowhere)).error?.code, 'place-unknown');
    assert.equal((await client.call('showVm', { params })).state, 'poweredOn');
    const task = await rewind({ recording: 'now', secondsBefore: 10 });
    const { secondsBefore, to, work } = await b.order('prepareRewind');
    assert.deepEqual([to, secondsBefore], ['end', 10]);
    report(b, { kind: 'work-done', id: work, count: '3' });
    await b.order('stop');
    await b.ask(id, { kind: 'stop', state: 'stopped', currentReplicas: [b.id] });
    b.report(id, 'ended', { ended: { kind: 'off', text: 'powered off' } });
    const { saved } = await b.order('rewind');
    assert.equal((await a.ask(id, { kind: 'revert', saved })).refusal, 'not-ordered');
    assert.equal((await b.ask(id, { kind: 'revert', saved })).granted, true);
    report(b, { kind: 'work-done', id: saved });
    assert.equal((await ended(task)).state, 'succeeded');
    const [event] = await events('vm-rewound');
    assert.match(event!.text, /recording now on b: .* is undone, acknowledged or not/);
    await b.order('start');
    const asked = { kind: 'start', acceptStale: true, restore: saved } as const;
    const { record } = await b.ask(id, asked);
    assert.equal(record?.live?.host, b.id);
    live(b, { generation: record!.generation });
    await until('it is on again', async () =>
      (await client.call('showVm', { params })).state === 'poweredOn' ? true : undefined,
    );
  });

  test('disks on a datastore are not gone back with', async () => {
    const body = { name: 'disky', image: 'tiny', host: 'b' };
    const disky = await client.call('createVm', { body });
    const { inventory } = center.center.cluster;
    const { spec, ...rest } = inventory.vm(disky.id)!;
    const datastore = { id: 'd', name: 'shared' };
    const disks = [{ bytes: 2 ** 20, template: 'disk' }];
    inventory.putVm({ ...rest, spec: { ...spec, disks, datastore } });
    const asked = { params: { vm: 'disky' }, body: { recording: 'first' } };
    await assert.rejects(client.call('rewindVm', asked), code('rewind-on-datastore'));
  });

  test('a host of an older release is not waited for', async () => {
    b.disconnect();
    await until('b has gone', async () => {
      const { state } = await client.call('showHost', { params: { host: 'b' } });
      return state === 'notResponding' ? true : undefined;
    });
    await b.connect(agentProtocolVersion - 1);
    await assert.rejects(start('fifth'), (error: { code?: string; message?: string }) => {
      assert.equal(error.code, 'host-too-old');
      assert.match(error.message!, /b cannot record web: its release of Umbra does not know how/);
      return true;
    });
    await client.call('stopVm', { params, body: { how: 'power-off' } });
    await b.order('stop');
    await b.ask(id, { kind: 'stop', state: 'stopped', currentReplicas: [b.id] });
    b.report(id, 'ended', { ended: { kind: 'off', text: 'powered off' } });
    await until('it is off', async () =>
      (await client.call('showVm', { params })).state === 'poweredOff' ? true : undefined,
    );
    const taken = client.call('takeSnapshot', { params, body: { name: 's' } });
    await assert.rejects(taken, code('host-too-old'));
    await assert.rejects(client.wire.open('GET', '/vms/web/archive'), code('host-too-old'));
  });
});
