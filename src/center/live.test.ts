/** The cluster as viewers see it change: all of it first, then what has changed, each once. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Compile } from 'typebox/compile';
import type { WebSocket } from 'ws';
import { LiveMessage } from '../api/live.ts';
import { openPersonSocket } from '../api/socket.ts';
import { TestHost, until } from './cluster.fixture.ts';
import { InProcessCenter } from './in-process.fixture.ts';

const validator = Compile(LiveMessage);

let center: InProcessCenter;
const sockets: WebSocket[] = [];
before(async () => {
  center = await InProcessCenter.start();
  center.addImage('tiny');
});
after(async () => {
  for (const socket of sockets) socket.terminate();
  assert.deepEqual(center.bugs, []);
  await center.close();
});

/** Every message is what the schema says. */
async function look(token = center.admin.token) {
  const messages: LiveMessage[] = [];
  let closedWith: number | undefined;
  const trust = { ca: center.admin.ca, token };
  const socket = openPersonSocket(center.url, '/api/v1/live', trust);
  sockets.push(socket);
  socket.on('message', (data) => {
    const message: unknown = JSON.parse(String(data));
    assert.ok(validator.Check(message), JSON.stringify([...validator.Errors(message)].slice(0, 3)));
    messages.push(message as LiveMessage);
  });
  socket.on('close', (code) => {
    closedWith = code;
  });
  await until('the state', () => messages[0]);
  return { messages, socket, closedWith: () => closedWith };
}

const changes = (messages: readonly LiveMessage[]) =>
  messages.flatMap((message) => (message.kind === 'changes' ? [message] : []));

describe('the live view', () => {
  test('begins with the whole state; what changes comes whole, what goes is named', async () => {
    const client = center.client();
    await client.call('createVm', { body: { name: 'before', image: 'tiny' } });
    const { messages } = await look();
    const [state] = messages;
    assert.ok(state?.kind === 'state');
    assert.deepEqual(
      state.vms.map(({ name }) => name),
      ['before'],
    );
    const made = await client.call('createVm', { body: { name: 'later', image: 'tiny' } });
    const seen = await until('the new VM', () =>
      changes(messages)
        .flatMap(({ vms }) => vms)
        .find(({ name }) => name === 'later'),
    );
    assert.equal(seen.id, made.id);
    await client.call('deleteVm', { params: { vm: 'later' } });
    await until('that it has gone', () =>
      changes(messages)
        .flatMap(({ gone }) => gone)
        .find(({ table, id }) => table === 'vms' && id === made.id),
    );
    // What stays the same is not told again.
    const told = changes(messages).flatMap(({ vms }) => vms.map(({ name }) => name));
    assert.ok(!told.includes('before'));
  });

  test('a second viewer gets the whole state, the first one nothing twice', async () => {
    const first = await look();
    const second = await look(await center.tokenOf('viewer'));
    assert.equal(second.messages[0]?.kind, 'state');
    assert.ok(first.messages.slice(1).every(({ kind }) => kind === 'changes'));
  });

  test('figures of a protected pair come apart from its view', async () => {
    const client = center.client();
    const [a, b] = await Promise.all(['a', 'b'].map((name) => TestHost.join(center, name)));
    await a!.connect();
    await b!.connect();
    const { id } = await client.call('createVm', {
      body: { name: 'pair', image: 'tiny', host: 'a', ft: true },
    });
    const { messages } = await look();
    await client.call('startVm', { params: { vm: 'pair' }, body: {} });
    const { fenced, acceptStale } = await a!.order('start');
    const { granted } = await a!.ask(id, { kind: 'start', fenced, acceptStale });
    assert.ok(granted);
    a!.report(id, 'live', { count: '100', gate: { medianMs: 0.4, p99Ms: 2, held: 1 } });
    await b!.order('startShadow');
    b!.report(id, 'shadow', { count: '90' });
    await a!.ask(id, { kind: 'makeEligible', shadow: { host: b!.id, process: b!.process(id) } });
    a!.report(id, 'live', { count: '200', ftState: 'running', lagMs: 7 });
    b!.report(id, 'shadow', { count: '150', lastFingerprint: { position: 9, count: '120' } });
    const view = () =>
      changes(messages)
        .flatMap(({ vms }) => vms)
        .filter((vm) => vm.id === id)
        .at(-1);
    await until('Protected', () => (view()?.ft.state === 'running' ? true : undefined));
    const figures = await until('figures', () =>
      changes(messages)
        .flatMap(({ vmFigures }) => vmFigures)
        .find(({ vm, shadow }) => vm === id && shadow?.count === '150'),
    );
    assert.equal(figures.primary?.count, '200');
    assert.equal(figures.lagMs, 7);
    assert.deepEqual(figures.lastFingerprint, { position: 9, count: '120' });
    const told = () => changes(messages).filter(({ vms }) => vms.some((vm) => vm.id === id)).length;
    const before = told();
    a!.report(id, 'live', { count: '300', ftState: 'running', lagMs: 11 });
    await until('the new lag', () =>
      changes(messages)
        .flatMap(({ vmFigures }) => vmFigures)
        .find(({ vm, lagMs }) => vm === id && lagMs === 11),
    );
    assert.equal(told(), before, 'a figure that moves sends no view');
    for (const host of [a!, b!]) host.close();
  });

  test('is for viewers, and ends with their credentials', async () => {
    const admin = center.client();
    const body = { name: 'watcher', role: 'viewer' } as const;
    const { token, info } = await admin.call('createApiToken', { body });
    const watcher = await look(token);
    await admin.call('revokeApiToken', { params: { token: info.id } });
    assert.equal(await until('the end', watcher.closedWith), 4403);
    const nobody = await center.raw('/api/v1/live');
    assert.equal(nobody.json['code'], 'credentials-missing');
  });
});

test('the last events, and those before one that is known', async () => {
  const client = center.client();
  const { events } = center.center.cluster;
  for (let index = 0; index < 5; index++) events.add('vm-reset', `number ${index}`, { vm: 'last' });
  const last = await client.call('listEvents', { query: { vm: 'last', last: true, limit: 2 } });
  assert.deepEqual(
    last.map(({ text }) => text),
    ['number 3', 'number 4'],
  );
  const query = { vm: 'last', last: true, limit: 2, before: last[0]!.sequence };
  assert.deepEqual(
    (await client.call('listEvents', { query })).map(({ text }) => text),
    ['number 1', 'number 2'],
  );
});
