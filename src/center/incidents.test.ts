/**
 * What is done by itself after an incident, where the operator has chosen so: the policy of flight
 * recorders, over restarts of the center, with what bounds it. Hosts are real at the wire.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Incident, RecordingInfo } from '../api/agent.ts';
import type { Client } from '../api/client.ts';
import { TestHost, until } from './cluster.fixture.ts';
import { InProcessCenter } from './in-process.fixture.ts';

let center: InProcessCenter;
let client: Client;
let a: TestHost;
let id: string;
let generation = 1;
const params = { vm: 'web' };
const kept: RecordingInfo[] = [];

const code = (expected: string) => (error: { code?: string }) => error.code === expected;
const events = async (kind: string) =>
  (await client.call('listEvents', { query: { vm: 'web' } })).filter(
    (event) => event.kind === kind,
  );
const alarm = (kind: string) =>
  until(`the alarm ${kind}`, async () =>
    (await client.call('listAlarms')).find((each) => each.kind === kind),
  );
const acknowledge = async (kind: string) => {
  const { id: known } = await alarm(kind);
  await client.call('acknowledgeAlarm', { params: { alarm: known } });
};
const report = (what: Readonly<Record<string, unknown>>): void =>
  a.send({ kind: 'report', vm: id, report: what });
const live = (): void => a.report(id, 'live', { generation });
const isOn = () =>
  until('it is on', async () =>
    (await client.call('showVm', { params })).state === 'poweredOn' ? true : undefined,
  );

before(async () => {
  center = await InProcessCenter.start();
  center.addImage('tiny');
  client = center.client();
  a = await TestHost.join(center, 'a');
  await a.connect();
  ({ id } = await client.call('createVm', { body: { name: 'web', image: 'tiny', host: 'a' } }));
  await client.call('startVm', { params, body: {} });
  await a.order('start');
  await a.ask(id, { kind: 'start', acceptStale: true });
  live();
  await isOn();
});
after(async () => {
  a.close();
  await center.close();
  assert.deepEqual(center.bugs, []);
});

/** Its host has kept one. @param isHeard whether a center hears the report, and not the list alone */
function happens(recording: string, incident: Incident, isHeard = true): void {
  const [name, text] = [`${incident.kind}-${recording}`, `what ${recording} was`];
  if (isHeard) report({ kind: 'incident', incident: incident.kind, text, recording, name });
  kept.push({
    ...{ id: recording, name, vm: 'web', startedAtMs: Date.now(), count: '5', bytes: 1000 },
    ...{ endedAtMs: Date.now(), seconds: 60, ended: { kind: 'kept', text, incident } },
  });
  a.send({ kind: 'recordings', vm: id, recordings: kept });
}

/** What the host does of it, from the place on. */
async function goesBack(secondsBefore: number): Promise<void> {
  const { work } = await a.order('prepareRewind');
  report({ kind: 'work-done', id: work, count: '3', secondsBefore });
  await a.order('stop');
  await a.ask(id, { kind: 'stop', state: 'stopped', currentReplicas: [a.id] });
  a.report(id, 'ended', { ended: { kind: 'off', text: 'powered off' } });
  const { saved } = await a.order('rewind');
  assert.equal((await a.ask(id, { kind: 'revert', saved })).granted, true);
  report({ kind: 'work-done', id: saved });
  await a.order('start');
  const { record } = await a.ask(id, { kind: 'start', acceptStale: true, restore: saved });
  generation = record!.generation;
  live();
  await isOn();
}

const panic: Incident = { kind: 'panic', at: 99.5, forSeconds: 0 };
const nothingOrdered = (kind: string) =>
  assert.deepEqual(
    a.heard.filter((each) => each.kind === kind),
    [],
  );

test('without the word of somebody nothing is put back', async () => {
  const set = await client.call('setFlight', { params, body: { minutes: 1 } });
  assert.equal(set.flight?.rewindSeconds, null);
  happens('quiet', panic);
  await alarm('guest-incident');
  await new Promise((done) => setTimeout(done, 700));
  nothingOrdered('prepareRewind');
  await acknowledge('guest-incident');
});

test('more than what is held is refused; what is not said again stays', async () => {
  const beyond = { minutes: 1, rewindSeconds: 61 };
  const refused = client.call('setFlight', { params, body: beyond });
  await assert.rejects(refused, code('rewind-beyond-flight'));
  await client.call('setFlight', { params, body: { minutes: 1, rewindSeconds: 10 } });
  const { flight } = await client.call('setFlight', { params, body: { minutes: 2 } });
  assert.deepEqual([flight?.minutes, flight?.rewindSeconds], [2, 10]);
  const [, , event] = await events('vm-flight-set');
  assert.match(event!.text, /after an incident web is put back by itself, to 10 s before it/);
});

test('it is put back to before the sign, and everybody is told that the policy did it', async () => {
  happens('first', panic);
  const { to, secondsBefore, orBegin, recording, work } = await a.order('prepareRewind');
  assert.deepEqual([recording, to, secondsBefore, orBegin], ['first', 'time:99.5000000', 10, true]);
  nothingOrdered('stop');
  a.heard.push({ kind: 'prepareRewind', work } as never);
  await goesBack(10);
  const [event] = await events('vm-rewound');
  assert.match(
    event!.text,
    /web has been put back by its policy, to 10\.0 s before its guest failed: what first was, of the recording panic-first on a: what it has done since then is undone/,
  );
  assert.match((await alarm('guest-incident')).text, /put back by its policy/);
  const audit = await client.call('listAudit', { query: { who: 'policy' } });
  assert.deepEqual(
    audit.map(({ action, outcome, input }) => [action, outcome, input['recording']]),
    [['rewindVm', 'done', 'panic-first']],
  );
  await acknowledge('guest-incident');
});

test('of an incident that no center has heard the list tells; the next center begins it again', async () => {
  const hang: Incident = { kind: 'watchdog', at: 200, forSeconds: 30 };
  happens('second', hang, false);
  const first = await a.order('prepareRewind');
  // From before it hung, not from before that was seen.
  assert.equal(first.secondsBefore, 40);
  assert.match((await events('vm-incident')).at(-1)!.text, /what second was/);
  const listen = new URL(center.url).host;
  await center.stop();
  a.heard.length = 0;
  await center.start({ listen });
  client = center.client();
  await until('the host to come back', () => (a.isConnected ? true : undefined));
  const again = await a.order('prepareRewind');
  assert.equal(again.recording, 'second');
  assert.notEqual(again.work, first.work);
  a.heard.push(again);
  await goesBack(37.5);
  assert.match(
    (await events('vm-rewound')).at(-1)!.text,
    /to 7\.5 s before its guest failed \(the recording holds no more; 10 s were wished\)/,
  );
  await acknowledge('guest-incident');
});

test('what cannot be made leaves it as it is, with an alarm', async () => {
  // An order that was followed late was given again.
  a.heard.length = 0;
  happens('third', panic);
  const { work } = await a.order('prepareRewind');
  report({ kind: 'work-failed', id: work, code: 'no-room', text: 'no room there', remedy: '' });
  const { text } = await alarm('rewind-failed');
  assert.match(text, /web was not put back .*\(what third was\): no room there; it stays as it is/);
  nothingOrdered('stop');
  await isOn();
  await acknowledge('rewind-failed');
});

test('who powers it off meanwhile has the last word', async () => {
  // What has been tried before is another test's matter.
  const { inventory } = center.center.cluster;
  const { rewoundAtMs = [] } = inventory.vm(id)!;
  inventory.putVm({ ...inventory.vm(id)!, rewoundAtMs: [] });
  happens('other', panic);
  const { work } = await a.order('prepareRewind');
  await client.call('stopVm', { params, body: { how: 'power-off' } });
  await a.order('stop');
  report({ kind: 'work-done', id: work, count: '3', secondsBefore: 5 });
  await until('the end of its task', async () =>
    (await client.call('listTasks', { query: { vm: 'web' } })).find(
      ({ error }) => error?.code === 'task-cancelled',
    ),
  );
  await a.ask(id, { kind: 'stop', state: 'stopped', currentReplicas: [a.id] });
  a.report(id, 'ended', { ended: { kind: 'off', text: 'powered off' } });
  await until('it is off', async () =>
    (await client.call('showVm', { params })).state === 'poweredOff' ? true : undefined,
  );
  nothingOrdered('rewind');
  await acknowledge('guest-incident');
  a.heard.length = 0;
  await client.call('startVm', { params, body: {} });
  await a.order('start');
  const { record } = await a.ask(id, { kind: 'start', acceptStale: true });
  generation = record!.generation;
  live();
  await isOn();
  inventory.putVm({ ...inventory.vm(id)!, rewoundAtMs });
});

test('the fourth time within an hour it stays as it is', async () => {
  happens('fourth', panic);
  const { text } = await alarm('rewind-failed');
  assert.match(text, /that has been tried 3 times within an hour already; it stays as it is/);
  nothingOrdered('prepareRewind');
  await isOn();
});
