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
 * `atSameRate` has the cost of a megabyte, and its ratio, at one rate for both.
 */
import type { Bench, BenchOptions } from '../bench.ts';
import { need } from '../machine/needs.ts';
import { median } from '../statistics.ts';
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
const steady = { bytes: valueBytes, perSecond: 125, seconds: 4 } as const;
const oneAtATime = { test: 'incr', clients: 1, pipeline: 1, requests: 4_000 } as const;
/** A small request is 55,000 instructions, met once each: they are hot after some thousands. */
const warming = { ...oneAtATime, requests: 12_000 } as const;

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

interface Side extends Readonly<Record<Way, Rate>> {
  readonly perSecond: number;
  readonly steady: Readonly<Record<Way, Rate>>;
}

async function measure({ rounds = roundsDefault, progress }: BenchOptions) {
  need('redis-tools', 'qemu-system-misc');
  return onStage({ hosts: 2, images: ['redis'] }, async (stage): Promise<NetworkDocument> => {
    const vm = await stage.startRedis();
    const reference = await startQemuRedis();
    progress('Redis answers, here and under QEMU');
    const sides = {
      unprotected: async () => load(vm.port, await vm.primaryPid()),
      protected: () => withProtection(vm),
      qemu: () => load(reference.port, undefined),
    };
    // What is warm in the end is measured, on either machine.
    for (const port of [vm.port, reference.port]) await redisBenchmark(port, warming);
    await sides.unprotected();
    await sides.qemu();
    const seen: { [Name in keyof typeof sides]: Side[] } = {
      unprotected: [],
      protected: [],
      qemu: [],
    };
    const order = Object.keys(sides) as (keyof typeof sides)[];
    for (let round = 1; round <= rounds; round++) {
      for (const side of round % 2 === 1 ? order : order.toReversed()) {
        const one = await sides[side]();
        seen[side].push(one);
        const rates = ways.map((way) => `${way} ${one[way].mbit.toFixed(0)} Mbit/s`).join(', ');
        progress(`round ${round} of ${rounds}, ${side}: ${rates}`);
      }
    }
    reference.end();
    return documentOf(seen.unprotected, seen.protected, seen.qemu);
  });
}

async function withProtection(vm: RedisVm): Promise<Side> {
  const { primary } = await vm.protect();
  // A shadow begins with nothing translated, and slows its primary until it keeps up.
  for (let times = 0; times < 2; times++) await load(vm.port, primary);
  const side = await load(vm.port, primary);
  await vm.unprotect();
  return side;
}

/** @param pid of the process whose CPU time counts; QEMU's does not */
async function load(port: number, pid: number | undefined): Promise<Side> {
  const used = (): number => (pid === undefined ? 0 : cpuSeconds(pid));
  const rate = async (act: () => Promise<number>): Promise<Rate> => {
    const [before, start] = [used(), performance.now()];
    const megabytes = ((await act()) * valueBytes) / 1e6;
    const seconds = (performance.now() - start) / 1000;
    return {
      mbit: (megabytes * 8) / seconds,
      coreSecondsPerMegabyte: (used() - before) / megabytes,
    };
  };
  const fast = async (way: Way): Promise<Rate> => {
    let perSecond = 0;
    const seen = await rate(async () => {
      perSecond = (await redisBenchmark(port, { ...bulk, test: tests[way] })).perSecond;
      return bulk.requests;
    });
    return { ...seen, mbit: (perSecond * valueBytes * 8) / 1e6 };
  };
  const paced = (way: Way): Promise<Rate> =>
    rate(() => atPace(port, { ...steady, test: tests[way] }));
  const receive = await fast('receive');
  const send = await fast('send');
  const { perSecond } = await redisBenchmark(port, oneAtATime);
  const steadily = { receive: await paced('receive'), send: await paced('send') };
  return { receive, send, perSecond, steady: steadily };
}

export function documentOf(
  off: readonly Side[],
  on: readonly Side[],
  qemu: readonly Side[],
): NetworkDocument {
  const over = (
    of: (side: Side) => number,
    these: readonly Side[],
    those: readonly Side[],
  ): number => median(these.map((side, round) => of(side) / of(those[round]!)));
  const figure = (of: (side: Side) => number, sides: readonly Side[]): number =>
    median(sides.map(of));
  const way = (name: Way): WayDocument => {
    const mbit = (side: Side): number => side[name].mbit;
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
        coreSecondsRatio: over(steadyCost, on, off),
        coreSecondsPerMegabyte: costs(steadyCost),
      },
    };
  };
  const perSecond = (side: Side): number => side.perSecond;
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
