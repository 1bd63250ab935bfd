/**
 * Works on a VM that is off, as the host does them: going back to a real snapshot's folder, with an
 * arbiter on loopback that says what the test says; and an archive sent to a center that takes it as
 * the test does.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { zstdDecompressSync } from 'node:zlib';
import { type WebSocket, WebSocketServer } from 'ws';
import type { DaemonMessage, VmSpec } from '../api/agent.ts';
import { centerName, readText } from '../api/wire.ts';
import type { Ask, Refusal } from '../lockstep/arbiter.ts';
import { TestAuthority } from './certificates.fixture.ts';
import { until } from './ethernet.fixture.ts';
import {
  beginFolder,
  diskPath,
  finishFolder,
  machinePath,
  savedFolder,
  snapshotFolder,
} from './vm/state-folder.ts';
import { VmStates } from './vm-states.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbra-states-'));
const vmFolder = join(folder, 'vms', 'v');
const heard: DaemonMessage[] = [];
const asks: Ask[] = [];
/** What the arbiter's record names. */
let saved: string | undefined;
/** The arbiter's answer to `revert`. */
let refusal: Refusal | undefined;
let server: Server;
const sockets = new WebSocketServer({ noServer: true });
const uploads: [path: string, socket: WebSocket][] = [];
let states: VmStates;

before(async () => {
  const authority = await TestAuthority.create(folder);
  const { caFile, certificateFile, keyFile } = await authority.issue(centerName);
  const [ca, cert, key] = [caFile, certificateFile, keyFile].map((name) => readFileSync(name));
  server = createServer({ ca: ca!, cert: cert!, key: key!, requestCert: true });
  server.on('request', async (request, reply) => {
    const ask = JSON.parse(await readText(request)) as Ask;
    asks.push(ask);
    const common = { epoch: 1, generation: 3, state: 'stopped', currentReplicas: [] };
    const record = { ...common, claimId: 'x', ...(saved && { saved: { host: 'a', id: saved } }) };
    const isRefused = ask.operation.kind === 'revert' && refusal !== undefined;
    const { vm, claimId } = ask;
    reply.end(
      JSON.stringify({ vm, claimId, record, granted: !isRefused, ...(isRefused && { refusal }) }),
    );
  });
  server.on('upgrade', (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (opened) => uploads.push([request.url!, opened]));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  mkdirSync(vmFolder, { recursive: true });
  await makeSnapshot();
  states = new VmStates({
    ...{ hostId: 'a', vmsFolder: join(folder, 'vms'), exportsFolder: join(folder, 'exports') },
    credentials: await authority.issue('a'),
    arbiterUrls: () => [`https://127.0.0.1:${(server.address() as AddressInfo).port}/arbiter`],
    datastores: { find: () => undefined, parents: [] },
    leaderUrl: () => `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    isBusy: () => false,
    tell: (message) => heard.push(message),
  });
});
after(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function makeSnapshot(): Promise<void> {
  const snapshot = snapshotFolder(vmFolder, 's');
  const path = await beginFolder(snapshot);
  writeFileSync(machinePath(path), 'a machine');
  writeFileSync(diskPath(path, 0), Buffer.alloc(4096, 'a disk'));
  await finishFolder(snapshot, {
    ...{ id: 's', name: 'first', configuration: '', position: 1, count: '1', ticks: '1' },
    ...{ savedAtMs: 1, hasDisks: true, vm: { disks: [{ bytes: 4096 }] } as unknown as VmSpec },
  });
}

/** Until nothing is under way. @returns the last report */
async function revert(state: string, snapshot = 's'): Promise<Readonly<Record<string, unknown>>> {
  states.revert({ kind: 'revert', vm: 'v', snapshot, saved: state, fenced: false });
  await states.idle('v');
  const last = heard.at(-1)!;
  assert.equal(last.kind, 'report');
  return last.kind === 'report' ? last.report : {};
}

test('what is granted is there, under the name that the arbiter was told', async () => {
  refusal = undefined;
  assert.deepEqual(await revert('s-task-1'), { kind: 'work-done', id: 's-task-1' });
  const { member, operation } = asks.at(-1)!;
  assert.deepEqual(member, { host: 'a', process: 'revert-s-task-1' });
  assert.deepEqual(operation, { kind: 'revert', saved: 's-task-1', fenced: false });
  const disk = diskPath(savedFolder(vmFolder, 's-task-1'), 0);
  assert.deepEqual(readFileSync(disk), Buffer.alloc(4096, 'a disk'));
});

test('what is refused is gone, and the VM free', async () => {
  refusal = 'already-live';
  const { kind, code } = await revert('s-task-2');
  assert.deepEqual([kind, code], ['work-failed', 'revert-already-live']);
  assert.ok(!existsSync(savedFolder(vmFolder, 's-task-2')));
});

test('what the center has given up is not asked for ever, and stays for the record to tell', async () => {
  refusal = 'not-ordered';
  const before = asks.length;
  const { code, text } = await revert('s-task-3');
  assert.deepEqual([code, text], ['revert-not-ordered', 'The center has given this up meanwhile.']);
  assert.equal(asks.slice(before).filter((ask) => ask.operation.kind === 'revert').length, 1);
  // Another center may have granted it: the next start here reads the record, and tidies.
  assert.ok(existsSync(savedFolder(vmFolder, 's-task-3')));
});

test('disks alone: taken, gone back to, and in their place at once', async () => {
  const disk = diskPath(vmFolder, 0);
  const vm = { id: 'v', name: 'web', disks: [{ bytes: 8192 }] } as unknown as VmSpec;
  // Grown, and not started since.
  writeFileSync(disk, Buffer.alloc(4096, 'asleep'));
  states.snapshotDisks({ kind: 'snapshotDisks', vm, id: 'off', name: 'asleep' });
  await states.idle('v');
  const list = heard.findLast((message) => message.kind === 'snapshots');
  assert.deepEqual(
    list?.kind === 'snapshots' && list.snapshots.map(({ name, isOff }) => [name, isOff]),
    [
      ['first', undefined],
      ['asleep', true],
    ],
  );
  assert.ok(!existsSync(machinePath(snapshotFolder(vmFolder, 'off'))));
  writeFileSync(disk, Buffer.alloc(8192, 'awake'));
  refusal = undefined;
  assert.equal((await revert('off-task-8', 'off'))['kind'], 'work-done');
  assert.deepEqual(readFileSync(disk), Buffer.alloc(4096, 'asleep'));

  // The host dies between the arbiter's word and the disks being in their place: they count.
  const folder = savedFolder(vmFolder, 'off-task-8');
  writeFileSync(diskPath(folder, 0), Buffer.alloc(4096, 'counts'));
  const copied = () => {
    states.clone({ kind: 'clone', vm, newVm: `new${++copies}`, work: 'task-9' });
    return states
      .idle('v')
      .then(() => readFileSync(diskPath(join(folder, `../../new${copies}`), 0)));
  };
  let copies = 0;
  assert.deepEqual(await copied(), Buffer.alloc(4096, 'asleep'), 'the record names another state');
  saved = 'off-task-8';
  assert.deepEqual(await copied(), Buffer.alloc(4096, 'counts'));
  saved = undefined;
});

/** An archive of a disk that does not get smaller. @returns the center's end of the connection */
async function send(work: string, bytes: number): Promise<WebSocket> {
  writeFileSync(diskPath(vmFolder, 0), randomBytes(bytes));
  const vm = { id: 'v', name: 'web', disks: [{ bytes }] } as unknown as VmSpec;
  states.sendArchive({ kind: 'sendArchive', vm, work });
  await until('the upload', () => uploads.some(([path]) => path === `/api/v1/archives/${work}`));
  return uploads.at(-1)![1];
}

const saidOf = (work: string, kind: string) =>
  heard.flatMap((message) => {
    const report = message.kind === 'report' ? message.report : {};
    return report['id'] === work && report['kind'] === kind ? [report] : [];
  });

test('an archive is sent as it is taken, its sum is told, and the center ends it', async () => {
  const socket = await send('task-5', 16 << 20);
  // Taken by nobody: the host does not run ahead.
  socket.pause();
  const told = () => Number(saidOf('task-5', 'work-progress').at(-1)?.['bytesDone'] ?? 0);
  for (let last = -1; last !== told() || last === 0; await sleep(500)) last = told();
  const far = told();
  assert.ok(far < 12 << 20, `the host has gone on to ${far} of ${16 << 20} bytes`);
  const parts: Buffer[] = [];
  socket.on('message', (data: Buffer) => parts.push(data));
  socket.resume();
  await states.idle('v');
  const [done] = saidOf('task-5', 'work-done');
  await until('the last byte', () => Buffer.concat(parts).length === done!['bytes']);
  assert.equal(done!['sha256'], createHash('sha256').update(Buffer.concat(parts)).digest('hex'));
  assert.equal(socket.readyState, socket.OPEN, 'it is the center that closes it');
  const names = execFileSync('tar', ['-tf', '-'], {
    input: zstdDecompressSync(Buffer.concat(parts)),
  });
  assert.deepEqual(String(names).trim().split('\n'), ['vm.json', 'disk-0.raw']);
  socket.close();
});

test('an archive that nobody takes any more is given up, and the VM is free', async () => {
  (await send('task-6', 16 << 20)).terminate();
  await states.idle('v');
  assert.equal(saidOf('task-6', 'work-failed').length, 1);
  // Nor does it outlive the connection over which it was ordered.
  const socket = await send('task-7', 16 << 20);
  socket.pause();
  states.abandonUploads();
  await states.idle('v');
  assert.equal(saidOf('task-7', 'work-failed')[0]!['code'], 'export-failed');
});
