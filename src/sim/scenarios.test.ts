/**
 * The outcomes that the reference promises (FACTS 1), one by one, on a cluster where nothing else
 * goes wrong. What random faults make of them is simulation.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Report } from '../lockstep/status.ts';
import { timing } from '../lockstep/timing.ts';
import { Checker } from './checkers/checker.ts';
import { OneHistory } from './checkers/one-history.ts';
import { OneLive } from './checkers/one-live.ts';
import { OutputRule } from './checkers/output-rule.ts';
import { ReplicasEqual } from './checkers/replicas-equal.ts';
import { Clients } from './clients.ts';
import { Cluster } from './cluster.ts';
import { Scheduler } from './scheduler.ts';
import { ToyMaker } from './toy-machine.ts';

const second = 1_000_000;

/** The longest time in which no client got an answer. */
class Gap extends Checker {
  #last = 0;
  longest = 0;

  override released(cluster: Cluster, _from: unknown, output: { kind: string }): void {
    if (output.kind !== 'frame') return;
    this.longest = Math.max(this.longest, cluster.scheduler.now - this.#last);
    this.#last = cluster.scheduler.now;
  }
}

interface Setting {
  readonly hosts?: number;
  readonly clients?: number;
  readonly period?: number;
  readonly burst?: number;
}

/** A machine that computes nearly all the time, so that its shadow can lag. */
const computing: Setting = { period: 50_000, burst: 400_000 };

/** A protected machine with busy clients. */
function protectedCluster({ hosts = 3, clients = 4, period = 100_000, burst = 20_000 }: Setting) {
  const scheduler = new Scheduler(11);
  const maker = new ToyMaker({ clients: Math.max(1, clients), disks: 1, period, burst });
  const gap = new Gap();
  const rules = [new OneLive(), new OutputRule(), new OneHistory(), new ReplicasEqual()];
  const options = { maker, hosts, disks: [{ shared: false }], sabotage: undefined };
  const cluster = new Cluster(scheduler, options, [...rules, gap]);
  cluster.center();
  const world = new Clients(cluster, clients);
  scheduler.runUntil(2 * second);
  const primary = cluster.live!;
  const shadow = cluster.byMember(cluster.entry.record.eligibleShadow)!;
  assert.equal(primary.copy.status()!.state, 'running');
  gap.longest = 0;
  return { scheduler, cluster, world, primary, shadow, gap };
}

function well(cluster: Cluster): void {
  assert.deepEqual(cluster.violations, []);
  assert.equal(cluster.live?.copy.status()?.state, 'running');
}

/** What shadows report of their go-lives from now on. */
function goLives(cluster: Cluster): (Report & { kind: 'went-live' })[] {
  const seen: (Report & { kind: 'went-live' })[] = [];
  cluster.checkers[0]!.reported = (_cluster, _from, report) => {
    if (report.kind === 'went-live') seen.push(report);
  };
  return seen;
}

test('the primary process dies: the shadow goes live, and a new one is found', () => {
  const { scheduler, cluster, primary, shadow, gap } = protectedCluster({});
  const told = goLives(cluster);
  primary.die();
  for (const { ends } of cluster.network.connections) {
    for (const end of ends) if (end.owner === primary) end.abandon(false);
  }
  shadow.deliver(() => shadow.copy.trunk(false));
  scheduler.runUntil(4 * second);
  assert.equal(cluster.entry.record.live?.process, shadow.member.process);
  assert.ok(gap.longest < 320_000, `${gap.longest} us without an answer`);
  assert.equal(told[0]?.cause, 'closed');
  well(cluster);
});

test('an answer that the shadow had computed and nobody had sent goes out on go-live', () => {
  let resent = 0;
  for (let moment = 0; moment < 12; moment++) {
    const { scheduler, cluster, primary } = protectedCluster({});
    cluster.checkers[0]!.reported = (_cluster, _from, report) => {
      if (report.kind === 'went-live') resent += report.resent;
    };
    scheduler.runUntil(scheduler.now + 8_500 * moment);
    cluster.crash(cluster.host(primary.host));
    scheduler.runUntil(scheduler.now + second);
    assert.deepEqual(cluster.violations, []);
  }
  assert.ok(resent > 0);
});

test('the primary host falls silent: the shadow goes live within 0.8 s', () => {
  const { scheduler, cluster, primary, shadow, gap } = protectedCluster({});
  const told = goLives(cluster);
  cluster.crash(cluster.host(primary.host));
  scheduler.runUntil(4 * second);
  assert.equal(cluster.entry.record.live?.process, shadow.member.process);
  assert.ok(gap.longest < 900_000, `${gap.longest} us without an answer`);
  const [{ cause, detectionMicros, interruptionMicros }] = told as [(typeof told)[number]];
  assert.equal(cause, 'silent');
  assert.ok(detectionMicros >= timing.primarySilenceMicros, `lost after ${detectionMicros} us`);
  // What nobody answered for began with the last sign at the earliest.
  assert.ok(
    interruptionMicros >= detectionMicros && interruptionMicros <= gap.longest + second / 10,
  );
  well(cluster);
});

test('the log link is cut: no outage, and the primary stays', () => {
  const { scheduler, cluster, primary, shadow, gap } = protectedCluster({});
  cluster.network.cut(primary.host, shadow.host);
  scheduler.runUntil(4 * second);
  assert.equal(cluster.live, primary);
  assert.equal(shadow.copy.ended?.kind, 'lost-claim');
  // The simulated center draws the next shadow's host, and may draw the one that is cut off again.
  scheduler.runUntil(20 * second);
  assert.equal(cluster.live, primary);
  assert.ok(gap.longest < 700_000, `${gap.longest} us without an answer`);
  well(cluster);
});

test('the log link flaps: the pair goes on in the same generation', () => {
  const { scheduler, cluster } = protectedCluster({});
  const { generation } = cluster.entry.record;
  for (let flap = 0; flap < 20; flap++) {
    cluster.resetLinks();
    scheduler.runUntil(scheduler.now + 150_000);
  }
  assert.equal(cluster.entry.record.generation, generation);
  well(cluster);
});

test('the arbiter fails: no failover; a primary that loses its shadow then holds its outputs', () => {
  const { scheduler, cluster, primary, shadow, world } = protectedCluster({});
  cluster.arbiterUp = false;
  scheduler.runUntil(5 * second);
  assert.equal(primary.copy.status()!.state, 'running');
  cluster.kill(shadow);
  scheduler.runUntil(6 * second);
  const answers = [...world.answered];
  scheduler.runUntil(9 * second);
  assert.deepEqual(world.answered, answers);
  assert.ok(primary.copy.status()!.heldOutputs > 0);
  assert.ok(primary.copy.status()!.arbiterSilentMicros! > second);
  cluster.arbiterUp = true;
  scheduler.runUntil(11 * second);
  assert.notDeepEqual(world.answered, answers);
  well(cluster);
});

test('a planned hand-over: the shadow takes over at once and nothing is lost', () => {
  const { scheduler, cluster, primary, shadow, gap } = protectedCluster({});
  const told = goLives(cluster);
  assert.equal(primary.copy.primary!.protection.handOver(), undefined);
  primary.wake(scheduler.now);
  scheduler.runUntil(3 * second);
  assert.equal(cluster.entry.record.live?.process, shadow.member.process);
  assert.equal(primary.copy.ended?.kind, 'handed-over');
  assert.ok(gap.longest < 320_000, `${gap.longest} us without an answer`);
  assert.equal(told[0]?.cause, 'handed-over');
  assert.equal(told[0].detectionMicros, 0);
  scheduler.runUntil(4 * second);
  well(cluster);
});

test('a hand-over stops the machine when its shadow has come near', () => {
  const { scheduler, cluster, primary, shadow } = protectedCluster(computing);
  const { protection } = primary.copy.primary!;
  const asFastAsIts = shadow.costPerCount;
  shadow.costPerCount = 3 * asFastAsIts;
  const lags = (micros: number) => protection.lag > micros;
  while (!lags(5 * timing.nearMicros)) scheduler.runUntil(scheduler.now + 1_000);
  shadow.costPerCount = asFastAsIts;
  assert.equal(protection.handOver(), undefined);
  primary.wake(scheduler.now);
  const ordered = scheduler.now;
  while (protection.mayRun) scheduler.runUntil(scheduler.now + 1_000);
  assert.ok(!lags(timing.nearMicros + 5_000), `stopped with a lag of ${protection.lag} us`);
  assert.ok(scheduler.now - ordered < timing.nearingMicros);
  scheduler.runUntil(scheduler.now + second);
  assert.equal(primary.copy.ended?.kind, 'handed-over');
  well(cluster);
});

test('one that cannot be had near is handed over to all the same', () => {
  const { scheduler, cluster, primary, shadow } = protectedCluster(computing);
  const { protection } = primary.copy.primary!;
  shadow.costPerCount *= 10;
  scheduler.runUntil(scheduler.now + second);
  assert.equal(protection.handOver(), undefined);
  primary.wake(scheduler.now);
  scheduler.runUntil(scheduler.now + timing.nearingMicros + 2 * second);
  assert.equal(primary.copy.ended?.kind, 'handed-over');
  shadow.costPerCount /= 10;
  scheduler.runUntil(scheduler.now + 3 * second);
  well(cluster);
});

test('a hand-over is refused while the arbiter cannot be reached', () => {
  const { scheduler, cluster, primary, world } = protectedCluster({});
  cluster.arbiterUp = false;
  primary.copy.primary!.protection.handOver();
  primary.wake(scheduler.now);
  const answers = world.answered.reduce((sum, count) => sum + count);
  scheduler.runUntil(5 * second);
  assert.equal(cluster.live, primary);
  assert.ok(world.answered.reduce((sum, count) => sum + count) > answers + 100);
  cluster.arbiterUp = true;
  scheduler.runUntil(7 * second);
  assert.equal(cluster.live, primary);
  well(cluster);
});

test('a disk fails and the guest is reset before the shadow has it: the shadow is made anew', () => {
  const { scheduler, cluster, primary, world } = protectedCluster({ clients: 2, period: 20_000 });
  const reports: Report[] = [];
  cluster.checkers[0]!.reported = (_cluster, _from, report) => reports.push(report);
  const [disk] = cluster.host(primary.host).disks;
  cluster.arbiterUp = false;
  disk!.failing = true;
  const failed = () => reports.filter(({ kind }) => kind === 'disk-error').length;
  while (failed() < 2) scheduler.runUntil(scheduler.now + 1_000);
  disk!.failing = false;
  primary.deliver(() => primary.copy.control('reset'));
  scheduler.runUntil(scheduler.now + 50_000);
  cluster.arbiterUp = true;
  const answers = world.answered.reduce((sum, count) => sum + count);
  scheduler.runUntil(scheduler.now + 5 * second);
  assert.equal(cluster.live, primary);
  assert.ok(world.answered.reduce((sum, count) => sum + count) > answers + 50);
  const why = reports.find((report) => report.kind === 'need-shadow');
  assert.equal(why?.reason, 'partialHardwareFailure');
  well(cluster);
});

test('a suspended machine is quiet, whole and known to be suspended', () => {
  const { scheduler, cluster, world, primary, shadow } = protectedCluster({});
  const live = primary.copy.primary!;
  assert.equal(live.protection.suspend(), undefined);
  primary.wake(scheduler.now);
  // It is saved soon after, and has ended then.
  const patience = scheduler.now + 100_000;
  while (!live.protection.quiet && scheduler.now < patience) {
    scheduler.runUntil(scheduler.now + 1_000);
  }
  assert.ok(live.protection.quiet);
  const { count } = live.machine;
  cluster.asleep = true;
  scheduler.runUntil(scheduler.now + 2 * second);
  assert.equal(live.machine.count, count);
  const { state, currentReplicas, saved } = cluster.entry.record;
  assert.equal(state, 'suspended');
  assert.deepEqual(currentReplicas, [primary.host, shadow.host]);
  assert.deepEqual(saved, { host: primary.host, id: cluster.host(primary.host).saved!.id });
  assert.ok(!primary.alive && !shadow.alive);
  const answers = world.answered.reduce((sum, each) => sum + each);
  cluster.asleep = false;
  scheduler.runUntil(scheduler.now + 2 * second);
  // The same machine goes on, on its host, and is protected again.
  assert.equal(cluster.resumes, 1);
  assert.equal(cluster.live!.host, primary.host);
  assert.ok(cluster.live!.copy.primary!.machine.count > count);
  assert.ok(world.answered.reduce((sum, each) => sum + each) > answers);
  assert.equal(cluster.coldStarts, 1);
  well(cluster);
});

for (const isLost of [false, true]) {
  const ends = isLost ? 'is lost before it comes' : 'comes';
  test(`a machine is saved once, though its shadow ${ends} to the same end`, () => {
    const { scheduler, cluster, primary, shadow } = protectedCluster(computing);
    shadow.costPerCount = 0.06;
    scheduler.runUntil(scheduler.now + second);
    const { protection } = primary.copy.primary!;
    const saved: string[] = [];
    cluster.asleep = true;
    cluster.suspending.look = ({ copy }) => {
      if (copy.primary?.protection.quiet !== true) return;
      assert.ok(protection.lag > 0, 'the shadow is behind');
      saved.push(`s${saved.length}`);
      protection.saved(saved.at(-1)!);
      if (isLost) scheduler.after(1, () => shadow.die());
    };
    assert.equal(protection.suspend(), undefined);
    primary.wake(scheduler.now);
    scheduler.runUntil(scheduler.now + 2 * second);
    assert.deepEqual(saved, ['s0']);
    const { record } = cluster.entry;
    assert.equal(record.state, 'suspended');
    assert.deepEqual(record.saved, { host: primary.host, id: 's0' });
    assert.deepEqual(record.currentReplicas, isLost ? [primary.host] : [primary.host, shadow.host]);
    assert.ok(!primary.alive);
  });
}

test('a machine that cannot be saved goes on as if nothing had been', () => {
  const { scheduler, cluster, primary, shadow } = protectedCluster({});
  const { protection, machine } = primary.copy.primary!;
  const { generation } = cluster.entry.record;
  cluster.suspending.look = () => {};
  assert.equal(protection.suspend(), undefined);
  primary.wake(scheduler.now);
  scheduler.runUntil(scheduler.now + second / 10);
  assert.ok(protection.quiet);
  const { count } = machine;
  protection.cancelSuspend('the disk is full');
  primary.wake(scheduler.now);
  scheduler.runUntil(scheduler.now + second);
  assert.ok(machine.count > count);
  assert.equal(cluster.entry.record.generation, generation);
  assert.equal(cluster.live, primary);
  assert.ok(shadow.alive);
  well(cluster);
});

test('no suspend while the arbiter cannot be reached: the machine is not stopped for it', () => {
  const { scheduler, cluster, primary, world } = protectedCluster({});
  cluster.arbiterUp = false;
  assert.equal(primary.copy.primary!.protection.suspend(), undefined);
  primary.wake(scheduler.now);
  const answers = world.answered.reduce((sum, count) => sum + count);
  scheduler.runUntil(scheduler.now + 3 * second);
  assert.ok(world.answered.reduce((sum, count) => sum + count) > answers + 50);
  cluster.arbiterUp = true;
  scheduler.runUntil(scheduler.now + 2 * second);
  assert.equal(cluster.live, primary);
  well(cluster);
});

test('an idle pair costs little log and few turns', () => {
  const { scheduler, cluster, primary } = protectedCluster({ clients: 0, period: 1e9 });
  let bytes = 0;
  cluster.network.tamper = (message, from) => {
    // Ethernet, IP, TCP and a TLS record around each.
    if (from.owner === primary) bytes += message.length + 110;
    return message;
  };
  const before = scheduler.events;
  scheduler.runUntil(scheduler.now + 10 * second);
  const megabits = (bytes * 8) / 10 / second;
  assert.ok(megabits > 0 && megabits < 0.05, `${megabits} Mbit/s`);
  assert.ok(scheduler.events - before < 3000, `${scheduler.events - before} events in 10 s`);
});

test('a slow shadow slows its primary, and neither is lost', () => {
  const { scheduler, cluster, primary, shadow } = protectedCluster(computing);
  shadow.costPerCount = 0.06;
  let worst = 0;
  for (let turn = 0; turn < 400; turn++) {
    scheduler.runUntil(scheduler.now + 10_000);
    worst = Math.max(worst, primary.copy.status()!.lagMicros);
  }
  assert.equal(cluster.live, primary);
  assert.ok(worst > 20_000 && worst < second, `lag of ${worst} us`);
  well(cluster);
});

test("a primary that is kept from its turn does not take its own silence for its shadow's", () => {
  const { scheduler, cluster, primary, shadow } = protectedCluster({});
  const { generation } = cluster.entry.record;
  for (let time = 0; time < 5; time++) {
    primary.pause();
    scheduler.runUntil(scheduler.now + timing.shadowSilenceMicros + 50_000);
    primary.resume();
    scheduler.runUntil(scheduler.now + second);
  }
  assert.equal(cluster.entry.record.generation, generation);
  assert.equal(cluster.entry.record.eligibleShadow?.process, shadow.member.process);
  well(cluster);
});
