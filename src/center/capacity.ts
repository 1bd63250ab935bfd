/**
 * N+1: would everything that runs still find room if one host died? Pure.
 *
 * Whatever host dies, each VM with a copy on it needs a new one elsewhere: a protected VM a new
 * shadow (its other copy goes on), an unprotected one a restart. The largest VM is placed first,
 * each on the host with the most free memory, as placement does. What is found is a placement; that
 * none is found does not prove that there is none, so this is a warning.
 */
import { type HostState, type Limits, type Need, obstacle } from './placement.ts';

/** A running VM as far as room is concerned. */
export interface Tenant {
  readonly name: string;
  readonly need: Need;
  /** Where its copies are: the live one, and its shadow's if it has one. */
  readonly hosts: readonly string[];
}

export interface Shortage {
  /** The host whose loss could not be made good, by name. */
  readonly host: string;
  /** Names of the VMs that would have no place. */
  readonly vms: readonly string[];
}

/** @returns the worst loss of one host; undefined if every loss can be made good */
export function shortage(
  hosts: readonly HostState[],
  tenants: readonly Tenant[],
  limits: Limits,
): Shortage | undefined {
  const losses = hosts
    .filter((host) => host.connected)
    .map((lost) => ({ host: lost.name, vms: unplaced(hosts, tenants, limits, lost) }))
    .filter(({ vms }) => vms.length > 0);
  return losses.sort((a, b) => b.vms.length - a.vms.length || (a.host < b.host ? -1 : 1))[0];
}

function unplaced(
  hosts: readonly HostState[],
  tenants: readonly Tenant[],
  limits: Limits,
  lost: HostState,
): string[] {
  let left = hosts.filter((host) => host !== lost);
  const displaced = tenants
    .filter((tenant) => tenant.hosts.includes(lost.id))
    .sort((a, b) => b.need.memoryBytes - a.need.memoryBytes || (a.name < b.name ? -1 : 1));
  const without: string[] = [];
  for (const { name, need, hosts: own } of displaced) {
    const [best] = left
      .filter((host) => !own.includes(host.id) && obstacle(host, need, limits) === undefined)
      .sort((a, b) => free(b) - free(a) || (a.id < b.id ? -1 : 1));
    if (best === undefined) without.push(name);
    else left = left.map((host) => (host === best ? withLoad(host, need) : host));
  }
  return without;
}

const free = (host: HostState): number => host.memoryBytes - host.load.memoryBytes;

/** With one more copy. */
export function withLoad(host: HostState, need: Need): HostState {
  const { memoryBytes, ftVms, ftCpus } = host.load;
  const load = {
    memoryBytes: memoryBytes + need.memoryBytes,
    ftVms: ftVms + (need.protected ? 1 : 0),
    ftCpus: ftCpus + (need.protected ? need.cpus : 0),
  };
  return { ...host, load };
}
