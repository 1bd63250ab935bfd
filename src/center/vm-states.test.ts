/** What the center refuses of snapshots, clones, exports and sizes, before any host is asked. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Client } from '../api/client.ts';
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

test('a VM that does not run has no snapshot, and is given none', async () => {
  const taken = client.call('takeSnapshot', { params, body: { name: 's1' } });
  await assert.rejects(taken, code('vm-not-running'));
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
  await assert.rejects(client.call('showWork', { params: { work: 'w' } }), code('work-unknown'));
});

test('sizes of a VM that is off', async () => {
  const body = { cpus: 3, memoryBytes: 2 ** 28 };
  const { cpus, memoryBytes } = await client.call('resizeVm', { params, body });
  assert.deepEqual([cpus, memoryBytes], [3, 2 ** 28]);
  const none = client.call('resizeVm', { params, body: { disks: [{ disk: 7, bytes: 512 }] } });
  await assert.rejects(none);
  assert.equal((await client.call('showVm', { params })).cpus, 3);
});
