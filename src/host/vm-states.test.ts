/**
 * Going back to a snapshot, as the host asks for it: a real snapshot's folder, and an arbiter on
 * loopback that says what the test says.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { DaemonMessage, VmSpec } from '../api/agent.ts';
import { centerName, readText } from '../api/wire.ts';
import type { Ask, Refusal } from '../lockstep/arbiter.ts';
import { TestAuthority } from './certificates.fixture.ts';
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
/** The arbiter's answer to `revert`. */
let refusal: Refusal | undefined;
let server: Server;
let states: VmStates;

before(async () => {
  const authority = await TestAuthority.create(folder);
  const { caFile, certificateFile, keyFile } = await authority.issue(centerName);
  const [ca, cert, key] = [caFile, certificateFile, keyFile].map((name) => readFileSync(name));
  server = createServer({ ca: ca!, cert: cert!, key: key!, requestCert: true });
  server.on('request', async (request, reply) => {
    const ask = JSON.parse(await readText(request)) as Ask;
    asks.push(ask);
    const record = { epoch: 1, generation: 3, state: 'stopped', currentReplicas: [], claimId: 'x' };
    const isRefused = ask.operation.kind === 'revert' && refusal !== undefined;
    const { vm, claimId } = ask;
    reply.end(
      JSON.stringify({ vm, claimId, record, granted: !isRefused, ...(isRefused && { refusal }) }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  mkdirSync(vmFolder, { recursive: true });
  await makeSnapshot();
  states = new VmStates({
    ...{ hostId: 'a', vmsFolder: join(folder, 'vms'), exportsFolder: join(folder, 'exports') },
    credentials: await authority.issue('a'),
    arbiterUrls: () => [`https://127.0.0.1:${(server.address() as AddressInfo).port}/arbiter`],
    datastores: { find: () => undefined, parents: [] },
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
async function revert(saved: string): Promise<Readonly<Record<string, unknown>>> {
  states.revert({ kind: 'revert', vm: 'v', snapshot: 's', saved, fenced: false });
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
