/**
 * Recordings as timelines at the center: what is refused before any host is asked, what a host is
 * asked, and what becomes of its answers. The host is real at the wire.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { agentProtocolVersion, type RecordingInfo } from '../api/agent.ts';
import type { Client } from '../api/client.ts';
import type { RecordingActivity } from '../api/timeline-endpoints.ts';
import { TestHost, until } from './cluster.fixture.ts';
import { InProcessCenter } from './in-process.fixture.ts';

let center: InProcessCenter;
let client: Client;
let a: TestHost;
let id: string;
const params = { vm: 'web', recording: 'walk' };
const recordingId = 'abcdef0123456789';
const code = (expected: string) => (error: { code?: string }) => error.code === expected;
const timeline = () => client.call('showRecordingTimeline', { params });
const replay = () => client.call('replayRecording', { params });
const readConsole = (from?: number) =>
  client.call('readRecordingConsole', { params, query: from === undefined ? {} : { from } });
const report = (what: Readonly<Record<string, unknown>>): void =>
  a.send({ kind: 'report', vm: id, report: what });

before(async () => {
  center = await InProcessCenter.start();
  center.addImage('tiny');
  client = center.client();
  a = await TestHost.join(center, 'a');
  await a.connect();
  ({ id } = await client.call('createVm', { body: { name: 'web', image: 'tiny', host: 'a' } }));
});
after(async () => {
  a.close();
  await center.close();
  assert.deepEqual(center.bugs, []);
});

function activity(epochMs: number): RecordingActivity {
  return {
    ...{ from: { count: '100', seconds: 2 }, to: { count: '900', seconds: 4 }, epochMs },
    ...{ bucketSeconds: 1, counts: ['100', '500', '900'], instructions: [400, 400] },
    ...{ received: [60, 0], read: [0, 0], typed: [3, 0], replayed: null, cutBytes: 0 },
  };
}

test('what is not there has no timeline', async () => {
  await assert.rejects(timeline(), code('recording-unknown'));
  await assert.rejects(replay(), code('recording-unknown'));
  await assert.rejects(readConsole(), code('recording-unknown'));
  const info: RecordingInfo = {
    ...{ id: recordingId, name: 'walk', vm: 'web', startedAtMs: Date.now(), count: '100' },
    bytes: 1000,
  };
  a.send({ kind: 'recordings', vm: id, recordings: [info] });
  await until('it is there', async () =>
    (await client.call('listRecordings', { params: { vm: 'web' } })).length === 1
      ? true
      : undefined,
  );
});

test('its host tells what its log says, the center what happened to the VM meanwhile', async () => {
  const asked = timeline();
  const order = await a.order('lookAtRecording');
  assert.deepEqual([order.vm, order.id], [id, recordingId]);
  // So that the VM has been created in the third second of it.
  const created = (await client.call('listEvents', { query: { vm: 'web' } }))[0]!;
  const epochMs = Date.parse(created.time) - 3_000;
  report({ kind: 'work-done', id: order.work, activity: activity(epochMs) });
  const { vm, recording, host, instructions, events } = await asked;
  assert.deepEqual([vm, recording, host, instructions], ['web', 'walk', 'a', [400, 400]]);
  assert.deepEqual([events[0]!.kind, events[0]!.seconds], ['vm-created', 3]);
});

test('what is wrong with it is told by its code', async () => {
  const asked = timeline();
  const { work } = await a.order('lookAtRecording');
  const [text, remedy] = ['It has no log.', 'Fetch it.'];
  report({ kind: 'work-failed', id: work, code: 'recording-damaged', text, remedy });
  await assert.rejects(asked, code('recording-damaged'));
});

test('it is replayed once, as a task that may be cancelled', async () => {
  const task = await replay();
  const order = await a.order('replayRecording');
  assert.equal(order.work, task.id);
  assert.equal((await replay()).id, task.id);
  report({ kind: 'work-progress', id: order.work, done: 30, total: 120 });
  await until('its progress', async () =>
    (await client.call('showTask', { params: { task: task.id } })).progress === 0.25
      ? true
      : undefined,
  );
  await client.call('cancelTask', { params: { task: task.id } });
  assert.equal((await a.order('endReplay')).work, task.id);
  const again = await replay();
  const second = await a.order('replayRecording');
  report({ kind: 'work-done', id: second.work });
  const ended = await until('its end', async () => {
    const view = await client.call('showTask', { params: { task: again.id } });
    return view.ended === null ? undefined : view;
  });
  assert.deepEqual(
    [ended.state, ended.result],
    ['succeeded', { recording: 'walk', id: recordingId }],
  );
});

test('what its guest said comes page by page', async () => {
  const asked = readConsole(512);
  const order = await a.order('readRecordingConsole');
  assert.deepEqual([order.id, order.from], [recordingId, 512]);
  const page = { seconds: [2.5], lengths: [5], bytes: 'aGVsbG8=', next: null };
  report({ kind: 'work-done', id: order.work, page });
  assert.deepEqual(await asked, page);
  await assert.rejects(readConsole(-1), code('request-malformed'));
});

test('a new VM goes live from it where its host has made the machine, and not otherwise', async () => {
  const asked = { params, body: { name: 'web-then', to: 'time:3', secondsBefore: 1 } };
  const ended = (task: string) =>
    until('its end', async () => {
      const view = await client.call('showTask', { params: { task } });
      return view.ended === null ? undefined : view;
    });
  const taken = client.call('goLive', { params, body: { name: 'web' } });
  await assert.rejects(taken, code('name-taken'));

  const refused = await client.call('goLive', asked);
  const first = await a.order('goLive');
  assert.deepEqual([first.source, first.recording], [id, recordingId]);
  assert.deepEqual([first.to, first.secondsBefore], ['time:3', 1]);
  assert.deepEqual([first.vm.isolated, first.vm.name], [true, 'web-then']);
  const why = { code: 'outside-recording', text: 'It ends before that.', remedy: 'Choose.' };
  a.send({
    kind: 'report',
    vm: first.vm.id,
    report: { kind: 'work-failed', id: first.work, ...why },
  });
  assert.equal((await ended(refused.id)).error?.code, 'outside-recording');
  assert.equal((await a.order('forget')).vm, first.vm.id);
  assert.equal((await client.call('listVms')).length, 1);

  const task = await client.call('goLive', asked);
  const { vm: spec, work, saved } = await a.order('goLive');
  const inputs = { epochOffset: '1700000000000000000', randomSeed: '07'.repeat(32) };
  const done = { kind: 'work-done', id: work, count: '500', ...inputs };
  a.send({ kind: 'report', vm: spec.id, report: done });
  assert.deepEqual((await a.order('rewind')).saved, saved);
  await a.ask(spec.id, { kind: 'revert', saved, fenced: false });
  a.send({ kind: 'report', vm: spec.id, report: { kind: 'work-done', id: saved } });
  assert.equal((await ended(task.id)).state, 'succeeded');
  const start = await a.order('start');
  assert.deepEqual([start.vm.id, start.vm.isolated], [spec.id, true]);
  const { epochOffset, randomSeed, mac } = start.vm;
  assert.deepEqual({ epochOffset, randomSeed }, inputs, 'the power-on inputs of what was recorded');
  assert.equal(mac, (await client.call('showVm', { params: { vm: 'web' } })).mac);
});

test('viewers see what happened, not what was said', async () => {
  const viewer = center.client(await center.tokenOf('viewer'));
  const read = viewer.call('readRecordingConsole', { params, query: {} });
  await assert.rejects(read, code('access-denied'));
  await assert.rejects(viewer.call('replayRecording', { params }), code('access-denied'));
});

test('a host that is away has to be waited for, and an older one brought up to date', async () => {
  a.disconnect();
  await until('it is away', async () =>
    (await client.call('showHost', { params: { host: 'a' } })).state === 'notResponding'
      ? true
      : undefined,
  );
  await assert.rejects(timeline(), code('host-not-responding'));
  await a.connect(agentProtocolVersion - 1);
  await assert.rejects(timeline(), code('host-too-old'));
});
