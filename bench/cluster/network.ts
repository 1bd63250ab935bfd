/**
 * `network`: what a guest's network costs with protection and without, and beside QEMU.
 *
 * The guest is the recipe `redis`; redis-benchmark sends it values of 100 KB (receive) and asks for
 * them (send) over one connection with four requests under way, through the gateway's published
 * port, and through QEMU's user network in the same run. Rates are of values alone. One VM is
 * protected and unprotected in turn, so a round gives ratios of one and the same process.
 *
 * `coreSecondsRatio`: CPU time of the primary's VM process for a megabyte, protected over
 * unprotected; what the daemon's switch and the gateway use is the same both ways. `rawRatio`: rate
 * protected over unprotected. `oneAtATime`: small requests a second, one at a time, unprotected.
 *
 * At full speed a megabyte costs less the faster it comes, since more of it arrives together. So
 * `atSameRate` has the cost of a megabyte, and its ratio, at one rate for both. A machine's speed
 * drifts by more than what is to be seen here, within the minute that lies between a VM with and
 * without protection: so the ratio is that of what it costs in proportion to a second one, which is
 * never protected and has its turns in between (in-turns.ts); of the cheapest quarter of each one's
 * turns, since the machine's other users only ever add to them.
 */
import type { Bench, BenchOptions } from '../bench.ts';
import { need } from '../machine/needs.ts';
import { mean, median } from '../statistics.ts';
import { inTurns, quietOverBeside } from './in-turns.ts';
import { cpuSeconds } from './processes.ts';
import { startQemuRedis } from './qemu.ts';
import { atPace, redisBenchmark } from './redis.ts';
import { onStage, type RedisVm } from './stage.ts';

const roundsDefault = 3;
const valueBytes = 100_000;
/** Way of the values as the guest sees it -> redis-benchmark's test. */
const tests = { receive: 'set', send: 'get' } as const;
type Way = keyof typeof tests;
const ways = Object.keys(tests) as Way[];
const bulk = { clients: 1, pipeline: 4, requests: 300, bytes: valueBytes } as const;
/** 100 Mbit/s, which every side reaches. */
const steady = { bytes: valueBytes, perSecond: 125, seconds: 1 } as const;
const steadyTurns = { warming: 2, measured: 16 } as const;
const oneAtATime = { test: 'incr', clients: 1, pipeline: 1, requests: 4_000 } as const;
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
  readonly coreSecondsPerMegabyte: Costs;
  readonly atSameRate: {
    /** The slower side's. */
    readonly mbit: number;
    readonly coreSecondsRatio: number;
    readonly coreSecondsPerMegabyte: Costs;
  };
}

interface Costs {
  readonly unprotected: number;
  readonly protected: number;
}

interface NetworkDocument extends Readonly<Record<Way, WayDocument>> {
  readonly oneAtATime: {
    readonly perSecond: number;
    readonly qemu: number;
    readonly vsQemu: number;
  };
  readonly rounds: number;
}

interface Rate {
  readonly mbit: number;
  readonly coreSecondsPerMegabyte: number;
}

/** As fast as it goes, and small requests. */
interface FullSpeed extends Readonly<Record<Way, Rate>> {
  readonly perSecond: number;
}

interface SteadyRate extends Rate {
  /** CPU time for a megabyte, over that of the VM beside in the turns between, of the cheapest of each. */
  readonly overBeside: number;
}

interface Side extends FullSpeed {
  readonly steady: Readonly<Record<Way, SteadyRate>>;
}

async function measure({ rounds = roundsDefault, progress }: BenchOptions) {
  need('redis-tools', 'qemu-system-misc');
  return onStage({ hosts: 2, images: ['redis'] }, async (stage): Promise<NetworkDocument> => {
    const vm = await stage.startRedis();
    const beside = await served(await stage.startRedis({ name: 'beside' }));
    const reference = await startQemuRedis();
    progress('Redis answers, here and under QEMU');
    const load = async (one: Served, turns: number): Promise<Side> => ({
      ...(await fullSpeed(one)),
      steady: await steadily(one, beside, turns),
    });
    const withProtection = async (): Promise<Side> => {
      const { primary: pid } = await vm.protect();
      const one = { port: vm.port, pid };
      // A shadow begins with nothing translated, and slows its primary until it keeps up.
      for (let times = 0; times < 2; times++) await load(one, steadyTurns.warming);
      const side = await load(one, steadyTurns.measured);
      await vm.unprotect();
      return side;
    };
    // What is warm in the end is measured, on either machine.
    for (const { port } of [vm, beside, reference]) await redisBenchmark(port, warming);
    for (const one of [beside, reference]) await fullSpeed(one);
    await load(await served(vm), steadyTurns.warming);
    const off: Side[] = [];
    const on: Side[] = [];
    const qemu: FullSpeed[] = [];
    const sides = {
      unprotected: async () => off.push(await load(await served(vm), steadyTurns.measured)),
      protected: async () => on.push(await withProtection()),
      qemu: async () => qemu.push(await fullSpeed(reference)),
    };
    const order = Object.keys(sides) as (keyof typeof sides)[];
    for (let round = 1; round <= rounds; round++) {
      for (const side of round % 2 === 1 ? order : order.toReversed()) {
        await sides[side]();
        progress(`round ${round} of ${rounds}: ${side}`);
      }
    }
    reference.end();
    return documentOf(off, on, qemu);
  });
}

/** A Redis at a port, and the process whose CPU time counts; QEMU's does not. */
interface Served {
  readonly port: number;
  readonly pid?: number;
}

const served = async (vm: RedisVm): Promise<Served> => ({
  port: vm.port,
  pid: await vm.primaryPid(),
});

/** @param act returns how many values it has moved */
async function rateOf({ pid }: Served, act: () => Promise<number>): Promise<Rate> {
  const used = (): number => (pid === undefined ? 0 : cpuSeconds(pid));
  const [before, start] = [used(), performance.now()];
  const megabytes = ((await act()) * valueBytes) / 1e6;
  const seconds = (performance.now() - start) / 1000;
  return {
    mbit: (megabytes * 8) / seconds,
    coreSecondsPerMegabyte: (used() - before) / megabytes,
  };
}

async function fullSpeed(one: Served): Promise<FullSpeed> {
  const fast = async (way: Way): Promise<Rate> => {
    let perSecond = 0;
    const seen = await rateOf(one, async () => {
      perSecond = (await redisBenchmark(one.port, { ...bulk, test: tests[way] })).perSecond;
      return bulk.requests;
    });
    return { ...seen, mbit: (perSecond * valueBytes * 8) / 1e6 };
  };
  const receive = await fast('receive');
  const send = await fast('send');
  const { perSecond } = await redisBenchmark(one.port, oneAtATime);
  return { receive, send, perSecond };
}

/** At one rate, in turns. */
async function steadily(
  one: Served,
  beside: Served,
  turns: number,
): Promise<Readonly<Record<Way, SteadyRate>>> {
  const paced = async (way: Way): Promise<SteadyRate> => {
    const act = (of: Served) => (): Promise<Rate> =>
      rateOf(of, () => atPace(of.port, { ...steady, test: tests[way] }));
    const seen = await inTurns(turns, act(one), act(beside));
    return {
      mbit: mean(seen.own.map(({ mbit }) => mbit)),
      coreSecondsPerMegabyte: mean(seen.own.map((rate) => rate.coreSecondsPerMegabyte)),
      overBeside: quietOverBeside(seen, (rate) => rate.coreSecondsPerMegabyte),
    };
  };
  return { receive: await paced('receive'), send: await paced('send') };
}

export function documentOf(
  off: readonly Side[],
  on: readonly Side[],
  qemu: readonly FullSpeed[],
): NetworkDocument {
  const over = <Of>(of: (side: Of) => number, these: readonly Of[], those: readonly Of[]): number =>
    median(these.map((side, round) => of(side) / of(those[round]!)));
  const figure = <Of>(of: (side: Of) => number, sides: readonly Of[]): number =>
    median(sides.map(of));
  const way = (name: Way): WayDocument => {
    const mbit = (side: FullSpeed): number => side[name].mbit;
    const cost = (side: Side): number => side[name].coreSecondsPerMegabyte;
    const steadyCost = (side: Side): number => side.steady[name].coreSecondsPerMegabyte;
    const costs = (of: (side: Side) => number): Costs => ({
      unprotected: figure(of, off),
      protected: figure(of, on),
    });
    return {
      unprotectedMbit: figure(mbit, off),
      protectedMbit: figure(mbit, on),
      rawRatio: over(mbit, on, off),
      coreSecondsRatio: over(cost, on, off),
      qemuMbit: figure(mbit, qemu),
      vsQemu: over(mbit, off, qemu),
      coreSecondsPerMegabyte: costs(cost),
      atSameRate: {
        mbit: Math.min(...[...off, ...on].map((side) => side.steady[name].mbit)),
        coreSecondsRatio: over((side) => side.steady[name].overBeside, on, off),
        coreSecondsPerMegabyte: costs(steadyCost),
      },
    };
  };
  const perSecond = (side: FullSpeed): number => side.perSecond;
  return {
    receive: way('receive'),
    send: way('send'),
    oneAtATime: {
      perSecond: figure(perSecond, off),
      qemu: figure(perSecond, qemu),
      vsQemu: over(perSecond, off, qemu),
    },
    rounds: off.length,
  };
}

function show({ oneAtATime: one, rounds, ...all }: NetworkDocument): string {
  const head = ['Mbit/s', 'protected', 'raw ratio', 'core seconds', 'same rate', 'QEMU', 'vs QEMU'];
  const cells = (values: readonly string[]): string =>
    values.map((value) => value.padStart(14)).join('');
  const line = (way: Way): string => {
    const { unprotectedMbit, protectedMbit, qemuMbit, vsQemu, ...other } = all[way];
    const [rates, ratios] = [
      [unprotectedMbit, protectedMbit],
      [other.rawRatio, other.coreSecondsRatio, other.atSameRate.coreSecondsRatio],
    ];
    return (
      `guest ${way}s`.padEnd(18) +
      cells([
        ...rates.map((value) => value.toFixed(0)),
        ...ratios.map((value) => value.toFixed(3)),
        qemuMbit.toFixed(0),
        vsQemu.toFixed(2),
      ])
    );
  };
  return [
    `${rounds} rounds`.padEnd(18) + cells(head),
    ...ways.map(line),
    `one at a time: ${one.perSecond.toFixed(0)} a second, QEMU ${one.qemu.toFixed(0)}: ${one.vsQemu.toFixed(2)}`,
  ].join('\n');
}

export const network: Bench = { rows: [], measure, show };
