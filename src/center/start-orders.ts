/**
 * What a host may ask or say of a VM, by what the center itself has placed there. The arbiter sees
 * to it that no two copies are live; here is seen to it that a host that is not trusted beyond its
 * own VMs cannot take or speak for others.
 */
import { UmbraError } from '../base/errors.ts';
import type { ArbiterEntry, Ask, Reply } from '../lockstep/arbiter.ts';
import type { Cluster } from './cluster.ts';
import type { Daemon, Vm } from './inventory.ts';
import { revertKinds, revertTaskOf } from './vm-states.ts';

/**
 * Becoming live without having been the eligible shadow is the center's order alone: to the host on
 * which it has placed the VM, and only so may it put another copy aside.
 */
export function refuseUnordered(cluster: Cluster, host: Daemon, { vm: id, operation }: Ask): void {
  if (operation.kind !== 'start') return;
  const vm = cluster.inventory.vm(id);
  // One that is unknown, or live, the arbiter refuses in its own words.
  if (vm === undefined || vm.host === host.id) return;
  const isLive = cluster.arbiter.entry(id)?.record.state === 'live';
  if (isLive && operation.fenced !== true) return;
  throw new UmbraError(
    'access-denied',
    `${host.name} may not start ${vm.spec.name}: the center has placed it elsewhere`,
    'Power VMs on at the center: umbra vm start.',
  );
}

/**
 * Going back to a snapshot is the center's order alone, too: of the VM, to the host, for as long as
 * its task runs. What was granted is granted again, whatever became of the task: it was.
 *
 * @returns the refusal, from a center that runs the tasks; of one that may not have heard of the
 * task yet nothing is learnt, and the host asks again
 */
export function refuseUnorderedRevert(
  cluster: Cluster,
  host: Daemon,
  { vm: id, operation, claimId }: Ask,
): Reply | undefined {
  if (operation.kind !== 'revert') return undefined;
  const vm = cluster.inventory.vm(id);
  const record = cluster.arbiter.entry(id)?.record;
  if (vm === undefined || record === undefined || record.claimId === claimId) return undefined;
  const task = cluster.tasks.find(revertTaskOf(operation.saved));
  const isOrdered =
    task !== undefined &&
    revertKinds.includes(task.kind) &&
    task.state === 'running' &&
    task.vm === vm.spec.name &&
    task.host === host.name;
  if (isOrdered) return undefined;
  if (cluster.leads) return { vm: id, claimId, granted: false, refusal: 'not-ordered', record };
  throw new UmbraError(
    'access-denied',
    `${host.name} may not take ${vm.spec.name} back to a snapshot: no task of that kind runs`,
    'Go back at the center: umbra vm snapshot revert.',
  );
}

/** Whether a copy of the VM may be on that host. */
export function isInvolved(vm: Vm, entry: ArbiterEntry | undefined, host: string): boolean {
  const { live, eligibleShadow } = entry?.record ?? {};
  return [vm.host, vm.shadowHost, live?.host, eligibleShadow?.host].includes(host);
}
