/** For tests: views as the center sends them, of a cluster where all is well. */
import type { FtStatusView, HostView, VmView } from '../../src/api/views.ts';

export const ft = (changes: Partial<FtStatusView> = {}): FtStatusView => ({
  ...{ vm: 'web', state: 'running', reason: null, generation: 2 },
  primary: { host: 'a', pid: 1 },
  shadow: { host: 'b', pid: 2, lagMs: 0 },
  ...{ logMbitPerSecond: null, shadowCpuPercent: null, shadowMemoryBytes: null },
  ...{ logBytesSent: 0, fingerprintsCompared: 0, divergences: 0 },
  ...changes,
});

const ha = { restart: true, priority: 'medium', state: 'on', watchdogSeconds: null } as const;

export const vm = (id: string, changes: Partial<VmView> = {}): VmView => ({
  ...{ id, name: id, number: 1, version: 1, state: 'poweredOn', image: 'tiny', imageDigest: '' },
  ...{ cpus: 1, memoryBytes: 2 ** 27, mac: '', disks: [], host: 'a', ports: [], obstacle: null },
  ...{ migration: null, flight: null, ft: ft(), datastore: null, ha, ...changes },
});

export const host = (name: string, changes: Partial<HostView> = {}): HostView => ({
  ...{ id: name, name, kind: 'host', state: 'connected', pid: 1, vmPids: [], addresses: [] },
  ...{ cpus: 4, memoryBytes: 2 ** 32, memoryFreeBytes: 2 ** 31, version: '1', maintenance: null },
  trunks: [],
  datastores: [],
  ...changes,
});
