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
import { crossover, inTurns, ratiosOf } from '../../bench/cluster/crossover.ts';
import { documentOf, type FailoverDocument } from '../../bench/cluster/failover.ts';
import { documentOf as networkDocument } from '../../bench/cluster/network.ts';
import { countPresent, cpuSeconds, linearMemory } from '../../bench/cluster/processes.ts';
import { parseBenchmark } from '../../bench/cluster/redis.ts';
import type { RedisVm } from '../../bench/cluster/stage.ts';
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
  const since = process.cpuUsage();
  for (let { user } = since; user < since.user + 60_000; { user } = process.cpuUsage());
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

test('turns go to and fro, so that no side is always the first', async () => {
  const order: string[] = [];
  const side = (name: string) => async () => {
    order.push(name);
    return order.length;
  };
  const seen = await inTurns(3, { one: side('one'), other: side('other') });
  assert.deepEqual(order, ['one', 'other', 'other', 'one', 'one', 'other']);
  assert.deepEqual(seen, { one: [1, 4, 5], other: [2, 3, 6] });
});

test('a crossover: each VM is protected once in a round, beside the other one', async () => {
  const said: string[] = [];
  const vm = (name: string, pid: number) =>
    ({
      name,
      protect: async () => {
        said.push(`protect ${name}`);
        return { primary: pid, shadow: pid + 1 };
      },
      primaryPid: async () => pid,
      unprotect: async () => said.push(`unprotect ${name}`),
    }) as unknown as RedisVm;
  const rounds = await crossover(
    [vm('one', 10), vm('other', 20)],
    { rounds: 2, progress: (line) => said.push(line) },
    async (places, number) => {
      said.push(`${number}: ${places.protected.name} beside ${places.unprotected.name}`);
      return places.pids;
    },
    (pids) => `primary ${pids.protected}`,
  );
  const period = (number: number, one: string, other: string) => [
    ...[`protect ${one}`, `${number}: ${one} beside ${other}`],
    `period ${number + 1} of 4: primary ${one === 'one' ? 10 : 20}`,
    `unprotect ${one}`,
  ];
  assert.deepEqual(said, [
    ...[...period(0, 'one', 'other'), ...period(1, 'other', 'one')],
    ...[...period(2, 'other', 'one'), ...period(3, 'one', 'other')],
  ]);
  assert.deepEqual(rounds[0], [
    { protected: 10, shadow: 11, unprotected: 20 },
    { protected: 20, shadow: 21, unprotected: 10 },
  ]);
});

test('a round of a crossover is without what one VM has and the other has not', () => {
  // One takes half as long again as the other; protection takes a tenth.
  const [one, other] = [1.5, 1];
  const rounds = [
    [(1.1 * one) / other, (1.1 * other) / one],
    [(1.1 * other) / one, (1.1 * one) / other],
  ] as const;
  for (const ratio of ratiosOf(rounds, (period) => period)) assert.ok(near(ratio, 1.1));
});

test('network: ratios are of rounds, costs protected over unprotected', () => {
  const turn = (mbit: number, coreSecondsPerMegabyte: number) => ({ mbit, coreSecondsPerMegabyte });
  /** @param slow how much slower the protected VM would be without protection */
  const period = (slow: number) => {
    const values = {
      protected: [turn(50 / slow, 0.22 * slow)],
      unprotected: [turn(100, 0.2)],
      qemu: [turn(50, 1)],
    };
    // The last turn of each was disturbed.
    const paced = {
      protected: [0.3, 0.3, 0.3, 0.9].map((cost) => turn(9, cost * slow)),
      unprotected: [0.25, 0.25, 0.25, 0.3].map((cost) => turn(10, cost)),
    };
    const twice = ({ mbit, coreSecondsPerMegabyte }: ReturnType<typeof turn>) =>
      turn(2 * mbit, 2 * coreSecondsPerMegabyte);
    const sent = {
      protected: values.protected.map(twice),
      unprotected: values.unprotected.map(twice),
      qemu: values.qemu,
    };
    return {
      values: { receive: values, send: sent },
      small: { protected: [500], unprotected: [900, 1000, 1100], qemu: [800] },
      steady: { receive: paced, send: { ...paced, protected: paced.unprotected } },
    };
  };
  const rounds = [[period(2), period(1 / 2)] as const];
  const { receive, send, oneAtATime } = networkDocument(rounds);
  assert.ok(near(receive.rawRatio, 0.5));
  assert.ok(near(receive.coreSecondsRatio, 1.1));
  assert.equal(receive.vsQemu, 2);
  assert.equal(receive.unprotectedMbit, 100);
  assert.equal(send.unprotectedMbit, 200);
  assert.equal(send.vsQemu, 4);
  assert.equal(send.coreSecondsPerMegabyte.unprotected, 0.4);
  assert.equal(send.atSameRate.mbit, 10);
  assert.equal(send.atSameRate.coreSecondsRatio, 1);
  assert.equal(oneAtATime.vsQemu, 1.25);
  assert.equal(receive.atSameRate.mbit, 9);
  assert.ok(near(receive.atSameRate.coreSecondsRatio, 1.2));
  assert.ok(near(receive.atSameRate.coreSecondsRatioOfAll, 0.45 / 0.2625));
  assert.equal(receive.atSameRate.coreSecondsPerMegabyte.unprotected, 0.25);
  // The median of the two VMs, of which one is four times as slow as the other.
  assert.ok(near(receive.atSameRate.coreSecondsPerMegabyte.protected, (0.6 + 0.15) / 2));
});

const near = (value: number, wanted: number): boolean => Math.abs(value - wanted) < 1e-9;

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
