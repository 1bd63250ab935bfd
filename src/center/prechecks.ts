/**
 * The prechecks of fault tolerance: everything that would keep a VM from being protected, at once
 * and in words. Reads only; `umbra ft check` shows the list, turning on refuses by it.
 */
import type { Precheck } from '../api/lifecycle-views.ts';
import { coldStartHosts } from '../lockstep/arbiter.ts';
import type { Cluster } from './cluster.ts';
import type { Vm } from './inventory.ts';
import { type HostState, mebibytes, obstacles, overLimits } from './placement.ts';
import { liveOf, needOf, type Situation } from './protection.ts';

export function prechecks(cluster: Cluster, vm: Vm): Precheck[] {
  const situation = cluster.situation(vm);
  const own = situation.hosts.find(({ id }) => id === liveOf(situation)?.member.host);
  return [
    certain(situation),
    responds(situation, own),
    hosts(situation),
    disks(vm),
    replica(situation),
    ...limits(situation, own),
    ...room(situation, own),
  ];
}

const passed = (check: Precheck['check'], text: string): Precheck => ({ check, ok: true, text });
const failed = (check: Precheck['check'], text: string): Precheck => ({ check, ok: false, text });

function certain({ record }: Situation): Precheck {
  return record === undefined
    ? failed('arbiter', 'the arbiter is recovering and does not know yet who is live')
    : passed('arbiter', 'the arbiter knows who is live');
}

function responds(situation: Situation, own: HostState | undefined): Precheck {
  if (own === undefined) return passed('primary', 'the VM is powered off');
  const isThere = own.connected && liveOf(situation)?.copy !== undefined;
  return isThere
    ? passed('primary', `the VM runs on ${own.name}, which responds`)
    : failed('primary', `${own.name}, where the VM runs, is not responding`);
}

function hosts({ hosts: all }: Situation): Precheck {
  const able = all.filter((host) => host.connected && !host.maintenance);
  if (able.length >= 2) return passed('hosts', `${able.length} hosts can take VMs`);
  const there = able.length === 0 ? 'no host' : `only ${able[0]!.name}`;
  return failed(
    'hosts',
    `it takes two hosts, since the copies never share one; ${there} can take VMs`,
  );
}

function disks({ spec }: Vm): Precheck {
  const { length } = spec.disks;
  if (spec.datastore !== undefined) {
    return passed('disks', `its disks (${length}) are on the datastore ${spec.datastore.name}`);
  }
  return passed('disks', length === 0 ? 'it has no disks' : `its disks (${length}) are replicated`);
}

function replica({ vm, record, hosts: all }: Situation): Precheck {
  const isNew = record?.generation === 0 || vm.spec.disks.length === 0 || vm.spec.datastore;
  if (record === undefined || record.state === 'live' || isNew) {
    return passed('replica', 'no replica is needed for a start');
  }
  const current = coldStartHosts(record);
  const there = all.filter(({ id, connected }) => connected && current.includes(id));
  return there.length > 0
    ? passed('replica', `a current replica is on ${there.map(({ name }) => name).join(', ')}`)
    : failed('replica', 'no host with a current replica of its disks is responding');
}

function limits({ vm, limits: bounds }: Situation, own: HostState | undefined): Precheck[] {
  if (own === undefined) return [];
  const over = overLimits(own, needOf(vm, true), bounds);
  if (over.length > 0) return over.map((text) => failed('limits', text));
  return [passed('limits', `${own.name} may have one more protected copy`)];
}

function room(situation: Situation, own: HostState | undefined): Precheck[] {
  const { vm, hosts: all, limits: bounds } = situation;
  const need = needOf(vm, true);
  const others = all.filter((host) => host !== own);
  const checked = others.map((host) => ({ host, why: obstacles(host, need, bounds) }));
  const able = checked.filter(({ why }) => why.length === 0).map(({ host }) => host.name);
  // Powered off, it takes two hosts; powered on, one more.
  const needed = own === undefined ? 2 : 1;
  if (able.length >= needed) {
    const memory = mebibytes(vm.spec.memoryBytes);
    return [passed('room', `${able.join(', ')} can take a copy (${memory})`)];
  }
  const reasons = checked.flatMap(({ why }) => why);
  if (able.length === 1) reasons.unshift(`only ${able[0]} has room for a copy`);
  const texts = reasons.length > 0 ? reasons : ['there is no other host'];
  return texts.map((text) => failed('room', `no host can take its shadow: ${text}`));
}
