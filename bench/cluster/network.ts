/**
 * `network`: what a guest's network costs with protection and without, and beside QEMU.
 *
 * The guest is the recipe `redis`; redis-benchmark sends it values of 100 KB (receive) and asks for
 * them (send) over one connection with four requests under way, through the gateway's published
 * port, and through QEMU's user network in turn. Rates are of values alone. Two VMs take turns, one
 * protected and the other not, and then change places (crossover.ts).
 *
 * `coreSecondsRatio`: CPU time of the primary's VM process for a megabyte, protected over
 * unprotected; what the daemon's switch and the gateway use is the same both ways. `rawRatio`: rate
 * protected over unprotected. `oneAtATime`: small requests a second, one at a time, unprotected.
 *
 * At full speed a megabyte costs less the faster it comes, since more of it arrives together. So
 * `atSameRate` has the cost of a megabyte, and its ratio, at one rate for both: of the cheapest
 * quarter of the turns, since a machine's other users only ever add to them, and of all beside it.
 */
import type { Bench, BenchOptions } from '../bench.ts';
import { need } from '../machine/needs.ts';
import { mean, median } from '../statistics.ts';
import {
  type Copies,
  type Copy,
  crossover,
  inTurns,
  over,
  type Places,
  quiet,
  type Round,
  ratiosOf,
} from './crossover.ts';
import { cpuSeconds } from './processes.ts';
import { type QemuRedis, startQemuRedis } from './qemu.ts';
import { atPace, redisBenchmark } from './redis.ts';
import { onStage } from './stage.ts';

const roundsDefault = 3;
const valueBytes = 100_000;
/** Way of the values as the guest sees it -> redis-benchmark's test. */
const tests = { receive: 'set', send: 'get' } as const;
type Way = keyof typeof tests;
const ways = Object.keys(tests) as Way[];
const bulk = { clients: 1, pipeline: 4, requests: 200, bytes: valueBytes } as const;
const oneAtATime = { test: 'incr', clients: 1, pipeline: 1, requests: 1_000 } as const;
/** As fast as it goes. */
const fastTurns = { warming: 1, measured: 5 } as const;
/** 100 Mbit/s, which every side reaches. */
const steady = { bytes: valueBytes, perSecond: 125, seconds: 1 } as const;
const steadyTurns = { warming: 2, measured: 12 } as const;
/** A small request is 55,000 instructions, met once each: which of them are hot shows after 24,000. */
const warming = { ...oneAtATime, requests: 24_000 } as const;

interface WayDocument {
  readonly unprotectedMbit: number;
  readonly protectedMbit: number;
  readonly rawRatio: number;
  readonly coreSecondsRatio: number;
  readonly qemuMbit: number;
  /** Unprotected, over QEMU's. */
  readonly vsQemu: number;
  readonly coreSecondsPerMegabyte: Copies<number>;
  readonly atSameRate: {
    /** Of the slowest side. */
    readonly mbit: number;
    readonly coreSecondsRatio: number;
    readonly coreSecondsRatioOfAll: number;
    readonly coreSecondsPerMegabyte: Copies<number>;
  };
}

interface NetworkDocument extends Readonly<Record<Way, WayDocument>> {
  readonly oneAtATime: {
    readonly perSecond: number;
    readonly qemu: number;
    readonly vsQemu: number;
  };
  readonly rounds: number;
}

type Side = Copy | 'qemu';

/** A Redis at a port, and its process. */
interface Served {
  readonly port: number;
  readonly pid: number;
}

/** One turn of values one way. */
interface Moved {
  readonly mbit: number;
  readonly coreSecondsPerMegabyte: number;
}

/** What each side's turns have given. */
interface FullSpeed {
  readonly values: Readonly<Record<Way, Readonly<Record<Side, readonly Moved[]>>>>;
  /** Small requests a second. */
  readonly small: Readonly<Record<Side, readonly number[]>>;
}

type Steady = Readonly<Record<Way, Copies<readonly Moved[]>>>;

interface Period extends FullSpeed {
  readonly steady: Steady;
}

async function measure({ rounds = roundsDefault, progress }: BenchOptions) {
  need('redis-tools', 'qemu-system-misc');
  return onStage({ hosts: 2, images: ['redis'] }, async (stage): Promise<NetworkDocument> => {
    const one = await stage.startRedis({ name: 'one' });
    const other = await stage.startRedis({ name: 'other' });
    const references = [await startQemuRedis(), await startQemuRedis()] as const;
    progress('Redis answers, here and under QEMU');
    // What is warm in the end is measured, on either machine.
    for (const { port } of [one, other, ...references]) await redisBenchmark(port, warming);
    const seen = await crossover(
      [one, other],
      { rounds, progress },
      (places, number) => periodOf(places, references[number % 2]!),
      periodText,
    );
    for (const reference of references) reference.end();
    return documentOf(seen);
  });
}

async function periodOf({ pids, ...vms }: Places, qemu: QemuRedis): Promise<Period> {
  const sides = {
    protected: { port: vms.protected.port, pid: pids.protected },
    unprotected: { port: vms.unprotected.port, pid: pids.unprotected },
    qemu,
  };
  // A shadow begins with nothing translated, and slows its primary until it keeps up.
  for (let times = 0; times < 2; times++) {
    await fullSpeed(sides, fastTurns.warming);
    await steadily(sides, steadyTurns.warming);
  }
  return {
    ...(await fullSpeed(sides, fastTurns.measured)),
    steady: await steadily(sides, steadyTurns.measured),
  };
}

/** @param act moves values, and tells how many and in what time */
async function moved(
  pid: number,
  act: () => Promise<{ readonly values: number; readonly seconds: number }>,
): Promise<Moved> {
  const before = cpuSeconds(pid);
  const { values, seconds } = await act();
  const megabytes = (values * valueBytes) / 1e6;
  return {
    mbit: (megabytes * 8) / seconds,
    coreSecondsPerMegabyte: (cpuSeconds(pid) - before) / megabytes,
  };
}

async function fullSpeed(sides: Readonly<Record<Side, Served>>, turns: number): Promise<FullSpeed> {
  const each = <Turn>(act: (one: Served) => Promise<Turn>) =>
    inTurns(turns, {
      protected: () => act(sides.protected),
      unprotected: () => act(sides.unprotected),
      qemu: () => act(sides.qemu),
    });
  const values = (way: Way) =>
    each(({ port, pid }) =>
      moved(pid, async () => {
        const { perSecond } = await redisBenchmark(port, { ...bulk, test: tests[way] });
        return { values: bulk.requests, seconds: bulk.requests / perSecond };
      }),
    );
  return {
    values: { receive: await values('receive'), send: await values('send') },
    small: await each(async ({ port }) => (await redisBenchmark(port, oneAtATime)).perSecond),
  };
}

async function steadily(sides: Copies<Served>, turns: number): Promise<Steady> {
  const paced =
    ({ port, pid }: Served, way: Way) =>
    (): Promise<Moved> =>
      moved(pid, async () => {
        const start = performance.now();
        const values = await atPace(port, { ...steady, test: tests[way] });
        return { values, seconds: (performance.now() - start) / 1000 };
      });
  const both = (way: Way) =>
    inTurns(turns, {
      protected: paced(sides.protected, way),
      unprotected: paced(sides.unprotected, way),
    });
  return { receive: await both('receive'), send: await both('send') };
}

const mbit = (turns: readonly Moved[]): number => median(turns.map((turn) => turn.mbit));
const costs = (turns: readonly Moved[]): number[] =>
  turns.map((turn) => turn.coreSecondsPerMegabyte);

const cost = (turns: readonly Moved[]): number => median(costs(turns));

/** What is told of a period, each as one over the other. */
const ratios = {
  raw: (way: Way) => (period: Period) => over(period.values[way], mbit),
  cost: (way: Way) => (period: Period) => over(period.values[way], cost),
  vsQemu: (way: Way) => (period: Period) =>
    mbit(period.values[way].unprotected) / mbit(period.values[way].qemu),
  steadyCost: (way: Way) => (period: Period) =>
    over(period.steady[way], (turns) => quiet(costs(turns))),
  steadyCostOfAll: (way: Way) => (period: Period) =>
    over(period.steady[way], (turns) => mean(costs(turns))),
  smallVsQemu: ({ small }: Period) => median(small.unprotected) / median(small.qemu),
} as const;

function periodText(period: Period): string {
  const way = (name: Way): string => {
    const [same, ofAll, raw, qemu] = [
      ratios.steadyCost(name),
      ratios.steadyCostOfAll(name),
      ratios.cost(name),
      ratios.vsQemu(name),
    ].map((ratio) => ratio(period).toFixed(2));
    return `${name} ${same} at one rate (${ofAll} of all turns), ${raw} at full speed, ${qemu} of QEMU`;
  };
  return `${ways.map(way).join('; ')}; small ${ratios.smallVsQemu(period).toFixed(2)} of QEMU`;
}

export function documentOf(rounds: readonly Round<Period>[]): NetworkDocument {
  const periods = rounds.flat();
  const ratio = (of: (period: Period) => number): number => median(ratiosOf(rounds, of));
  const figure = (of: (period: Period) => number): number => median(periods.map(of));
  const costsOf = (of: (period: Period, copy: Copy) => readonly Moved[]): Copies<number> => ({
    unprotected: figure((period) => cost(of(period, 'unprotected'))),
    protected: figure((period) => cost(of(period, 'protected'))),
  });
  const way = (name: Way): WayDocument => ({
    unprotectedMbit: figure(({ values }) => mbit(values[name].unprotected)),
    protectedMbit: figure(({ values }) => mbit(values[name].protected)),
    rawRatio: ratio(ratios.raw(name)),
    coreSecondsRatio: ratio(ratios.cost(name)),
    qemuMbit: figure(({ values }) => mbit(values[name].qemu)),
    vsQemu: ratio(ratios.vsQemu(name)),
    coreSecondsPerMegabyte: costsOf(({ values }, copy) => values[name][copy]),
    atSameRate: {
      mbit: Math.min(...periods.flatMap((period) => Object.values(period.steady[name]).map(mbit))),
      coreSecondsRatio: ratio(ratios.steadyCost(name)),
      coreSecondsRatioOfAll: ratio(ratios.steadyCostOfAll(name)),
      coreSecondsPerMegabyte: costsOf((period, copy) => period.steady[name][copy]),
    },
  });
  return {
    receive: way('receive'),
    send: way('send'),
    oneAtATime: {
      perSecond: figure(({ small }) => median(small.unprotected)),
      qemu: figure(({ small }) => median(small.qemu)),
      vsQemu: ratio(ratios.smallVsQemu),
    },
    rounds: rounds.length,
  };
}

function show({ oneAtATime: one, rounds, ...all }: NetworkDocument): string {
  const row = (name: string, cells: readonly string[]): string =>
    name.padEnd(16) + cells.map((cell) => cell.padStart(13)).join('');
  const columns: [string, (way: WayDocument) => string][] = [
    ['Mbit/s', ({ unprotectedMbit }) => unprotectedMbit.toFixed(0)],
    ['protected', ({ protectedMbit }) => protectedMbit.toFixed(0)],
    ['raw ratio', ({ rawRatio }) => rawRatio.toFixed(3)],
    ['core seconds', ({ coreSecondsRatio }) => coreSecondsRatio.toFixed(3)],
    ['same rate', ({ atSameRate }) => atSameRate.coreSecondsRatio.toFixed(3)],
    ['of all turns', ({ atSameRate }) => atSameRate.coreSecondsRatioOfAll.toFixed(3)],
    ['QEMU', ({ qemuMbit }) => qemuMbit.toFixed(0)],
    ['vs QEMU', ({ vsQemu }) => vsQemu.toFixed(2)],
  ];
  return [
    row(
      `${rounds} rounds`,
      columns.map(([name]) => name),
    ),
    ...ways.map((way) =>
      row(
        `guest ${way}s`,
        columns.map(([, cell]) => cell(all[way])),
      ),
    ),
    `one at a time: ${one.perSecond.toFixed(0)} a second, QEMU ${one.qemu.toFixed(0)}: ${one.vsQemu.toFixed(2)}`,
  ].join('\n');
}

export const network: Bench = { rows: [], measure, show };
