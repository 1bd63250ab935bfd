/**
 * `ft`: what protection costs a guest, on two hosts of one machine.
 *
 * Two VMs (the recipe `redis`) take turns, one protected and the other not, and then change places
 * (crossover.ts). Where the machine has two CPUs both live copies are held to one, and the shadow to
 * another; clients, gateway and daemons run where the kernel puts them.
 *
 * `cpuRatio`: seconds unprotected over seconds protected of a computation in the guest (`compute`),
 * of the fastest quarter of the turns, since a machine's other users make it half as slow again for
 * seconds. `cpuRatioOfAll`: the same of all turns. `neighbourRatio`: seconds of the unprotected VM
 * alone over those beside a third one, which computes in the shadow's place (neighbour.ts): what two
 * busy cores of one machine cost each other, and two hosts do not. `cpuRatioBothBusy`: `cpuRatio`
 * over such turns, so of what is left. `redisRatio`: requests a second protected over
 * unprotected, 50 clients with 16 requests each under way. `gateLatencyMs`: what protection adds to
 * the median reply of one client with one request at a time. `roundTripMs`: of a message over mutual
 * TLS between two processes here, as the log channel has it. Log rates are of bytes on the wire from
 * the primary to the shadow, by the kernel's counters: idle, and while the guest computes. `lagMs`:
 * as the center tells it while it computes.
 */
import type { Bench, BenchOptions } from '../bench.ts';
import { need } from '../machine/needs.ts';
import { allowedCpus, pin } from '../machine/pinning.ts';
import {
  type Distribution,
  distribution,
  type Interval,
  mean,
  median,
  medianInterval,
} from '../statistics.ts';
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
import { type Neighbour, withNeighbour } from './neighbour.ts';
import { cpuSeconds } from './processes.ts';
import { compute, type LoadResult, redisBenchmark } from './redis.ts';
import { roundTrips } from './round-trip.ts';
import { onStage, type RedisVm, type Stage, sleep } from './stage.ts';
import { sockets, wireBytes } from './wire.ts';

const roundsDefault = 3;
/** A second of work, and two. */
const hashes = { turn: 100_000, alone: 200_000 } as const;
const turns = { computing: 12, replies: 2 } as const;
const idleMs = 4_000;
/** A shadow begins with nothing translated, and slows its primary until it keeps up. */
const warmUpMs = 8_000;
const oneAtATime = { test: 'incr', clients: 1, pipeline: 1, requests: 2_000 } as const;
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
  /** As `cpuRatio`, over the unprotected VM beside a third one; null likewise. */
  readonly cpuRatioBothBusy: number | null;
  /** As `cpuRatio`, by CPU time of the live copy's process: what waits for a CPU does not count. */
  readonly coreSecondsRatio: number;
  /** Requests a second of one client with one request at a time, protected over unprotected. */
  readonly redisOneAtATimeRatio: number;
  /** Median reply of that client, milliseconds. */
  readonly replyMs: Copies<number>;
  /** The CPUs that the copy at work and its shadow were held to, or null. */
  readonly cpus: readonly number[] | null;
}

interface Computed {
  readonly seconds: number;
  /** CPU time of the live copy's process. */
  readonly coreSeconds: number;
  readonly result: string;
}

interface Log {
  readonly idleMbit: number;
  readonly busyMbit: number;
  readonly lagMs: readonly number[];
}

interface Computing extends Copies<readonly Computed[]> {
  /** The unprotected one, while a third VM computes in the shadow's place; none where CPUs are not held. */
  readonly besideThird?: readonly Computed[];
}

/** What each side's turns have given. */
interface Period {
  readonly log: Log;
  readonly computing: Computing;
  readonly single: Copies<readonly LoadResult[]>;
  readonly pipelined: Copies<readonly LoadResult[]>;
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
  const vms = [
    await stage.startRedis({ name: 'one' }),
    await stage.startRedis({ name: 'other' }),
  ] as const;
  progress('Redis answers');
  for (const vm of vms) await warmUp(vm);
  const seen = await crossover(
    vms,
    { rounds, progress },
    (places) => periodOf(places, held),
    periodText,
  );
  const trips = await roundTrips(stage.folder, 'host1', 'host2');
  return documentOf(seen, median(trips), held && [held.primaryCpu, held.shadowCpu]);
}

async function periodOf(places: Places, held: Held | null): Promise<Period> {
  const { protected: on, unprotected: off, pids } = places;
  const both = <Turn>(act: (vm: RedisVm) => Promise<Turn>) => ({
    protected: () => act(on),
    unprotected: () => act(off),
  });
  if (held) {
    pin(pids.shadow, held.shadowCpu);
    // Both of them: what rests takes the same from either, and nothing from the shadow.
    for (const pid of [pids.protected, pids.unprotected]) pin(pid, held.primaryCpu);
  }
  await warmUp(on);
  const computing = both(computed);
  return {
    log: await logOf(places),
    computing: held
      ? await inTurns(turns.computing, {
          ...computing,
          besideThird: () => held.neighbour.during(computing.unprotected),
        })
      : await inTurns(turns.computing, computing),
    single: await inTurns(
      turns.replies,
      both(({ port }) => redisBenchmark(port, oneAtATime)),
    ),
    pipelined: await inTurns(
      turns.replies,
      both(({ port }) => redisBenchmark(port, pipelined)),
    ),
  };
}

async function computed(vm: RedisVm, count: number = hashes.turn): Promise<Computed> {
  const pid = await vm.primaryPid();
  const before = cpuSeconds(pid);
  const done = await compute(vm.port, count);
  return { ...done, coreSeconds: cpuSeconds(pid) - before };
}

async function warmUp(vm: RedisVm): Promise<void> {
  for (const end = performance.now() + warmUpMs; performance.now() < end; ) {
    await computed(vm, hashes.alone);
    for (const load of [oneAtATime, pipelined]) await redisBenchmark(vm.port, load);
  }
}

async function logOf({ protected: vm, pids }: Places): Promise<Log> {
  const mbit = (act: () => Promise<unknown>) => logMbit(pids.protected, pids.shadow, act);
  const idleMbit = await mbit(() => sleep(idleMs));
  const lagMs: number[] = [];
  // The center is asked while the guest computes: that shares its CPUs.
  const watch = setInterval(async () => {
    const { shadow } = await vm.status().catch(() => ({ shadow: null }));
    if (shadow !== null) lagMs.push(shadow.lagMs);
  }, 200);
  try {
    return { idleMbit, busyMbit: await mbit(() => computed(vm, hashes.alone)), lagMs };
  } finally {
    clearInterval(watch);
  }
}

/** Mbit/s on the wire from the primary to the shadow while something goes on. */
async function logMbit(
  primary: number,
  shadow: number,
  act: () => Promise<unknown>,
): Promise<number> {
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

const replyMs = (turns: readonly LoadResult[]): number => mean(turns.map((turn) => turn.medianMs));
const perSecond = (turns: readonly LoadResult[]): number =>
  mean(turns.map((turn) => turn.perSecond));
const seconds = (turns: readonly Computed[]): number[] => turns.map((turn) => turn.seconds);
const coreSeconds = (turns: readonly Computed[]): number[] => turns.map((turn) => turn.coreSeconds);

/** What is told of a period, speeds protected over unprotected. */
const ratios = {
  cpu: ({ computing }: Period) => 1 / over(computing, (turns) => quiet(seconds(turns))),
  cpuOfAll: ({ computing }: Period) => 1 / over(computing, (turns) => mean(seconds(turns))),
  cpuBothBusy: ({ computing }: Period) =>
    quiet(seconds(computing.besideThird!)) / quiet(seconds(computing.protected)),
  neighbour: ({ computing }: Period) =>
    quiet(seconds(computing.unprotected)) / quiet(seconds(computing.besideThird!)),
  coreSeconds: ({ computing }: Period) => 1 / over(computing, (turns) => quiet(coreSeconds(turns))),
  single: ({ single }: Period) => over(single, perSecond),
  pipelined: ({ pipelined }: Period) => over(pipelined, perSecond),
} as const;

function periodText(period: Period): string {
  const text = (ratio: (of: Period) => number): string => ratio(period).toFixed(3);
  const busy = period.computing.besideThird
    ? `, ${text(ratios.cpuBothBusy)} with both CPUs busy`
    : '';
  const { single } = period;
  const [off, on] = [single.unprotected, single.protected].map((turns) =>
    replyMs(turns).toFixed(2),
  );
  const pipe = ratios.pipelined(period).toFixed(2);
  return `computing at ${text(ratios.cpu)} (${text(ratios.cpuOfAll)} of all turns${busy}), pipelined at ${pipe} of unprotected, ${off} and ${on} ms a reply`;
}

function documentOf(
  rounds: readonly Round<Period>[],
  roundTripMs: number,
  cpus: readonly number[] | null,
): FtDocument {
  const periods = rounds.flat();
  const results = new Set(
    periods
      .flatMap(({ computing: { protected: on, unprotected: off, besideThird = [] } }) => [
        ...on,
        ...off,
        ...besideThird,
      ])
      .map(({ result }) => result),
  );
  if (results.size !== 1) throw new Error(`one computation had several results: ${[...results]}`);
  const ratio = (of: (period: Period) => number): number => median(ratiosOf(rounds, of));
  const speeds = ratiosOf(rounds, ratios.cpu);
  const reply = (copy: Copy): number => median(periods.map(({ single }) => replyMs(single[copy])));
  return {
    cpuRatio: median(speeds),
    redisRatio: ratio(ratios.pipelined),
    gateLatencyMs: distribution(
      // Of both periods: what one VM's replies take longer than the other's is in neither's favour.
      rounds.map((round) =>
        mean(round.map(({ single }) => replyMs(single.protected) - replyMs(single.unprotected))),
      ),
    ),
    roundTripMs,
    idleLogMbitPerSecond: median(periods.map(({ log }) => log.idleMbit)),
    busyLogMbitPerSecond: median(periods.map(({ log }) => log.busyMbit)),
    lagMs: distribution(periods.flatMap(({ log }) => log.lagMs)),
    rounds: rounds.length,
    cpuRatioInterval: medianInterval(speeds),
    cpuRatioOfAll: ratio(ratios.cpuOfAll),
    neighbourRatio: cpus && ratio(ratios.neighbour),
    cpuRatioBothBusy: cpus && ratio(ratios.cpuBothBusy),
    coreSecondsRatio: ratio(ratios.coreSeconds),
    redisOneAtATimeRatio: ratio(ratios.single),
    replyMs: { protected: reply('protected'), unprotected: reply('unprotected') },
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
    `  both CPUs busy        ${all.cpuRatioBothBusy?.toFixed(3) ?? 'not measured'}; an unprotected VM beside a third one ${all.neighbourRatio?.toFixed(3) ?? 'not measured'} of its own alone`,
    `redis, pipelined        ${all.redisRatio.toFixed(3)}`,
    `redis, one at a time    ${all.redisOneAtATimeRatio.toFixed(3)}: ${replies}`,
    `added to a reply        ${gate.median.toFixed(3)} ms (${gate.min.toFixed(3)} to ${gate.max.toFixed(3)}); round trip ${all.roundTripMs.toFixed(3)} ms`,
    `log                     ${all.idleLogMbitPerSecond.toFixed(4)} Mbit/s idle, ${all.busyLogMbitPerSecond.toFixed(3)} computing`,
    `lag while computing     ${lagMs.median.toFixed(1)} ms (${lagMs.min.toFixed(1)} to ${lagMs.max.toFixed(1)})`,
  ].join('\n');
}

export const ft: Bench = { rows: [], measure, show };
