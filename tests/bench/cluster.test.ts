/**
 * The benches of protection: what they read of the kernel and of redis-benchmark, how rounds become
 * a document, and one failover the whole way as a user starts it.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'node:test';
import { documentOf, type FailoverDocument } from '../../bench/cluster/failover.ts';
import { documentOf as networkDocument } from '../../bench/cluster/network.ts';
import { countPresent, cpuSeconds, linearMemory } from '../../bench/cluster/processes.ts';
import { parseBenchmark } from '../../bench/cluster/redis.ts';
import { headerBytes, parseSockets, wireBytes } from '../../bench/cluster/wire.ts';
import { cpuList } from '../../bench/machine/pinning.ts';
import { percentile } from '../../bench/statistics.ts';
import type { FailoverReport } from '../../src/cli/demo/failover.ts';
import { imagesMissing } from '../system/umbra.fixture.ts';

test('a percentile is the smallest value that so many do not exceed', () => {
  const hundred = Array.from({ length: 100 }, (_, at) => 100 - at);
  assert.equal(percentile(hundred, 0.99), 99);
  assert.equal(percentile(hundred, 1), 100);
  assert.equal(percentile([5, 3], 0.99), 5);
  assert.equal(percentile([7], 0.5), 7);
});

test('the kernel lists CPUs alone and in ranges', () => {
  assert.deepEqual(cpuList('0-1'), [0, 1]);
  assert.deepEqual(cpuList('0,2-4,9'), [0, 2, 3, 4, 9]);
  assert.deepEqual(cpuList(''), []);
});

test('redis-benchmark: the row of the last test, by the names of its columns', () => {
  const lines = [
    '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms"',
    '"INCR","1234.50","0.791","0.400","0.711","1.5"',
    '',
  ];
  assert.deepEqual(parseBenchmark(lines.join('\n')), { perSecond: 1234.5, medianMs: 0.711 });
  assert.throws(() => parseBenchmark('Could not connect'), /has not said rps/);
});

test('wire bytes are those of the connections between two processes, with headers', () => {
  const socket = (ends: string, pid: number, sent: number, segments: number): string =>
    `0 0 ${ends} users:(("MainThread",pid=${pid},fd=22))\n` +
    `\t cubic wscale:7,7 rto:204 rtt:0.05/0.02 bytes_sent:${sent} bytes_acked:${sent} segs_out:${segments} segs_in:9 data_segs_out:4`;
  const sockets = parseSockets(
    [
      socket('127.0.0.1:4000 127.0.0.1:5000', 1, 1000, 10),
      socket('127.0.0.1:5000 127.0.0.1:4000', 2, 70, 7),
      socket('127.0.0.1:4001 127.0.0.1:443', 1, 99_999, 99),
      socket('127.0.0.1:5001 127.0.0.1:443', 2, 99_999, 99),
    ].join('\n'),
  );
  assert.equal(sockets.length, 4);
  assert.equal(wireBytes(sockets, 1, 2), 1000 + 10 * headerBytes);
  assert.equal(wireBytes(sockets, 2, 1), 70 + 7 * headerBytes);
  assert.equal(wireBytes(sockets, 1, 3), 0);
});

test('linear memory is the writable mapping of its size, and its pages are counted', () => {
  const maps = [
    '7f0000000000-7f0000010000 rw-p 00000000 00:00 0 ',
    '7f1000000000-7f1000020000 r--p 00000000 00:00 0 ',
    '7f2000000000-7f2000020000 rw-p 00000000 00:00 0 ',
    '7f2000020000-7f2200000000 ---p 00000000 00:00 0 ',
  ].join('\n');
  assert.equal(linearMemory(maps, 0x20000), 0x7f2000000000);
  assert.equal(linearMemory(maps, 0x30000), undefined);
  const entries = Buffer.alloc(4 * 8);
  entries.writeBigUInt64LE(1n << 63n, 8);
  entries.writeBigUInt64LE(1n << 62n, 16);
  entries.writeBigUInt64LE(1n << 55n, 24);
  assert.equal(countPresent(entries), 2);
});

test('CPU time is that of all threads, and grows with work', () => {
  const before = cpuSeconds(process.pid);
  for (const end = performance.now() + 60; performance.now() < end; );
  const used = cpuSeconds(process.pid) - before;
  assert.ok(used > 0 && used < 5, `${used} s`);
  assert.throws(() => cpuSeconds(2 ** 30), /is gone/);
});

test('rounds of failovers: sums of what must be none, distributions of the rest', () => {
  const report = (gapMs: number, lost = 0): FailoverReport => ({
    ...{ kind: 'kill', from: 'host1', to: 'host2', fingerprintsCompared: 1, requestsBefore: 1 },
    ...{ requestsAfter: 1, repeated: 0, connectionsReset: 0, lost, gapMs },
    ...{ interruptionMs: gapMs / 2, detectMs: gapMs / 4, reprotectedMs: 10 * gapMs },
  });
  const document = documentOf('kill', [report(40), report(80, 2), report(60)], 1);
  assert.equal(document.lost, 2);
  assert.equal(document.divergences, 1);
  assert.deepEqual(document.gapMs, { median: 60, min: 40, max: 80, rounds: 3, p99: 80 });
  assert.equal(document.reprotectedMs.median, 600);
});

test('network: ratios are of pairs, costs protected over unprotected', () => {
  const side = (
    mbit: number,
    coreSecondsPerMegabyte: number,
    perSecond: number,
    overBeside: number,
  ) => ({
    receive: { mbit, coreSecondsPerMegabyte },
    send: { mbit: 2 * mbit, coreSecondsPerMegabyte },
    perSecond,
    steady: {
      receive: { mbit: 10, coreSecondsPerMegabyte: 2 * coreSecondsPerMegabyte, overBeside },
      send: { mbit: 9, coreSecondsPerMegabyte, overBeside },
    },
  });
  const off = [side(100, 0.1, 1000, 0.9), side(200, 0.2, 1000, 1)];
  const on = [side(50, 0.11, 500, 1.08), side(100, 0.22, 500, 1.2)];
  const { receive, send, oneAtATime } = networkDocument(off, on, [
    side(50, 0, 800, 0),
    side(100, 0, 800, 0),
  ]);
  assert.equal(receive.rawRatio, 0.5);
  assert.ok(Math.abs(receive.coreSecondsRatio - 1.1) < 1e-9);
  assert.equal(receive.vsQemu, 2);
  assert.equal(send.unprotectedMbit, 300);
  assert.equal(oneAtATime.vsQemu, 1.25);
  assert.equal(send.atSameRate.mbit, 9);
  assert.ok(Math.abs(receive.atSameRate.coreSecondsPerMegabyte.protected - 0.33) < 1e-9);
  // In proportion to the VM beside.
  assert.ok(Math.abs(receive.atSameRate.coreSecondsRatio - 1.2) < 1e-9);
});

const program = resolve(import.meta.dirname, '../../bench/main.ts');

test('npm run bench -- failover --rounds 1 --json', async (t) => {
  const missing = await imagesMissing('redis');
  if (missing) return t.skip(missing);
  const child = spawn(process.execPath, [program, 'failover', '--rounds', '1', '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGTERM'));
  const [[code], said, wrong] = await Promise.all([
    once(child, 'exit') as Promise<[number | null]>,
    text(child.stdout),
    text(child.stderr),
  ]);
  assert.equal(code, 0, wrong);
  const document = JSON.parse(said) as FailoverDocument;
  const { kind, rounds, lost, repeated, connectionsReset, divergences } = document;
  assert.deepEqual([kind, rounds], ['kill', 1]);
  assert.deepEqual([lost, repeated, connectionsReset, divergences], [0, 0, 0, 0]);
  assert.ok(document.detectMs.median > 0);
  assert.ok(document.interruptionMs.max <= document.gapMs.max);
  assert.ok(document.reprotectedMs.median > document.detectMs.median);
});

test('wrong usage of a bench is told, and exits 2', async () => {
  for (const [args, why] of [
    [['failover', '--kind', 'flood'], /--kind is kill or silence/],
    [['ft', '--kind', 'kill'], /--kind is an option of failover/],
    [['scale', '--vms', '0'], /--vms takes a positive number/],
    [['network', 'receive'], /network has no row receive; it has none/],
  ] as const) {
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const [[code], wrong] = await Promise.all([once(child, 'exit'), text(child.stderr)]);
    assert.equal(code, 2);
    assert.match(wrong, why);
  }
});
