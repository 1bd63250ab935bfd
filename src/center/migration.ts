/**
 * Live migration: a running VM goes to another host, and nobody who talks to it notices.
 *
 *   choose a host --> a shadow is built there --> it is eligible --> hand-over --> settle
 *
 * It is what happens when a shadow takes over, by consent: for an unprotected VM a temporary shadow
 * is built on the target (disks included) and the old copy ends with the hand-over; a protected VM
 * goes to its shadow's host by a hand-over alone, and to a third host by moving the shadow there
 * first; a new shadow follows by itself. Everything until the hand-over can be given up without a
 * trace. The wish `moveTo` is in the store; a center that restarts gives the migration up
 * (Cluster.giveUpMigrations), as nobody waits for it any more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FtStatusView } from '../api/views.ts';
import { UmbraError } from '../base/errors.ts';
import type { Cluster } from './cluster.ts';
import { refuseWhileMoving } from './ft-operations.ts';
import { handOver } from './hand-over.ts';
import type { Vm } from './inventory.ts';
import { choose, type HostState, type Limits, type Need, obstacle } from './placement.ts';
import { type Live, liveOf, needOf } from './protection.ts';

export interface MigrationOptions {
  /** A host's name; chosen if undefined. */
  readonly to?: string;
  readonly onProgress?: (fraction: number, text: string) => void;
  readonly signal?: AbortSignal;
}

const lookMs = 10;
/** Disks are copied at hundreds of megabytes a second; whoever needs longer is stuck. */
const buildMsMax = 30 * 60_000;
const handOversMax = 5;
/**
 * A copy that has just been built has translated nothing yet: what it lags, and what it is slow to
 * do at first, clients would wait for. It may warm up before it takes over, for so long.
 */
const warmLagMs = 25;
const warmMs = 1_000;
const warmMsMax = 4_000;
const againMs = 200;

/** @returns once the VM is live on the target. Throws if it stays where it was. */
export async function migrateVm(
  cluster: Cluster,
  vm: Vm,
  { to, onProgress = () => {}, signal }: MigrationOptions = {},
): Promise<void> {
  const { id, name } = vm.spec;
  const live = liveNow(cluster, vm);
  refuseWhileMoving(vm);
  const target = chooseTarget(cluster, vm, live, to);
  const from = cluster.nameOf(live.member.host);
  const host = cluster.nameOf(target);
  const { migrations } = cluster;
  const report = (fraction: number, text: string): void => {
    migrations.set(id, { to: host, fraction, text });
    onProgress(fraction, text);
  };
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...vm, moveTo: target });
    const text = `${name} is being migrated from ${from} to ${host}`;
    cluster.events.add('vm-migration-started', text, { vm: name, host, from });
  });
  try {
    report(0, `a copy is built on ${host}`);
    cluster.evaluate(id);
    await untilEligible(cluster, id, target, live, report, signal);
    report(0.85, `the copy on ${host} warms up`);
    await untilWarm(cluster, id, target, signal);
    report(0.95, `${host} takes over`);
    await takeOver(cluster, vm, target, signal);
    report(1, `${name} runs on ${host}`);
  } catch (error) {
    giveUp(cluster, id, target, error as Error);
    throw error;
  } finally {
    migrations.delete(id);
    cluster.evaluate(id);
  }
}

function liveNow(cluster: Cluster, vm: Vm): Live {
  const live = liveOf(cluster.situation(vm));
  if (live?.copy !== undefined && vm.wanted === 'on' && cluster.arbiter.certain(vm.spec.id)) {
    return live;
  }
  const { name } = vm.spec;
  throw new UmbraError(
    'vm-not-running',
    `${name} is not running on any host that responds`,
    `Only a running VM is migrated; see umbra vm show ${name}.`,
  );
}

function chooseTarget(cluster: Cluster, vm: Vm, live: Live, to: string | undefined): string {
  const { id, name } = vm.spec;
  const hosts = cluster.hostStates(id).filter((host) => host.id !== live.member.host);
  const shadow = hosts.find(
    (each) => each.id === cluster.arbiter.certain(id)?.eligibleShadow?.host,
  );
  const why = (host: HostState) =>
    host === shadow ? unusable(host) : obstacle(host, needOf(vm), cluster.limits);
  if (to === undefined) {
    const chosen = bestTarget(hosts, shadow, needOf(vm), cluster.limits);
    if (chosen.host !== undefined) return chosen.host.id;
    throw cannotMigrate(name, chosen.why);
  }
  const target = cluster.hostNamed(to);
  if (target === live.member.host) throw cannotMigrate(name, `it runs on ${to} already`);
  const reason = why(hosts.find((host) => host.id === target)!);
  if (reason !== undefined) throw cannotMigrate(name, reason);
  return target;
}

/** Where it goes if nobody names a host: to its shadow's, where nothing has to be built. */
export function bestTarget(
  others: readonly HostState[],
  shadow: HostState | undefined,
  need: Need,
  limits: Limits,
): ReturnType<typeof choose> {
  if (shadow !== undefined && unusable(shadow) === undefined) return { host: shadow };
  return choose(others, need, limits);
}

/** Its memory is set aside there already. */
function unusable({ name, connected, maintenance }: HostState): string | undefined {
  if (!connected) return `${name} is not responding`;
  return maintenance ? `${name} is in maintenance` : undefined;
}

async function untilEligible(
  cluster: Cluster,
  id: string,
  target: string,
  live: Live,
  report: (fraction: number, text: string) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  let told = -1;
  for (const end = performance.now() + buildMsMax; ; await sleep(lookMs)) {
    const vm = cluster.inventory.vm(id);
    const name = vm?.spec.name ?? id;
    const record = cluster.arbiter.certain(id);
    if (signal?.aborted) throw cancelled(name, signal);
    if (vm === undefined || vm.wanted === 'off') throw cannotMigrate(name, 'it was powered off');
    if (record?.live?.host === target) return;
    if (record?.eligibleShadow?.host === target) return;
    if (record !== undefined && record.live?.process !== live.member.process) {
      throw cannotMigrate(name, 'it has gone live elsewhere, or has ended, in the meantime');
    }
    const host = cluster.hostStates(id).find((each) => each.id === target);
    const why = host === undefined ? 'the host was removed' : unusable(host);
    if (why !== undefined) throw cannotMigrate(name, why);
    if (performance.now() > end) throw cannotMigrate(name, 'its copy has not caught up in time');
    const synced = comparedOf(cluster.ftStatus(vm).shadow);
    if (synced === told) continue;
    told = synced;
    const percent = Math.round(synced * 100);
    report(
      0.85 * synced,
      `a copy is built on ${cluster.nameOf(target)}: ${percent} % of its disks`,
    );
  }
}

/** Which part of the disks is known to be equal, 0 to 1. */
function comparedOf(shadow: FtStatusView['shadow']): number {
  if (shadow?.replica === undefined) return 0;
  const { bytesTotal, bytesCompared } = shadow.replica;
  return bytesTotal === 0 ? 1 : bytesCompared / bytesTotal;
}

/** Until it has kept up for a while; a busy guest or host is not waited for for ever. */
async function untilWarm(
  cluster: Cluster,
  id: string,
  target: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const protectedAt = cluster.protectedSince(id);
  const end = performance.now() + warmMsMax;
  for (let since = performance.now(); performance.now() < end && !signal?.aborted; ) {
    const vm = cluster.inventory.vm(id);
    if (vm === undefined || cluster.arbiter.certain(id)?.eligibleShadow?.host !== target) return;
    const isClose = (cluster.ftStatus(vm).shadow?.lagMs ?? Infinity) <= warmLagMs;
    const now = performance.now();
    if (!isClose) since = now;
    // A shadow that has run for minutes is warm.
    else if (now - since >= warmMs || now - protectedAt >= warmMsMax) return;
    await sleep(lookMs);
  }
}

/** Orders may be refused for a moment, as while the arbiter answers something else. */
async function takeOver(
  cluster: Cluster,
  { spec: { id } }: Vm,
  target: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    if (cluster.arbiter.certain(id)?.live?.host === target) return;
    try {
      await handOver(cluster, cluster.inventory.vm(id)!);
    } catch (error) {
      if (tries >= handOversMax || signal?.aborted) throw error;
      await sleep(againMs);
    }
  }
}

/** As if nothing had been asked; the copy on the target is of no use any more. */
function giveUp(cluster: Cluster, id: string, target: string, error: Error): void {
  const vm = cluster.inventory.vm(id);
  if (vm === undefined) return;
  const { name } = vm.spec;
  const host = cluster.nameOf(target);
  cluster.store.transaction(() => {
    cluster.inventory.putVm(cancelMove(vm));
    const text = `${name} was not migrated to ${host}: ${error.message}`;
    cluster.events.add('vm-migration-failed', text, { vm: name, host });
  });
}

/** Without the wish; what an unprotected VM left on the target is removed. */
export function cancelMove(vm: Vm): Vm {
  const { moveTo } = vm;
  if (moveTo === undefined) return vm;
  const discard = vm.ftWanted ? (vm.discard ?? []) : [...new Set([...(vm.discard ?? []), moveTo])];
  return { ...vm, moveTo: undefined, discard };
}

/** A task is told its own reason. */
function cancelled(name: string, { reason }: AbortSignal): UmbraError {
  if (reason instanceof UmbraError) return reason;
  return cannotMigrate(name, 'it was cancelled', 'migration-cancelled');
}

const cannotMigrate = (name: string, why: string, code = 'migration-failed'): UmbraError =>
  new UmbraError(
    code,
    `${name} cannot be migrated: ${why}`,
    `It runs on where it is. See umbra host list, umbra vm events ${name}.`,
  );
