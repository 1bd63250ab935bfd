/**
 * One seed: build a cluster, let everything go wrong for a while, heal it, and see whether it is
 * well again. The machine is a parameter; the toy is the default.
 */
import type { MachineMaker } from '../machine/machine.ts';
import type { Checker } from './checkers/checker.ts';
import { NoDivergence } from './checkers/no-divergence.ts';
import { OneHistory } from './checkers/one-history.ts';
import { OneLive } from './checkers/one-live.ts';
import { OutputRule } from './checkers/output-rule.ts';
import { ReplicasEqual } from './checkers/replicas-equal.ts';
import { Clients } from './clients.ts';
import { Cluster } from './cluster.ts';
import { Faults } from './faults.ts';
import type { Sabotage } from './sabotage.ts';
import { Scheduler } from './scheduler.ts';
import { ToyMaker } from './toy-machine.ts';

export interface SimulationResult {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly trace: readonly string[];
  readonly answers: number;
  readonly goLives: number;
  readonly coldStarts: number;
  readonly restarts: number;
  readonly events: number;
  readonly simulatedSeconds: number;
}

const second = 1_000_000;

export interface SimulationOptions {
  readonly sabotage?: Sabotage;
  /** Which disks there are, and whether they are shared; by default the seed decides. */
  readonly disks?: readonly boolean[];
  /** Of shared disks. */
  readonly leaseMs?: number;
  readonly maker?: (disks: number, clients: number) => MachineMaker;
}

export function simulate(seed: number, options: SimulationOptions = {}): SimulationResult {
  const scheduler = new Scheduler(seed);
  const { random } = scheduler;
  const clients = random.between(1, 4);
  const picked = random.pick([[false], [false], [false, false], [true], [true], [false, true]]);
  const disks = options.disks ?? picked;
  const leaseMs = random.pick([undefined, 400, 1_000]);
  const period = random.pick([40_000, 200_000, 1_000_000]);
  const burst = random.pick([2_000, 50_000, 800_000]);
  const maker =
    options.maker?.(disks.length, clients) ??
    new ToyMaker({ clients, disks: disks.length, period, burst });
  const checkers: Checker[] = [
    new OneLive(),
    new OutputRule(),
    new OneHistory(),
    new NoDivergence(),
    new ReplicasEqual(),
  ];
  const cluster = new Cluster(
    scheduler,
    {
      maker,
      hosts: random.between(2, 3),
      disks: disks.map((shared) => ({ shared })),
      leaseMs: disks.every(Boolean) ? (options.leaseMs ?? leaseMs) : undefined,
      sabotage: options.sabotage,
    },
    checkers,
  );
  cluster.network.lossOfDatagrams = 0.01;
  cluster.center();
  const world = new Clients(cluster, clients);
  run(cluster, world);
  const answers = world.answered.reduce((sum, count) => sum + count, 0);
  const { goLives, coldStarts, restarts, violations } = cluster;
  const { events, traced } = scheduler;
  const simulatedSeconds = scheduler.now / second;
  return {
    seed,
    violations,
    trace: traced,
    answers,
    goLives,
    coldStarts,
    restarts,
    events,
    simulatedSeconds,
  };
}

function run(cluster: Cluster, world: Clients): void {
  const { scheduler } = cluster;
  const { random } = scheduler;
  const until = (time: number) => {
    for (let next = scheduler.now; next < time && cluster.violations.length === 0; ) {
      next = Math.min(time, next + second / 10);
      scheduler.runUntil(next);
    }
  };
  until(second);
  const faults = new Faults(cluster, random.pick([30_000, 150_000, 500_000, 1_500_000]));
  until(scheduler.now + random.between(1, 5) * second);
  faults.healAll();
  scheduler.trace('--- all faults are healed ---');
  checkLiveness(cluster, world, until);
  world.stopped = true;
  until(scheduler.now + 2 * second);
  if (cluster.violations.length === 0) for (const one of cluster.checkers) one.atEnd(cluster);
  if (cluster.violations.length === 0 && random.chance(0.3)) powerOff(cluster, until);
}

/** After faults heal somebody is live, answers everyone, and is protected again. */
function checkLiveness(cluster: Cluster, world: Clients, until: (time: number) => void): void {
  const { scheduler } = cluster;
  const before = [...world.answered];
  until(scheduler.now + 6 * second);
  const isProtected = () => cluster.live?.copy.status()?.state === 'running';
  for (let more = 0; more < 100 && !isProtected(); more++) until(scheduler.now + second / 10);
  if (cluster.violations.length > 0) return;
  for (const [client, answers] of world.answered.entries()) {
    if (answers >= before[client]! + 3) continue;
    cluster.violation('liveness', `client ${client} had ${answers - before[client]!} answers`);
  }
  if (!isProtected()) {
    const state = JSON.stringify(cluster.live?.copy.status());
    cluster.violation('liveness', `not protected again: ${state}`);
  }
}

/** A power-off by order never looks like a failure: both copies end, and nobody takes over. */
function powerOff(cluster: Cluster, until: (time: number) => void): void {
  cluster.off = true;
  cluster.scheduler.trace('--- power-off ---');
  const { goLives, live } = cluster;
  live?.deliver(() => live.copy.control('power-off'));
  live?.wake(cluster.scheduler.now);
  until(cluster.scheduler.now + 3 * second);
  const { state } = cluster.entry.record;
  if (state !== 'stopped') cluster.violation('power-off', `the record says ${state}`);
  if (cluster.goLives !== goLives) cluster.violation('power-off', 'a shadow took over');
  const left = cluster.processes.filter(({ alive }) => alive).map(({ name }) => name);
  if (left.length > 0) cluster.violation('power-off', `still there: ${left.join(', ')}`);
}
