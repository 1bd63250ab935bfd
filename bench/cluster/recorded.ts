/**
 * What a recording and a flight recorder cost a VM that serves: the recipe `redis` on one host,
 * unprotected, in one process for all rounds. A round measures each load plain, recorded, and with a
 * flight recorder, the first of the three in turn; so it gives one ratio for each.
 */
import type { BenchOptions } from '../bench.ts';
import { need } from '../machine/needs.ts';
import {
  type Distribution,
  distribution,
  type Interval,
  median,
  medianInterval,
} from '../statistics.ts';
import { cpuSeconds } from './processes.ts';
import { compute, redisBenchmark } from './redis.ts';
import { onStage, type RedisVm, type Stage, sleep } from './stage.ts';

export const recordedLoads = ['compute', 'small', 'receive'] as const;
export type RecordedLoad = (typeof recordedLoads)[number];
type Way = 'plain' | 'recording' | 'flight';

/**
 * How much is done at a time: five seconds of work and more, so that a recording's next snapshot, and
 * the first stores into pages behind it, have their share in it.
 */
const loads: Readonly<Record<RecordedLoad, (port: number) => Promise<unknown>>> = {
  compute: async (port) => {
    for (let time = 0; time < 10; time++) await compute(port, 40_000);
  },
  small: (port) => redisBenchmark(port, { test: 'incr', clients: 1, pipeline: 1, requests: 5_000 }),
  receive: (port) =>
    redisBenchmark(port, { test: 'set', clients: 1, pipeline: 4, requests: 1_600, bytes: 100_000 }),
};
const warmUps = 2;
const flightMinutes = 1;
/** Its snapshot is behind it then. */
const settleMs = 1_500;

export interface CostRow extends Interval {
  /** Of the ring or the recording: what was done a second, over the same without. */
  readonly onOverOff: number;
  /** The same by CPU time of the VM's process. */
  readonly coreSecondsRatio: number;
}

export interface RecordedRow {
  readonly name: RecordedLoad;
  readonly seconds: Distribution;
  readonly recording: CostRow & { readonly bytesPerSecond: number };
  readonly flight: CostRow;
}

interface Side {
  readonly seconds: number;
  readonly coreSeconds: number;
  readonly bytesPerSecond: number;
}

export async function recordedRows(
  names: readonly RecordedLoad[],
  rounds: number,
  progress: BenchOptions['progress'],
): Promise<RecordedRow[]> {
  if (names.length === 0) return [];
  need('redis-tools');
  return onStage({ hosts: 1, images: ['redis'] }, async (stage) => {
    const vm = await stage.startRedis();
    progress('Redis answers');
    const rows: RecordedRow[] = [];
    for (const name of names) {
      for (let at = 0; at < warmUps; at++) await loads[name](vm.port);
      rows.push(await rowOf(stage, vm, name, rounds, progress));
    }
    return rows;
  });
}

async function rowOf(
  stage: Stage,
  vm: RedisVm,
  name: RecordedLoad,
  rounds: number,
  progress: BenchOptions['progress'],
): Promise<RecordedRow> {
  const sides: Record<Way, Side[]> = { plain: [], recording: [], flight: [] };
  const ways = Object.keys(sides) as Way[];
  for (let round = 1; round <= rounds; round++) {
    for (let turn = 0; turn < ways.length; turn++) {
      const way = ways[(round + turn) % ways.length]!;
      sides[way].push(await measured[way](stage, vm, name));
    }
    const text = ways.map((way) => `${way} ${sides[way].at(-1)!.seconds.toFixed(2)} s`).join(', ');
    progress(`${name}, round ${round} of ${rounds}: ${text}`);
  }
  const cost = (way: Way): CostRow => {
    const ratios = sides.plain.map(({ seconds }, at) => seconds / sides[way][at]!.seconds);
    const core = sides.plain.map(
      ({ coreSeconds }, at) => coreSeconds / sides[way][at]!.coreSeconds,
    );
    return { onOverOff: median(ratios), coreSecondsRatio: median(core), ...medianInterval(ratios) };
  };
  const bytesPerSecond = median(sides.recording.map((side) => side.bytesPerSecond));
  return {
    name,
    seconds: distribution(sides.plain.map(({ seconds }) => seconds)),
    recording: { ...cost('recording'), bytesPerSecond },
    flight: cost('flight'),
  };
}

const measured: Readonly<
  Record<Way, (stage: Stage, vm: RedisVm, name: RecordedLoad) => Promise<Side>>
> = {
  plain: (_, vm, name) => load(vm, name),

  async recording({ cluster }, vm, name) {
    const { client } = cluster;
    const params = { vm: vm.name };
    const state = async () => (await client.call('listRecordings', { params })).at(-1);
    const recording = 'bench';
    await client.call('startRecording', { params, body: { name: recording } });
    await cluster.until('it is recorded', async () => (await state())?.state === 'recording');
    await sleep(settleMs);
    const side = await load(vm, name, async () => (await state())!.bytes);
    await client.call('stopRecording', { params: { ...params, recording } });
    await cluster.until('its recording ends', async () => (await state())?.state === 'ended');
    await client.call('deleteRecording', { params: { ...params, recording } });
    return side;
  },

  async flight({ cluster }, vm, name) {
    const params = { vm: vm.name };
    const set = (minutes: number | null) =>
      cluster.client.call('setFlight', { params, body: { minutes } });
    await set(flightMinutes);
    await sleep(settleMs);
    const side = await load(vm, name);
    await set(null);
    await sleep(settleMs);
    return side;
  },
};

async function load(
  vm: RedisVm,
  name: RecordedLoad,
  bytesNow: () => Promise<number> = async () => 0,
): Promise<Side> {
  const pid = await vm.primaryPid();
  const [bytesBefore, before, start] = [await bytesNow(), cpuSeconds(pid), performance.now()];
  await loads[name](vm.port);
  const seconds = (performance.now() - start) / 1000;
  const coreSeconds = cpuSeconds(pid) - before;
  return { seconds, coreSeconds, bytesPerSecond: ((await bytesNow()) - bytesBefore) / seconds };
}
