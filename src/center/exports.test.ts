/**
 * Archives that pass through the center: what comes out is what the host has sent, at the pace of
 * whoever reads, and nothing that breaks off looks whole. The host is real at the wire.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { archiveUploadPath, digestHeader, sha256OfDigest, taskHeader } from '../api/archive.ts';
import type { Client } from '../api/client.ts';
import { openDaemonSocket } from '../api/socket.ts';
import type { TaskView } from '../api/tasks.ts';
import { TestHost, until } from './cluster.fixture.ts';
import { InProcessCenter } from './in-process.fixture.ts';

let center: InProcessCenter;
let client: Client;
let host: TestHost;
let other: TestHost;
let id: string;
const params = { vm: 'web' };
const code = (expected: string) => (error: { code?: string }) => error.code === expected;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

before(async () => {
  center = await InProcessCenter.start();
  center.addImage('tiny');
  client = center.client();
  host = await TestHost.join(center, 'a');
  other = await TestHost.join(center, 'b');
  for (const each of [host, other]) await each.connect();
  ({ id } = await client.call('createVm', { body: { name: 'web', image: 'tiny', host: 'a' } }));
  await client.call('startVm', { params, body: {} });
  await host.order('start');
  await host.ask(id, { kind: 'start', acceptStale: true });
  host.report(id, 'live', { generation: 1 });
});
after(async () => {
  for (const each of [host, other]) each.close();
  await center.close();
  assert.deepEqual(center.bugs, []);
});

const ask = (as = client, signal?: AbortSignal): Promise<IncomingMessage> =>
  as.wire.open('GET', '/vms/web/archive', undefined, signal);

/** The host has got its order and sends. */
async function upload(): Promise<{ readonly work: string; readonly socket: WebSocket }> {
  const { work, vm } = await host.order('sendArchive');
  assert.equal(vm.id, id);
  const socket = openDaemonSocket(center.url, archiveUploadPath(work), host.credentials);
  await once(socket, 'open');
  return { work, socket };
}

function done(work: string, bytes: Uint8Array, changes: object = {}): void {
  const sum = { bytes: bytes.length, sha256: sha256(bytes), ...changes };
  host.send({ kind: 'report', vm: id, report: { kind: 'work-done', id: work, ...sum } });
}

const ended = (task: string): Promise<TaskView> =>
  until('the end of the task', async () => {
    const view = await client.call('showTask', { params: { task } });
    return view.ended === null ? undefined : view;
  });

async function readAll(reply: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of reply) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

test('a VM that runs is not exported', async () => {
  await assert.rejects(ask(), code('vm-running'));
  await client.call('stopVm', { params, body: { how: 'power-off' } });
  await host.order('stop');
  await host.ask(id, { kind: 'stop', state: 'stopped', currentReplicas: [host.id] });
  host.report(id, 'ended', { ended: { kind: 'off', text: 'powered off' } });
  await until('it is off', async () =>
    (await client.call('showVm', { params })).state === 'poweredOff' ? true : undefined,
  );
});

test('what the host sends comes out, with its sum, and the VM stays as it is meanwhile', async () => {
  const bytes = randomBytes(3 << 20);
  const asked = ask();
  const { work, socket } = await upload();
  const closed = once(socket, 'close');
  const reply = await asked;
  assert.equal(reply.headers['content-type'], 'application/zstd');
  assert.match(String(reply.headers['content-disposition']), /filename="web.tar.zst"/);
  assert.equal(reply.headers[taskHeader], work);
  for (const refused of [
    client.call('deleteVm', { params }),
    client.call('startVm', { params, body: {} }),
    client.call('exportVm', { params, body: {} }),
    ask(),
  ]) {
    await assert.rejects(refused, (error: { code?: string; message?: string; remedy?: string }) => {
      assert.equal(error.code, 'vm-busy');
      assert.match(error.message!, /web is being exported, which admin.json has asked for/);
      assert.match(error.remedy!, new RegExp(`umbra task cancel ${work}`));
      return true;
    });
  }
  for (let at = 0; at < bytes.length; at += 1 << 16)
    socket.send(bytes.subarray(at, at + (1 << 16)));
  // Told before the last bytes are through.
  done(work, bytes);
  assert.ok((await readAll(reply)).equals(bytes));
  assert.equal(sha256OfDigest(String(reply.trailers[digestHeader])), sha256(bytes));
  const { state, result } = await ended(work);
  assert.deepEqual([state, result], ['succeeded', { bytes: bytes.length, sha256: sha256(bytes) }]);
  const [closedWith] = await closed;
  assert.equal(closedWith, 1000);
  const [event] = (await client.call('listEvents', { query: { vm: 'web' } })).slice(-2);
  assert.deepEqual([event!.kind, event!.data['by']], ['vm-exported', 'admin.json']);
  const audit = await client.call('listAudit', { query: { vm: 'web', last: true } });
  assert.ok(audit.some(({ action }) => action === 'sendArchive'));
});

test('a reader that takes its time is waited for, and the host with it', async () => {
  const bytes = randomBytes(64 << 20);
  const asked = ask();
  const { work, socket } = await upload();
  const reply = await asked;
  socket.send(bytes.subarray(0, 1 << 20));
  for (let at = 1 << 20; at < bytes.length; at += 1 << 20) {
    socket.send(bytes.subarray(at, at + (1 << 20)));
  }
  await sleep(500);
  const waiting = socket.bufferedAmount;
  assert.ok(waiting > 32 << 20, `only ${waiting} of ${bytes.length} bytes wait at the host`);
  const closed = once(socket, 'close');
  done(work, bytes);
  assert.equal(sha256(await readAll(reply)), sha256(bytes));
  assert.equal((await ended(work)).state, 'succeeded');
  // A connection that is not read any more lasts until ws gives it up, half a minute.
  const since = performance.now();
  await closed;
  assert.ok(performance.now() - since < 10_000, 'the host has to wait for its connection to end');
});

test('whatever ends it early, the reply breaks off and the host is told', async () => {
  const begin = async (signal?: AbortSignal) => {
    const asked = ask(client, signal);
    const { work, socket } = await upload();
    const reply = await asked;
    const read = readAll(reply);
    read.catch(() => {});
    socket.send(randomBytes(1 << 16));
    const closed = once(socket, 'close');
    return { work, socket, read, closed };
  };
  const brokeOff = { code: 'ECONNRESET' };

  const cancelled = await begin();
  await client.call('cancelTask', { params: { task: cancelled.work } });
  await assert.rejects(cancelled.read, brokeOff);
  await cancelled.closed;
  assert.equal((await ended(cancelled.work)).state, 'cancelled');

  const given = new AbortController();
  const unread = await begin(given.signal);
  given.abort();
  await unread.closed;
  const gone = (await ended(unread.work)).error;
  assert.equal(gone?.code, 'export-broken-off');
  assert.match(gone!.detail, /has gone after \d+ bytes/);

  const failing = await begin();
  const why = { code: 'export-failed', text: 'The disk is broken.', remedy: 'Look at it.' };
  const report = { kind: 'work-failed', id: failing.work, ...why };
  host.send({ kind: 'report', vm: id, report });
  await assert.rejects(failing.read, brokeOff);
  assert.equal((await ended(failing.work)).error?.detail, why.text);

  const cut = await begin();
  cut.socket.terminate();
  await assert.rejects(cut.read, brokeOff);
  assert.match((await ended(cut.work)).error!.detail, /the host has broken the archive off/);

  for (const lie of [{ bytes: 1 }, { sha256: 'none' }, { bytes: 'many' }]) {
    const lying = await begin();
    done(lying.work, new Uint8Array(1 << 16), lie);
    await assert.rejects(lying.read, brokeOff);
    assert.equal((await ended(lying.work)).error?.code, 'export-broken-off');
  }

  const lost = await begin();
  host.disconnect();
  await assert.rejects(lost.read, brokeOff);
  assert.equal((await ended(lost.work)).error?.code, 'host-not-responding');
  await host.connect();
});

test('a reader that stands still is not waited for for ever', async () => {
  const { archives } = center.center.cluster;
  const before = archives.stallMsMax;
  archives.stallMsMax = 600;
  try {
    const asked = ask();
    const { work, socket } = await upload();
    const reply = await asked;
    const closed = once(socket, 'close');
    for (let sent = 0; sent < 64; sent++) socket.send(randomBytes(1 << 20));
    await closed;
    assert.match((await ended(work)).error!.detail, /has taken nothing for 0.6 s/);
    await assert.rejects(readAll(reply), { code: 'ECONNRESET' });
  } finally {
    archives.stallMsMax = before;
  }
});

test('what a host refuses is the answer; nobody else sends, and not unasked', async () => {
  const asked = ask();
  const { work } = await host.order('sendArchive');
  const refusedOf = async (from: TestHost, name: string): Promise<number> => {
    const socket = openDaemonSocket(center.url, archiveUploadPath(name), from.credentials);
    socket.on('error', () => {});
    const [, { statusCode }] = (await once(socket, 'unexpected-response')) as [
      unknown,
      IncomingMessage,
    ];
    socket.terminate();
    return statusCode!;
  };
  assert.equal(await refusedOf(other, work), 404);
  assert.equal(await refusedOf(host, 'task-none'), 404);
  const why = { code: 'vm-busy', text: 'It is being copied.', remedy: 'Wait.' };
  host.send({ kind: 'report', vm: id, report: { kind: 'work-failed', id: work, ...why } });
  await assert.rejects(asked, code('vm-busy'));
  const viewer = center.client(await center.tokenOf('viewer'));
  await assert.rejects(ask(viewer), code('access-denied'));
});

// --- the command --------------------------------------------------------------------------------

const program = join(import.meta.dirname, '../cli/main.ts');

interface Finished {
  readonly child: ChildProcess;
  readonly finished: Promise<{ code: number | null; stdout: string; stderr: string }>;
}

function command(...args: string[]): Finished {
  const env = { ...process.env, UMBRA_HOME: center.home };
  const child = spawn(process.execPath, [program, 'vm', 'export', 'web', ...args], { env });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const finished = once(child, 'close').then(([status]) => ({ code: status, stdout, stderr }));
  return { child, finished };
}

test('umbra vm export --to: the file is whole, or what was there before', async () => {
  const file = join(center.folder, 'web.tar.zst');
  const left = () => readdirSync(center.folder).filter((name) => name.startsWith('web.tar.zst'));
  const bytes = randomBytes(1 << 20);
  const good = command('--to', file, '--json');
  const first = await upload();
  first.socket.send(bytes);
  done(first.work, bytes);
  const { code: status, stdout, stderr } = await good.finished;
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), {
    ...{ vm: 'web', file, bytes: bytes.length, sha256: sha256(bytes) },
  });
  assert.ok(readFileSync(file).equals(bytes));
  assert.equal(statSync(file).mode & 0o777, 0o600);

  writeFileSync(file, 'before');
  const failing = command('--to', file);
  const second = await upload();
  second.socket.send(bytes);
  await until('a part of the file', () => (left().length > 1 ? true : undefined));
  await client.call('cancelTask', { params: { task: second.work } });
  const cancelled = await failing.finished;
  assert.equal(cancelled.code, 1);
  assert.match(cancelled.stderr, /cancelled by admin.json/);

  const interrupted = command('--to', file);
  const third = await upload();
  third.socket.send(bytes);
  await until('a part of the file', () => (left().length > 1 ? true : undefined));
  const closed = once(third.socket, 'close');
  interrupted.child.kill('SIGINT');
  const { code: interruptedWith, stderr: said } = await interrupted.finished;
  assert.equal(interruptedWith, 1);
  assert.match(said, /interrupted: nothing has been written/);
  await closed;

  const damaged = command('--to', file);
  const fourth = await upload();
  fourth.socket.send(bytes);
  done(fourth.work, bytes, { sha256: '0'.repeat(64) });
  assert.match((await damaged.finished).stderr, /is not the archive of web that its host has sent/);

  const nowhere = command('--to', join(center.folder, 'none', 'file'));
  const fifth = await upload();
  fifth.socket.send(bytes);
  assert.match((await nowhere.finished).stderr, /cannot be written: ENOENT/);
  await ended(fifth.work);

  assert.deepEqual(left(), ['web.tar.zst']);
  assert.equal(readFileSync(file, 'utf8'), 'before');
  assert.ok(!existsSync(join(center.folder, 'none')));
});
