/**
 * A pair on unlike processors: the VM processes of one host are executed by this machine's Node,
 * those of the other by Node for ARM64 under the user-mode emulator. A Redis guest with two CPUs
 * goes from x86-64 to ARM64 and back while a client counts over one TCP connection.
 *
 * The emulated host is slower than the one it stands for, by a factor that is not the protocol's
 * concern: both copies have a slow clock (slow-clock.ts), by which nothing is slower than usual.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test, { type TestContext } from 'node:test';
import { CounterClient } from '../../src/cli/demo/counter-client.ts';
import { armNodeMissing, writeArmNode } from '../machine/arm-node.fixture.ts';
import { ProcessCluster } from './cluster.fixture.ts';
import { imagesMissing } from './umbra.fixture.ts';

const slowClock = ['--import', resolve(import.meta.dirname, 'slow-clock.ts')];
const vm = 'redis';
/** Between a reply and the next request: the emulated copy has to keep up. */
const pauseMs = 200;
/** What has to be compared, and counted, before the next thing happens. */
const comparisons = 1;
const replies = 5;

const waitMsMax = 120_000;

const skip = armNodeMissing() || (await imagesMissing('redis')) || false;

class Scene {
  readonly #cluster: ProcessCluster;
  readonly #client: CounterClient;
  readonly #test: TestContext;

  constructor(cluster: ProcessCluster, client: CounterClient, t: TestContext) {
    this.#cluster = cluster;
    this.#client = client;
    this.#test = t;
  }

  /** The client has what it waited for, and goes on. */
  async counted(): Promise<void> {
    const { replies: before } = this.#client;
    await this.#cluster.until('more replies', async () => {
      assert.equal(this.#client.problem, undefined);
      return this.#client.replies >= before + replies;
    });
    const { lost, repeated, connectionsReset } = this.#client;
    assert.deepEqual(
      { lost, repeated, connectionsReset },
      { lost: 0, repeated: 0, connectionsReset: 0 },
    );
  }

  /** Protected on the two hosts, the copies compared, no difference found. */
  async protected(primary: string, shadow: string): Promise<void> {
    const from = performance.now();
    await this.#cluster.until(
      'the pair to be protected',
      async () => (await this.#cluster.ft(vm)).state === 'running',
      waitMsMax,
    );
    const seconds = ((performance.now() - from) / 1000).toFixed(1);
    this.#test.diagnostic(`live on ${primary}, protected by ${shadow} after ${seconds} s`);
    await this.#cluster.until(
      'fingerprints',
      async () => {
        const ft = await this.#cluster.ft(vm);
        assert.equal(ft.divergences, 0);
        return ft.state === 'running' && ft.fingerprintsCompared >= comparisons;
      },
      waitMsMax,
    );
    const ft = await this.#cluster.ft(vm);
    assert.deepEqual([ft.primary?.host, ft.shadow?.host], [primary, shadow]);
  }

  /** The host of the primary is lost; the other one goes on. */
  async lose(lost: string, other: string): Promise<void> {
    await this.counted();
    const from = performance.now();
    await this.#cluster.killHost(lost);
    await this.#cluster.until(`${other} to be live`, async () => {
      const { primary } = await this.#cluster.ft(vm);
      return primary?.host === other;
    });
    await this.counted();
    const gapMs = Math.round(this.#client.longestGapMs(from, performance.now()));
    this.#test.diagnostic(`${lost} lost, live on ${other}: the client waited ${gapMs} ms`);
  }
}

/** On which processors a host has executed the VM, as its processes' logs say. */
function processors(folder: string): string[] {
  const [log] = globSync(join(folder, 'vms', '*', 'log'));
  const said = readFileSync(log!, 'utf8').matchAll(/by the tier \w+ on (\w+)/g);
  return [...new Set([...said].map(([, arch]) => arch!))];
}

test('from x86-64 to ARM64 and back, two CPUs, one connection', {
  skip,
  timeout: 300_000,
}, async (t) => {
  const cluster = await ProcessCluster.start();
  try {
    const slow = cluster.folderOf('node-x64');
    const words = [process.execPath, ...slowClock].map((word) => `'${word}'`).join(' ');
    writeFileSync(slow, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
    const x86 = (): Promise<void> => cluster.daemon('host', 'x86', [], { node: slow });
    const slowArm = writeArmNode(cluster.folderOf(''), ...slowClock);
    await x86();
    const port = await cluster.redis(vm, { cpus: 2, ft: false, host: 'x86' });
    await cluster.daemon('host', 'arm', [], { node: slowArm });
    const client = await CounterClient.connect(port, '127.0.0.1', pauseMs);
    const scene = new Scene(cluster, client, t);
    await cluster.client.call('turnFtOn', { params: { vm } });
    await scene.protected('x86', 'arm');
    await scene.lose('x86', 'arm');
    await x86();
    await scene.protected('arm', 'x86');
    await scene.lose('arm', 'x86');
    await client.stop();
    assert.deepEqual(processors(cluster.folderOf('x86')), ['x64']);
    assert.deepEqual(processors(cluster.folderOf('arm')), ['arm64']);
  } finally {
    await cluster.close();
  }
});
