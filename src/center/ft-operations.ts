/**
 * The reference's operations on a protected VM beside on and off (FACTS 3): suspend, resume, moving
 * the shadow, the test restart of the shadow. Like operations.ts: conditions, then a wish in the
 * store with its event; wishes.ts and protection.ts bring it about.
 */
import { UmbraError } from '../base/errors.ts';
import type { Cluster } from './cluster.ts';
import type { Vm } from './inventory.ts';
import { choose, obstacle } from './placement.ts';
import { type Live, liveOf, needOf } from './protection.ts';
import { withoutWishes } from './wishes.ts';

export function suspendFt(cluster: Cluster, vm: Vm): void {
  const { id, name } = vm.spec;
  refuseUnlessOn(vm);
  if (vm.ftSuspended) return;
  refuseWhileMoving(vm);
  refuseUnlessSettled(cluster, vm, 'suspended');
  const replicaHost = cluster.arbiter.certain(id)?.eligibleShadow?.host ?? vm.shadowHost;
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...withoutWishes(vm), ftSuspended: true, replicaHost });
    const text = `fault tolerance of ${name} is suspended; the replica of its disks is kept`;
    cluster.events.add('ft-disabled', text, { vm: name });
  });
  cluster.evaluate(id);
}

export function resumeFt(cluster: Cluster, vm: Vm): void {
  const { id, name } = vm.spec;
  refuseUnlessOn(vm);
  if (!vm.ftSuspended) return;
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...vm, ftSuspended: false });
    cluster.events.add('ft-enabled', `fault tolerance of ${name} is resumed`, { vm: name });
  });
  cluster.evaluate(id);
}

/** @param to a host's name; chosen if undefined */
export function migrateShadow(cluster: Cluster, vm: Vm, to: string | undefined): void {
  const { id, name } = vm.spec;
  // First: while the shadow changes the VM is not protected either, which is the lesser reason.
  refuseWhileMoving(vm);
  const { live, shadowHost } = protectedNow(cluster, vm);
  const hosts = cluster.hostStates(id).filter((host) => host.id !== live.member.host);
  const others = hosts.filter((host) => host.id !== shadowHost);
  let target: string;
  if (to === undefined) {
    const chosen = choose(others, needOf(vm), cluster.limits);
    if (chosen.host === undefined) throw cannotMove(name, chosen.why);
    target = chosen.host.id;
  } else {
    target = cluster.hostNamed(to);
    if (target === live.member.host) {
      throw cannotMove(name, `the VM itself runs on ${to}, and the copies never share a host`);
    }
    if (target === shadowHost) throw cannotMove(name, `it is on ${to} already`);
    const why = obstacle(others.find((host) => host.id === target)!, needOf(vm), cluster.limits);
    if (why !== undefined) throw cannotMove(name, why);
  }
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...vm, moveShadowTo: target });
    const [from, host] = [cluster.nameOf(shadowHost), cluster.nameOf(target)];
    const text = `the shadow of ${name} moves from ${from} to ${host}; until then ${name} is not protected`;
    cluster.events.add('ft-migrate-shadow', text, { vm: name, from, host });
  });
  cluster.evaluate(id);
}

/** Ends the shadow; the next one begins from the replica that it leaves. */
export function restartShadow(cluster: Cluster, vm: Vm): void {
  const { id, name } = vm.spec;
  refuseWhileMoving(vm);
  const { shadowHost } = protectedNow(cluster, vm);
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...vm, restartShadow: true, replicaHost: shadowHost });
    const host = cluster.nameOf(shadowHost);
    const text = `the shadow of ${name} on ${host} is ended for a test, and started again`;
    cluster.events.add('ft-restart-shadow', text, { vm: name, host });
  });
  cluster.evaluate(id);
}

/** As the tests of the reference: dimmed when the VM is off or not protected. */
export function protectedNow(
  cluster: Cluster,
  vm: Vm,
): { readonly live: Live; readonly shadowHost: string } {
  const { id, name } = vm.spec;
  const live = liveOf(cluster.situation(vm));
  const { state, reason } = cluster.ftStatus(vm);
  const shadowHost = cluster.arbiter.certain(id)?.eligibleShadow?.host;
  if (state === 'running' && live?.copy !== undefined && shadowHost !== undefined) {
    return { live, shadowHost };
  }
  const why = reason === null ? state : `${state}, ${reason}`;
  throw new UmbraError(
    'ft-not-protected',
    `${name} is not protected now (${why})`,
    state === 'notConfigured'
      ? `Turn fault tolerance on: umbra ft on ${name}.`
      : `Wait until it is: umbra ft status ${name}.`,
  );
}

/**
 * Turn Off and Suspend need the shadow's host: to end the shadow, and to be sure that nothing of it
 * comes back. The reference refuses them at the same moments.
 */
export function refuseUnlessSettled(cluster: Cluster, vm: Vm, act: string): void {
  const { id, name } = vm.spec;
  const live = liveOf(cluster.situation(vm));
  if (live !== undefined && live.copy === undefined) {
    throw hostAway(cluster.nameOf(live.member.host), `${name} runs`, act);
  }
  if (cluster.ftStatus(vm).state === 'starting') {
    throw new UmbraError(
      'ft-starting',
      `fault tolerance of ${name} cannot be ${act} while its shadow starts`,
      `Wait until it is protected: umbra ft status ${name}.`,
    );
  }
  const shadowHost = cluster.arbiter.certain(id)?.eligibleShadow?.host;
  const host = cluster.hostStates().find((each) => each.id === shadowHost);
  if (host === undefined) return;
  if (!host.connected) throw hostAway(host.name, `the shadow of ${name} is`, act);
  if (host.maintenance) {
    throw new UmbraError(
      'host-in-maintenance',
      `fault tolerance of ${name} cannot be ${act}: ${host.name}, where its shadow is, is in maintenance`,
      `Wait until the shadow has moved, or end the maintenance: umbra host maintenance ${host.name} --off.`,
    );
  }
}

export function refuseWhileMoving({
  spec: { name },
  moveTo,
  moveShadowTo,
  restartShadow: restarts,
}: Vm): void {
  if (moveTo === undefined && moveShadowTo === undefined && restarts !== true) return;
  const what = moveTo !== undefined ? 'is being migrated' : 'is about to get another shadow';
  throw new UmbraError(
    'vm-moving',
    `${name} ${what}`,
    `Wait until that is done: umbra ft status ${name}.`,
  );
}

function refuseUnlessOn({ ftWanted, spec: { name } }: Vm): void {
  if (ftWanted) return;
  throw new UmbraError(
    'ft-not-configured',
    `fault tolerance of ${name} is not turned on`,
    `Turn it on: umbra ft on ${name}.`,
  );
}

const hostAway = (host: string, what: string, act: string): UmbraError =>
  new UmbraError(
    'host-not-responding',
    `${host}, where ${what}, is not responding: fault tolerance cannot be ${act}`,
    'Do it when that host is back.',
  );

const cannotMove = (name: string, why: string): UmbraError =>
  new UmbraError(
    'shadow-cannot-move',
    `the shadow of ${name} cannot be moved: ${why}`,
    'Name another host, or make room: umbra host list.',
  );
