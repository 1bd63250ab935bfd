/** VMs and hosts as the API shows them (api/views.ts). */
import type { HostView, VmView } from '../api/views.ts';
import type { Cluster } from './cluster.ts';
import { haOf } from './ha.ts';
import { type Daemon, type Vm, versionOf } from './inventory.ts';
import { freeMemory } from './placement.ts';
import { powerStateOf } from './status.ts';

export function vmView(cluster: Cluster, vm: Vm): VmView {
  const { id, name, number, image, imageDigest, cpus, memoryBytes, mac, vlan, isolated, disks } =
    vm.spec;
  const situation = cluster.situation(vm);
  return {
    ...{ id, name, number, image, imageDigest, cpus, memoryBytes, mac },
    version: versionOf(vm),
    disks: disks.map(({ bytes }) => ({ bytes })),
    ...(vlan !== undefined && { vlan }),
    ...(isolated && { isolated }),
    state: powerStateOf(situation),
    host: vm.host === undefined ? null : cluster.nameOf(vm.host),
    datastore: vm.spec.datastore?.name ?? null,
    ha: haView(cluster, vm),
    ports: vm.ports.map((port) => ({ ...port })),
    flight: vm.flight === undefined ? null : { rewindSeconds: null, ...vm.flight },
    migration: cluster.migrations.get(id) ?? null,
    obstacle: cluster.obstacleOf(id) ?? null,
    ft: cluster.ftStatus(vm),
  };
}

function haView(cluster: Cluster, vm: Vm): VmView['ha'] {
  const { restart, priority, watchdogSeconds = null } = haOf(vm);
  const record = cluster.arbiter.certain(vm.spec.id);
  const isLeased = record?.state === 'live' && record.shared?.leaseMs !== undefined;
  const isOn = record?.state === 'live';
  const state = !restart ? 'off' : isOn && !isLeased ? 'fromNextPowerOn' : 'on';
  return { restart, priority, state, watchdogSeconds };
}

export function hostView(cluster: Cluster, daemon: Daemon): HostView {
  const { id, name, kind, addresses, cpus, memoryBytes, version, maintenance } = daemon;
  const { datastores = [] } = daemon;
  const connection = cluster.agents.get(id);
  const state = cluster.hostStates().find((each) => each.id === id);
  const statuses = [...(connection?.copies.values() ?? [])];
  return {
    ...{ id, name, kind, addresses: [...addresses], cpus, memoryBytes, version },
    state: connection === undefined ? 'notResponding' : maintenance ? 'maintenance' : 'connected',
    pid: connection?.hello?.pid ?? null,
    datastores: datastores.map((datastore) => ({ ...datastore })),
    maintenance: maintenance ? maintenanceView(cluster, id) : null,
    trunks: (connection?.trunks ?? [])
      .filter(({ peer }) => cluster.inventory.daemon(peer) !== undefined)
      .map(({ peer, roundTripMs = null }) => ({ peer: cluster.nameOf(peer), roundTripMs })),
    vmPids: statuses.map((status) => status.pid).filter((pid) => pid > 0),
    memoryFreeBytes: state === undefined ? memoryBytes : Math.max(0, freeMemory(state)),
  };
}

function maintenanceView(cluster: Cluster, host: string): HostView['maintenance'] {
  const remaining = cluster.maintenance.remaining(host);
  return { isEmpty: remaining.length === 0, remaining };
}
