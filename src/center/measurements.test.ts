/** What charts are drawn from: rates of both copies over time, and how a shadow went live. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VmStatus } from '../api/agent.ts';
import { measuredNames, measurementStepMs } from '../api/measurements.ts';
import { TestHost, until } from './cluster.fixture.ts';
import { InProcessCenter } from './in-process.fixture.ts';
import { Rates } from './rates.ts';
import { wentLiveOf } from './report-words.ts';

describe('measurements of a VM', () => {
  let center: InProcessCenter;
  let host: TestHost;
  before(async () => {
    center = await InProcessCenter.start();
    center.addImage('tiny');
    host = await TestHost.join(center, 'a');
    await host.connect();
  });
  after(async () => {
    host.close();
    assert.deepEqual(center.bugs, []);
    await center.close();
  });

  test('none while it is off; one every two seconds while it runs', async () => {
    const client = center.client();
    const { id } = await client.call('createVm', { body: { name: 'web', image: 'tiny' } });
    const read = (query = {}) => client.call('listMeasurements', { params: { vm: 'web' }, query });
    assert.deepEqual((await read()).times, []);
    await client.call('startVm', { params: { vm: 'web' }, body: {} });
    const { fenced, acceptStale } = await host.order('start');
    assert.ok((await host.ask(id, { kind: 'start', fenced, acceptStale })).granted);
    const began = performance.now();
    const report = (): void => {
      const seconds = (performance.now() - began) / 1000;
      const bytesReceived = Math.round(125_000 * seconds);
      host.report(id, 'live', {
        ...{ cpuMicros: Math.round(500_000 * seconds), residentBytes: 2 ** 26 },
        network: { bytesReceived, bytesSent: 0, framesReceived: 0, framesSent: 0 },
      });
    };
    const saying = setInterval(report, 200);
    try {
      const seen = await until('two moments', async () => {
        const view = await read();
        return view.times.length >= 2 ? view : undefined;
      });
      const last = seen.times.length - 1;
      for (const name of measuredNames) assert.equal(seen[name].length, seen.times.length, name);
      assert.equal(seen.stepMs, measurementStepMs);
      assert.equal(seen.memoryBytes[last], 2 ** 26);
      // Timers are late now and then; the rate is what was said over what has passed.
      assert.ok(seen.cpuPercent[last]! > 20 && seen.cpuPercent[last]! < 80);
      assert.ok(seen.receivedMbitPerSecond[last]! > 0.4 && seen.receivedMbitPerSecond[last]! < 1.6);
      assert.equal(seen.shadowCpuPercent[last], null, 'there is no shadow');
      assert.equal(seen.lagMs[last], null);
      await sleep(20);
      const asked = Date.now();
      const { times: recent } = await read({ seconds: 1 });
      const answered = Date.now();
      assert.ok(recent.every((at) => at >= asked - 1000));
      const { times: all } = await read();
      assert.ok(all.some((at) => at < asked - 1000));
      const isCertain = (at: number) => at >= answered - 1000 && at <= asked;
      assert.deepEqual(recent.filter(isCertain), all.filter(isCertain));
    } finally {
      clearInterval(saying);
    }
  });

  test('images: what a VM can be created from, with its digest', async () => {
    const client = center.client();
    const [image, ...others] = await client.call('listImages');
    assert.deepEqual(others, []);
    assert.equal(image?.name, 'tiny');
    const { imageDigest } = await client.call('showVm', { params: { vm: 'web' } });
    assert.equal(image.digest, imageDigest);
  });
});

test('a total that began anew gives no rate below zero; an older host tells less', () => {
  const rates = new Rates();
  const status = (logBytesSent: number, changes: Partial<VmStatus> = {}): VmStatus => ({
    ...{ vm: 'v', pid: 1, process: 'p', role: 'live', count: '0', epoch: 1, generation: 1 },
    ...{ ftState: 'running', lagMs: 0, logBytesSent, fingerprintsCompared: 0, divergences: 0 },
    ...changes,
  });
  rates.learn(status(1_000_000), 0);
  rates.learn(status(1_125_000), 1_000);
  assert.equal(rates.of('p').logMbitPerSecond, 1);
  assert.equal(rates.of('p').readBytesPerSecond, null);
  rates.learn(status(10), 1_200);
  assert.equal(rates.of('p').logMbitPerSecond, null);
  const disk = (bytesRead: number) => ({ bytesRead, bytesWritten: 0, reads: 0, writes: 0 });
  rates.learn(status(10, { disk: disk(0) }), 1_400);
  rates.learn(status(10, { disk: disk(4_096) }), 3_400);
  rates.learn(status(10, { disk: disk(8_192) }), 4_400);
  assert.equal(rates.of('p').readBytesPerSecond, 4_096);
});

test('a go-live is told in words and as data, with what an older host leaves out', () => {
  const told = wentLiveOf('web', 'b', {
    ...{ kind: 'went-live', generation: 3, resent: 2, cause: 'silent' },
    ...{ detectionMicros: 700_000, interruptionMicros: 731_250 },
  });
  assert.deepEqual(told, {
    text: "web went live on b, 731.25 ms after the primary's last sign: the primary was silent",
    ...{ generation: 3, cause: 'silent', detectionMs: 700, interruptionMs: 731.25, resent: 2 },
  });
  const { text } = wentLiveOf('web', 'b', { kind: 'went-live', generation: 3, resent: 0 });
  assert.equal(text, 'web went live on b');
});
