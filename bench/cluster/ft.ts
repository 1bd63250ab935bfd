/**
 * `ft`: what protection costs a guest, on two hosts of one machine.
 *
 * One VM (the recipe `redis`) is protected and unprotected in turn; each round measures it both ways,
 * the first of them in turn, so a round gives one ratio of one and the same process. The live copy is
 * held to one CPU and the shadow to another where the machine has two; clients, gateway and daemons
 * run where the kernel puts them.
 *
 * `cpuRatio`: seconds unprotected over seconds protected of a computation in the guest (`compute`),
 * each in proportion to those of a second VM, which is never protected and has its turns in between
 * on the same CPU (in-turns.ts); of the fastest quarter of each one's turns, since a machine's other
 * users make it half as slow again for seconds. `cpuRatioOfAll`: the same of all turns.
 * `neighbourRatio`: the same of the unprotected VM, with a third one that
 * computes in the shadow's place (neighbour.ts): what two busy cores of one machine cost each other.
 * `redisRatio`: requests a second protected over unprotected, 50 clients with 16 requests each under
 * way. `gateLatencyMs`: what protection adds to the median reply of one client with one request at a
 * time. `roundTripMs`: of a message over mutual TLS between two processes here, as the log channel
 * has it. Log rates are of bytes on the wire from the primary to the shadow, by the kernel's
 * counters: idle, and while the guest computes. `lagMs`: as the center tells it while it computes.
 */
import type { Bench, BenchOptions } from '../bench.ts';
import { need } from '../machine/needs.ts';
import { allowedCpus, pin } from '../machine/pinning.ts';
import {
  type Distribution,
  distribution,
  type Interval,
  median,
  medianInterval,
} from '../statistics.ts';
import { inTurns, overBeside, quietOverBeside } from './in-turns.ts';
import { type Neighbour, withNeighbour } from './neighbour.ts';
import { cpuSeconds } from './processes.ts';
import { compute, type LoadResult, redisBenchmark } from './redis.ts';
import { roundTrips } from './round-trip.ts';
import { onStage, type RedisVm, type Stage, sleep } from './stage.ts';
import { sockets, wireBytes } from './wire.ts';

const roundsDefault = 5;
/** A second of work, and two. */
const hashes = { turn: 100_000, alone: 200_000 } as const;
const turns = 12;
const idleMs = 4_000;
/** A shadow begins with nothing translated, and slows its primary until it keeps up. */
const warmUpMs = 8_000;
const oneAtATime = { test: 'incr', clients: 1, pipeline: 1, requests: 4_000 } as const;
const pipelined = { test: 'incr', clients: 50, pipeline: 16, requests: 20_000 } as const;

interface FtDocument {
  readonly cpuRatio: number;
  readonly redisRatio: number;
  readonly gateLatencyMs: Distribution;
  readonly roundTripMs: number;
  readonly idleLogMbitPerSecond: number;
  readonly busyLogMbitPerSecond: number;
  readonly lagMs: Distribution;
  readonly rounds: number;
  /** Of `cpuRatio`, by the sign test. */
  readonly cpuRatioInterval: Interval;
  readonly cpuRatioOfAll: number;
  /** As `cpuRatio`, of the unprotected VM beside a third one; null where CPUs are not held. */
  readonly neighbourRatio: number | null;
  /** As `cpuRatio`, by CPU time of the primary's process: what waits for a CPU does not count. */
  readonly coreSecondsRatio: number;
  /** Requests a second of one client with one request at a time, protected over unprotected. */
  readonly redisOneAtATimeRatio: number;
  /** Median reply of that client, milliseconds. */
  readonly replyMs: { readonly unprotected: number; readonly protected: number };
  /** The CPUs that primary and shadow were held to, or null. */
  readonly cpus: readonly number[] | null;
}

/** What a client has. */
interface Replies {
  readonly single: LoadResult;
  readonly pipelined: LoadResult;
}

interface Computing {
  /** Of the computation, over those of the VM beside: of the fastest turns, and of all. */
  readonly seconds: number;
  readonly secondsOfAll: number;
  /** CPU time of the live copy's process, over that of the VM beside. */
  readonly coreSeconds: number;
  readonly results: readonly string[];
}

type Side = Computing & Replies;

interface Unprotected extends Side {
  /** As `seconds`, while the shadow's CPU is busy; undefined where none is set apart. */
  readonly besideNeighbour?: number;
}

interface Log {
  readonly idleMbit: number;
  readonly busyMbit: number;
  readonly lagMs: readonly number[];
}

async function measure(options: BenchOptions): Promise<FtDocument> {
  need('redis-tools', 'iproute2');
  const [primaryCpu, shadowCpu] = allowedCpus();
  return onStage({ hosts: 2, images: ['redis'] }, (stage) => {
    if (primaryCpu === undefined || shadowCpu === undefined) return measureOn(stage, options, null);
    return withNeighbour(shadowCpu, (neighbour) =>
      measureOn(stage, options, { primaryCpu, shadowCpu, neighbour }),
    );
  });
}

interface Held {
  readonly primaryCpu: number;
  readonly shadowCpu: number;
  /** On the shadow's CPU. */
  readonly neighbour: Neighbour;
}

async function measureOn(
  stage: Stage,
  { rounds = roundsDefault, progress }: BenchOptions,
  held: Held | null,
): Promise<FtDocument> {
  const vm = await stage.startRedis();
  const beside = await stage.startRedis({ name: 'beside' });
  if (held) for (const one of [vm, beside]) pin(await one.primaryPid(), held.primaryCpu);
  progress('Redis answers');
  for (const one of [beside, vm]) await warmUp(one);
  const off: Unprotected[] = [];
  const on: (Side & { log: Log })[] = [];
  const unprotected = async (): Promise<void> => {
    const side = await measured(vm, beside);
    if (!held) return void off.push(side);
    const { results, seconds } = await computing(vm, beside, held.neighbour.during);
    off.push({ ...side, results: [...side.results, ...results], besideNeighbour: seconds });
  };
  const withProtection = async (): Promise<void> => {
    const { primary, shadow } = await vm.protect();
    if (held) pin(shadow, held.shadowCpu);
    await warmUp(vm);
    const idleMbit = await logMbit(primary, shadow, () => sleep(idleMs));
    const busy = await whileBusy(vm, primary, shadow);
    on.push({ ...(await measured(vm, beside)), log: { idleMbit, ...busy } });
    await vm.unprotect();
  };
  for (let round = 1; round <= rounds; round++) {
    const sides = [unprotected, withProtection];
    for (const side of round % 2 === 1 ? sides : sides.reverse()) await side();
    const [without, protectedSide] = [off.at(-1)!, on.at(-1)!];
    progress(`round ${round} of ${rounds}: ${roundText(without, protectedSide)}`);
  }
  const trips = await roundTrips(stage.folder, 'host1', 'host2');
  return documentOf(off, on, median(trips), held && [held.primaryCpu, held.shadowCpu]);
}

const measured = async (vm: RedisVm, beside: RedisVm): Promise<Side> => ({
  ...(await computing(vm, beside)),
  ...(await replies(vm)),
});

/** @param during does what is to go on while the first one computes */
async function computing(
  vm: RedisVm,
  beside: RedisVm,
  during = <T>(act: () => Promise<T>): Promise<T> => act(),
): Promise<Computing> {
  const act = (of: RedisVm) => () => computed(of, hashes.turn);
  const seen = await inTurns(turns, () => during(act(vm)), act(beside));
  return {
    seconds: quietOverBeside(seen, ({ seconds }) => seconds),
    secondsOfAll: overBeside(seen, ({ seconds }) => seconds),
    coreSeconds: quietOverBeside(seen, ({ coreSeconds }) => coreSeconds),
    results: [...seen.own, ...seen.beside].map(({ result }) => result),
  };
}

async function computed(vm: RedisVm, count: number) {
  const pid = await vm.primaryPid();
  const before = cpuSeconds(pid);
  const done = await compute(vm.port, count);
  return { ...done, coreSeconds: cpuSeconds(pid) - before };
}

async function replies({ port }: RedisVm): Promise<Replies> {
  const single = await redisBenchmark(port, oneAtATime);
  return { single, pipelined: await redisBenchmark(port, pipelined) };
}

async function warmUp(vm: RedisVm): Promise<void> {
  for (const end = performance.now() + warmUpMs; performance.now() < end; ) {
    await computed(vm, hashes.alone);
    await replies(vm);
  }
}

/** The center is asked while the guest computes: that shares its CPUs. */
async function whileBusy(vm: RedisVm, primary: number, shadow: number) {
  const lagMs: number[] = [];
  const watch = setInterval(async () => {
    const { shadow: seen } = await vm.status().catch(() => ({ shadow: null }));
    if (seen !== null) lagMs.push(seen.lagMs);
  }, 200);
  const busyMbit = await logMbit(primary, shadow, async () => {
    await computed(vm, hashes.alone);
  });
  clearInterval(watch);
  return { busyMbit, lagMs };
}

/** Mbit/s on the wire from the primary to the shadow while something goes on. */
async function logMbit(primary: number, shadow: number, act: () => Promise<void>): Promise<number> {
  const before = wireBytes(sockets(), primary, shadow);
  const start = performance.now();
  await act();
  const seconds = (performance.now() - start) / 1000;
  const after = wireBytes(sockets(), primary, shadow);
  if (before === 0 || after < before) {
    throw new Error('the shadow was lost in the middle of the bench: is this machine too busy?');
  }
  return ((after - before) * 8) / seconds / 1e6;
}

function roundText(off: Side, on: Side): string {
  const reply = `${off.single.medianMs.toFixed(2)} and ${on.single.medianMs.toFixed(2)} ms a reply`;
  const pipe = (on.pipelined.perSecond / off.pipelined.perSecond).toFixed(2);
  const cpu = (off.seconds / on.seconds).toFixed(3);
  const ofAll = (off.secondsOfAll / on.secondsOfAll).toFixed(3);
  return `computing at ${cpu} (${ofAll} of all turns), pipelined at ${pipe} of unprotected, ${reply}`;
}

function documentOf(
  off: readonly Unprotected[],
  on: readonly (Side & { readonly log: Log })[],
  roundTripMs: number,
  cpus: readonly number[] | null,
): FtDocument {
  const results = new Set([...off, ...on].flatMap((side) => side.results));
  if (results.size !== 1) throw new Error(`one computation had several results: ${[...results]}`);
  const ratios = (of: (side: Side) => number): number[] =>
    on.map((side, round) => of(side) / of(off[round]!));
  const speeds = ratios(({ seconds }) => 1 / seconds);
  const reply = (sides: readonly Side[]): number =>
    median(sides.map(({ single }) => single.medianMs));
  return {
    cpuRatio: median(speeds),
    redisRatio: median(ratios(({ pipelined: { perSecond } }) => perSecond)),
    gateLatencyMs: distribution(
      on.map(({ single }, round) => single.medianMs - off[round]!.single.medianMs),
    ),
    roundTripMs,
    idleLogMbitPerSecond: median(on.map(({ log }) => log.idleMbit)),
    busyLogMbitPerSecond: median(on.map(({ log }) => log.busyMbit)),
    lagMs: distribution(on.flatMap(({ log }) => log.lagMs)),
    rounds: on.length,
    cpuRatioInterval: medianInterval(speeds),
    cpuRatioOfAll: median(ratios(({ secondsOfAll }) => 1 / secondsOfAll)),
    neighbourRatio:
      cpus === null ? null : median(off.map((side) => side.seconds / side.besideNeighbour!)),
    coreSecondsRatio: median(ratios(({ coreSeconds }) => 1 / coreSeconds)),
    redisOneAtATimeRatio: median(ratios(({ single: { perSecond } }) => perSecond)),
    replyMs: { unprotected: reply(off), protected: reply(on) },
    cpus,
  };
}

function show(all: FtDocument): string {
  const { cpuRatioInterval, gateLatencyMs: gate, replyMs, lagMs, cpus } = all;
  const { interval, confidence } = cpuRatioInterval;
  const range = `${interval.map((end) => end.toFixed(3)).join(' to ')} with ${(confidence * 100).toFixed(0)} %`;
  const replies = `${replyMs.unprotected.toFixed(3)} ms unprotected, ${replyMs.protected.toFixed(3)} ms protected`;
  return [
    `protected over unprotected, ${all.rounds} rounds, ${cpus === null ? 'not pinned' : `primary on CPU ${cpus[0]}, shadow on CPU ${cpus[1]}`}`,
    `computing               ${all.cpuRatio.toFixed(3)} (${range}), by CPU time ${all.coreSecondsRatio.toFixed(3)}`,
    `  all turns             ${all.cpuRatioOfAll.toFixed(3)}`,
    `  beside a third VM     ${all.neighbourRatio?.toFixed(3) ?? 'not measured'}, unprotected`,
    `redis, pipelined        ${all.redisRatio.toFixed(3)}`,
    `redis, one at a time    ${all.redisOneAtATimeRatio.toFixed(3)}: ${replies}`,
    `added to a reply        ${gate.median.toFixed(3)} ms (${gate.min.toFixed(3)} to ${gate.max.toFixed(3)}); round trip ${all.roundTripMs.toFixed(3)} ms`,
    `log                     ${all.idleLogMbitPerSecond.toFixed(4)} Mbit/s idle, ${all.busyLogMbitPerSecond.toFixed(3)} computing`,
    `lag while computing     ${lagMs.median.toFixed(1)} ms (${lagMs.min.toFixed(1)} to ${lagMs.max.toFixed(1)})`,
  ].join('\n');
}

export const ft: Bench = { rows: [], measure, show };
