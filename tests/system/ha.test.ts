/**
 * HA as a user has it: a center and two hosts as processes, a VM on a datastore that both reach. Its
 * host dies, or stands still and comes back; the VM is restarted on the other one with its data, by
 * itself, and there is never more than one that anybody hears.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { VmView } from '../../src/api/views.ts';
import type { ProcessCluster } from './cluster.fixture.ts';
import { clusterOf, eventually } from './guest-cluster.fixture.ts';

const params = { vm: 'web' };

async function withDatastore(
  act: (cluster: ProcessCluster, written: () => number) => Promise<void>,
): Promise<void> {
  const guest = { writes: 30_000, resumes: true };
  const whole = await clusterOf(guest, '--ha-lease', '4');
  const { cluster } = whole;
  try {
    const path = cluster.folderOf('datastore');
    mkdirSync(path);
    for (const name of ['a', 'b']) {
      await cluster.daemon('host', name, ['--datastore', `shared=${path}`]);
    }
    const body = { name: 'web', image: 'test', datastore: 'shared', host: 'a' };
    const { id } = await cluster.client.call('createVm', { body });
    await cluster.client.call('startVm', { params, body: {} });
    await on(cluster, 'a');
    const folder = join(path, 'vms', id);
    await act(cluster, () => {
      const numbers = readdirSync(folder)
        .filter((name) => name.startsWith('disks-') && !name.endsWith('.unfinished'))
        .map((name) => Number(readFileSync(join(folder, name, 'disk-0.raw')).readBigUInt64LE(0)));
      return Math.max(...numbers);
    });
    await cluster.client.call('stopVm', { params, body: { how: 'power-off' } });
    await eventually('it is off', async () => (await show(cluster)).state === 'poweredOff');
    await cluster.client.call('deleteVm', { params });
    await eventually('its disks are removed', () => readdirSync(join(path, 'vms')).length === 0);
  } catch (error) {
    const happened = await cluster.client.call('listEvents', { query: {} }).catch(() => []);
    throw new Error(`${happened.map(({ text }) => text).join('\n')}\n${cluster.tails()}`, {
      cause: error,
    });
  } finally {
    await whole.close();
  }
}

const show = (cluster: ProcessCluster): Promise<VmView> =>
  cluster.client.call('showVm', { params });

const on = (cluster: ProcessCluster, host: string): Promise<VmView> =>
  eventually(`it runs on ${host}`, async () => {
    const vm = await show(cluster);
    return vm.state === 'poweredOn' && vm.host === host ? vm : undefined;
  });

const events = async (cluster: ProcessCluster, kind: string) => {
  const all = await cluster.client.call('listEvents', { query: {} });
  return all.filter((event) => event.kind === kind);
};

test('a host dies, and its VM comes up at the other one with its data', async () => {
  await withDatastore(async (cluster, written) => {
    assert.equal((await show(cluster)).ha.state, 'on');
    await eventually('it writes', () => written() > 50);
    await cluster.killHost('a');
    const before = written();
    await on(cluster, 'b');
    await eventually('it goes on from there', () => written() > before + 50);
    const [restarted, ...more] = await events(cluster, 'ha-vm-restarted');
    assert.equal(restarted?.text, 'web was restarted on b since a failed');
    assert.equal(more.length, 0);
    assert.equal((await events(cluster, 'ha-host-failed')).length, 1);
    // A center that is started anew finds all as it was.
    await cluster.kill('center');
    await cluster.startCenter();
    await on(cluster, 'b');
    assert.equal((await events(cluster, 'ha-vm-restarted')).length, 1);
  });
});

test('a host stands still past the lease and comes back: its copy ends', async () => {
  await withDatastore(async (cluster, written) => {
    await eventually('it writes', () => written() > 50);
    const { vmPids, pid } = (await cluster.host('a'))!;
    for (const each of [...vmPids, pid!]) process.kill(each, 'SIGSTOP');
    await eventually('it is restarted', async () => {
      return (await events(cluster, 'ha-vm-restarted')).length > 0;
    });
    await on(cluster, 'b');
    const before = written();
    for (const each of [...vmPids, pid!]) process.kill(each, 'SIGCONT');
    await eventually('a has nothing any more', async () => {
      const host = await cluster.host('a');
      return host?.state === 'connected' && host.vmPids.length === 0;
    });
    await eventually('it goes on', () => written() > before + 50);
    assert.equal((await show(cluster)).host, 'b');
    assert.equal((await events(cluster, 'ha-vm-restarted')).length, 1);
  });
});
