/**
 * An unprotected machine on shared disks whose host is lost, frozen or cut off: started elsewhere
 * once, behind the end of its lease, with everything that it had been told was written. The store
 * records who writes where, and clocks run a per cent apart as the seed has it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Checker } from './checkers/checker.ts';
import { OneHistory } from './checkers/one-history.ts';
import { OneLive } from './checkers/one-live.ts';
import { Clients } from './clients.ts';
import { Cluster } from './cluster.ts';
import type { Process } from './process.ts';
import { Scheduler } from './scheduler.ts';
import { simulate } from './simulation.ts';
import { ToyMaker } from './toy-machine.ts';

const second = 1_000_000;
const leaseMs = 1_000;

/** When who said something last, and how often somebody was started. */
class Voices extends Checker {
  readonly last = new Map<Process, number>();

  override released(cluster: Cluster, from: Process): void {
    this.last.set(from, cluster.scheduler.now);
  }
}

function leased(seed: number) {
  const scheduler = new Scheduler(seed);
  const maker = new ToyMaker({ clients: 3, disks: 1, period: 100_000, burst: 20_000 });
  const voices = new Voices();
  const rules = [new OneLive(), new OneHistory(), voices];
  const disks = [{ shared: true }];
  const options = { maker, hosts: 3, disks, leaseMs, sabotage: undefined };
  const cluster = new Cluster(scheduler, options, rules);
  cluster.wantProtection = false;
  cluster.center();
  const world = new Clients(cluster, 3);
  scheduler.runUntil(2 * second);
  const first = cluster.live!;
  assert.ok(voices.last.has(first), 'it serves');
  return { scheduler, cluster, world, first, voices };
}

/** Somebody else serves, nobody else was started, and no rule was broken. */
function isRestartedOnce({ cluster, first, voices, scheduler }: ReturnType<typeof leased>): void {
  assert.deepEqual(cluster.violations, []);
  assert.equal(cluster.restarts, 1);
  const { live } = cluster;
  assert.notEqual(live?.host, first.host);
  assert.ok(voices.last.get(live!)! > scheduler.now - second, 'it serves');
  assert.ok(voices.last.get(first)! < voices.last.get(live!)!);
}

const seeds = Array.from({ length: 12 }, (_, seed) => seed + 1);

test('a host loses its power: its machine is started elsewhere, with all that was written', () => {
  for (const seed of seeds) {
    const setting = leased(seed);
    const { cluster, scheduler, first } = setting;
    cluster.crash(cluster.host(first.host));
    scheduler.runUntil(2.6 * second);
    assert.equal(cluster.restarts, 0, 'not before its lease has ended');
    scheduler.runUntil(8 * second);
    isRestartedOnce(setting);
  }
});

test('a copy that is frozen past its lease and thawed says nothing, and writes nothing that is read', () => {
  for (const seed of seeds) {
    const setting = leased(seed);
    const { cluster, scheduler, first } = setting;
    // Between any two of its steps, requests of its disk under way.
    scheduler.runUntil(scheduler.now + scheduler.random.between(0, 200_000));
    first.pause();
    scheduler.runUntil(scheduler.now + 4 * second);
    assert.equal(cluster.restarts, 1);
    first.resume();
    scheduler.runUntil(scheduler.now + 2 * second);
    assert.equal(first.alive, false, 'it has learnt that it is not live');
    assert.equal(first.copy.ended?.kind, 'lost-claim');
    isRestartedOnce(setting);
  }
});

test('a host that is cut off is silent before its machine is started elsewhere', () => {
  for (const seed of seeds) {
    const setting = leased(seed);
    const { cluster, scheduler, first, voices } = setting;
    cluster.network.cut(first.host, 'arbiter');
    const from = scheduler.now;
    while (cluster.restarts === 0) scheduler.runUntil(scheduler.now + 1_000);
    assert.ok(voices.last.get(first)! < from + leaseMs * 1000, 'by its own clock, a per cent off');
    assert.ok(first.alive, 'it waits for an answer');
    cluster.network.heal(first.host, 'arbiter');
    scheduler.runUntil(scheduler.now + 3 * second);
    assert.equal(first.alive, false);
    isRestartedOnce(setting);
  }
});

test('a center that is restarted waits for a whole lease again', () => {
  const { cluster, scheduler, first } = leased(3);
  cluster.crash(cluster.host(first.host));
  cluster.restartCenter();
  for (let restart = 0; restart < 5; restart++) {
    scheduler.runUntil(scheduler.now + 0.8 * second);
    cluster.restartCenter();
    assert.equal(cluster.restarts, 0);
  }
  scheduler.runUntil(scheduler.now + 3 * second);
  assert.equal(cluster.restarts, 1);
  assert.deepEqual(cluster.violations, []);
});

test('an arbiter that is away costs a pause, and nobody is started', () => {
  const { cluster, scheduler, first, voices } = leased(5);
  cluster.arbiterUp = false;
  scheduler.runUntil(scheduler.now + 4 * second);
  assert.ok(voices.last.get(first)! < scheduler.now - 2 * second, 'it holds its outputs');
  cluster.restartCenter();
  cluster.arbiterUp = true;
  scheduler.runUntil(scheduler.now + 3 * second);
  assert.equal(cluster.restarts, 0);
  assert.equal(cluster.live, first);
  assert.ok(voices.last.get(first)! > scheduler.now - second);
  assert.deepEqual(cluster.violations, []);
});

test('under faults of all kinds machines are restarted, and every rule holds', () => {
  let restarts = 0;
  for (let seed = 1080; seed < 1160; seed++) {
    const result = simulate(seed, { disks: [true], leaseMs: 300 });
    assert.deepEqual(result.violations, [], `seed ${seed}`);
    restarts += result.restarts;
  }
  assert.ok(restarts > 10, `only ${restarts} restarts`);
});
