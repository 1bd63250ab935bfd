/**
 * One real VM on real hosts through the whole of its life: migrated unprotected, protected, its
 * shadow restarted, moved, suspended and resumed, its hosts emptied one after another, then lost.
 * All the while a client counts over one TCP connection and never makes another: nothing is lost,
 * nothing repeated, nothing reset.
 */
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { CounterClient } from '../../src/cli/demo/counter-client.ts';
import { ProcessCluster } from './cluster.fixture.ts';
import { imagesMissing } from './umbra.fixture.ts';

/**
 * SPECIFICATION.md has the floors and goals for a machine that has time. The tests' own bound goes
 * by how long this client waits on this machine now, when nothing is done to its VM.
 */
const gapMsMax = (quietMs: number): number => 5_000 + 20 * quietMs;
const params = { vm: 'redis' };
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Life {
  readonly cluster: ProcessCluster;
  readonly client: CounterClient;
}

/** Acts while the client counts, and looks at what the client has seen of it. */
async function counted(
  t: TestContext,
  { client }: Life,
  what: string,
  act: () => Promise<unknown>,
): Promise<void> {
  const began = performance.now();
  await pause(1_000);
  const from = performance.now();
  const quietMs = client.longestGapMs(began, from);
  await act();
  const done = performance.now();
  while (client.repliesSince(done) < 100 && performance.now() < done + 15_000) await pause(20);
  const gapMs = client.longestGapMs(from, performance.now());
  const figures = `gap ${gapMs.toFixed(1)} ms (${quietMs.toFixed(1)} ms before)`;
  t.diagnostic(`${what}: ${figures}, ${Math.round(done - from)} ms in all`);
  assert.equal(client.problem, undefined);
  assert.deepEqual([client.lost, client.repeated, client.connectionsReset], [0, 0, 0]);
  assert.ok(client.repliesSince(done) > 0, 'it counts on');
  assert.ok(gapMs <= gapMsMax(quietMs), `${what}: ${figures}`);
}

/** Waits until another shadow than before the act protects the VM. */
async function anotherShadow({ cluster }: Life, act: () => Promise<unknown>): Promise<void> {
  const { generation } = await cluster.ft('redis');
  await act();
  await cluster.until('another shadow', async () => {
    const now = await cluster.ft('redis');
    return now.state === 'running' && now.generation >= generation + 2;
  });
}

const missing = await imagesMissing('redis');

describe('the life of a VM', missing === undefined ? {} : { skip: missing }, () => {
  let life: Life;
  before(async () => {
    const cluster = await ProcessCluster.start({ hosts: 3 });
    try {
      const port = await cluster.redis('redis', { ft: false, host: 'host1' });
      life = { cluster, client: await CounterClient.connect(port) };
    } catch (error) {
      await cluster.close();
      throw error;
    }
  });
  after(async () => {
    await life.client.stop();
    await life.cluster.close();
  });

  test('unprotected, it moves to another host and back, and leaves nothing behind', async (t) => {
    const { cluster } = life;
    for (const host of ['host2', 'host1']) {
      await counted(t, life, `to ${host}`, async () => {
        const moved = await cluster.client.call('migrateVm', { params, body: { host } });
        assert.deepEqual([moved.host, moved.ft.state], [host, 'notConfigured']);
      });
    }
    const all = await cluster.client.call('listHosts');
    const busy = all.filter(({ vmPids }) => vmPids.length > 0).map(({ name }) => name);
    assert.deepEqual(busy, ['host1']);
    assert.deepEqual(globSync(join(cluster.folderOf('host2'), 'vms', '*', 'disk-*.raw')), []);
  });

  test('protected, its shadow is restarted, moved, suspended and resumed', async (t) => {
    const { cluster } = life;
    await cluster.client.call('turnFtOn', { params });
    const first = await cluster.state('redis', 'running');
    await counted(t, life, 'restarted', () =>
      anotherShadow(life, () => cluster.client.call('restartShadow', { params })),
    );
    assert.equal((await cluster.ft('redis')).shadow?.host, first.shadow?.host);
    await counted(t, life, 'moved', () =>
      anotherShadow(life, () => cluster.client.call('migrateShadow', { params, body: {} })),
    );
    const moved = await cluster.ft('redis');
    assert.notEqual(moved.shadow?.host, first.shadow?.host);
    await counted(t, life, 'suspended and resumed', async () => {
      await cluster.client.call('suspendFt', { params });
      await cluster.until('the shadow to end', async () => {
        const all = await cluster.client.call('listHosts');
        return all.flatMap(({ vmPids }) => vmPids).length === 1;
      });
      assert.equal((await cluster.ft('redis')).state, 'disabled');
      await cluster.client.call('resumeFt', { params });
      await cluster.state('redis', 'running');
    });
    assert.equal((await cluster.ft('redis')).shadow?.host, moved.shadow?.host);
    await cluster.until('the panel to be full', async () => {
      const { logMbitPerSecond, shadowCpuPercent, shadowMemoryBytes } = await cluster.ft('redis');
      return [logMbitPerSecond, shadowCpuPercent, shadowMemoryBytes].every((each) => each! > 0);
    });
  });

  test('maintenance: its host is emptied, then the host of its shadow; protection returns', async (t) => {
    const { cluster } = life;
    const maintenance = (host: string, on: boolean) =>
      cluster.client.call('setMaintenance', { params: { host }, body: { on } });
    const empty = async (host: string) => {
      await maintenance(host, true);
      await cluster.until(`${host} to be empty`, async () => {
        const found = await cluster.client.call('showHost', { params: { host } });
        return found.maintenance?.isEmpty === true && found.vmPids.length === 0;
      });
    };
    await counted(t, life, 'emptied of the live copy', () => empty('host1'));
    const { primary, shadow } = await cluster.state('redis', 'running');
    assert.deepEqual([primary?.host, shadow?.host].sort(), ['host2', 'host3']);
    await maintenance('host1', false);
    await counted(t, life, 'emptied of the shadow', () => empty(shadow!.host));
    const moved = await cluster.state('redis', 'running');
    assert.deepEqual([moved.primary?.host, moved.shadow?.host], [primary?.host, 'host1']);
    assert.equal(moved.divergences, 0);
    await maintenance(shadow!.host, false);
  });

  test('protection returns by itself: a shadow is lost, then the last one, then a host is back', async (t) => {
    const { cluster } = life;
    const { generation, shadow } = await cluster.ft('redis');
    const since = (from: number) => `${Math.round(performance.now() - from)} ms`;
    const lostAt = performance.now();
    await cluster.kill(shadow!.host);
    await cluster.until('a new shadow', async () => {
      const now = await cluster.ft('redis');
      return now.state === 'running' && now.generation > generation;
    });
    t.diagnostic(`protected ${since(lostAt)} after the host of its shadow was killed`);
    const second = await cluster.ft('redis');
    await cluster.kill(second.shadow!.host);
    await cluster.state('redis', 'needShadow');
    await cluster.until('the alarm', async () => {
      const alarms = await cluster.client.call('listAlarms');
      return alarms.some(({ kind, vm }) => kind === 'ft-need-shadow' && vm === 'redis');
    });
    await cluster.daemon('host', shadow!.host);
    const backAt = performance.now();
    await cluster.state('redis', 'running');
    t.diagnostic(`protected ${since(backAt)} after a host came back`);
    await counted(t, life, 'afterwards', async () => {});
    assert.ok(
      !(await cluster.client.call('listAlarms')).some(({ kind }) => kind === 'ft-divergence'),
    );
  });
});
