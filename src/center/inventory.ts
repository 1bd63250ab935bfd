/**
 * What there is: daemons and VMs, as wished; records of the store, by name.
 *
 * What really runs is told by the daemons (agents.ts) and, on who is live, by the arbiter.
 */
import type {
  DatastoreInfo,
  PublishedPort,
  RecordingInfo,
  SnapshotInfo,
  VmSpec,
} from '../api/agent.ts';
import { UmbraError } from '../base/errors.ts';
import type { VmRecord } from '../lockstep/arbiter.ts';
import type { HaWish } from './ha.ts';
import type { VmIncident } from './rewind-words.ts';
import type { Store } from './store/store.ts';

/** A member of the cluster, with what its last hello said. */
export interface Daemon {
  readonly id: string;
  readonly name: string;
  readonly kind: 'host' | 'gateway';
  readonly addresses: readonly string[];
  readonly maintenance: boolean;
  /** In maintenance, and once it was empty: that has been told. */
  readonly evacuated?: boolean;
  readonly trunkAddress: string;
  /** 0 until the first hello. */
  readonly trunkPort: number;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly version: string;
  readonly datastores?: readonly DatastoreInfo[];
  /** When the latest certificate ends that it has shown, Unix milliseconds. */
  readonly certificateEnds?: number;
  /** It has come with an ended one since, and people have been told. */
  readonly certificateEndTold?: boolean;
}

/** Who was a member once, and is never to be believed again. */
export interface Revoked {
  readonly id: string;
  readonly name: string;
  readonly how: 'removed' | 'revoked';
  /** RFC 3339, UTC. */
  readonly at: string;
}

export interface Vm {
  readonly spec: VmSpec;
  readonly ports: readonly PublishedPort[];
  readonly wanted: 'on' | 'off';
  readonly ftWanted: boolean;
  /** Where the operator wants it to be powered on; no rule for failovers. */
  readonly preferredHost: string | undefined;
  /** Where it was placed last, so that memory is set aside there. */
  readonly host: string | undefined;
  /** Where its shadow is or is to be. */
  readonly shadowHost: string | undefined;
  /** Protection is on, and suspended: no shadow, though its replica is kept. */
  readonly ftSuspended?: boolean;
  /** A migration: a shadow is wanted on this host, which then takes over (wishes.ts). */
  readonly moveTo?: string | undefined;
  /** The shadow is to move to this host. */
  readonly moveShadowTo?: string | undefined;
  /** The shadow is to end, and another to be started in its place. */
  readonly restartShadow?: boolean;
  /** Whose replica differs least, while there is no shadow. */
  readonly replicaHost?: string | undefined;
  /** Hosts whose replica is to be removed once it is not a current one. */
  readonly discard?: readonly string[];
  /** What is wished if its host is lost; undefined: as for any VM. */
  readonly ha?: HaWish;
  /** It is being restarted elsewhere, since this host does not respond. */
  readonly restartedFrom?: string | undefined;
  /** Its power-on inputs before that: they still hold if it comes to nothing. */
  readonly formerInputs?: FormerInputs | undefined;
  readonly acceptStale: boolean;
  /** The operator's word: power on although there is a saved state. */
  readonly discardState?: boolean;
  /** The generation at the arbiter from which on the bytes of its console are counted. */
  readonly consoleSince?: number;
  /** A saved state (of the arbiter's record) that is disks alone: the VM is off, not suspended. */
  readonly offState?: string | undefined;
  /** Oldest first. */
  readonly snapshots?: readonly KeptSnapshot[];
  /** It is to be recorded, until somebody ends it or the VM is off (recordings.ts). */
  readonly recording?: RecordingWish | undefined;
  /** What its flight recorder shall hold; undefined: it has none. */
  readonly flight?:
    | {
        readonly minutes: number;
        readonly bytesMax: number;
        /** After an incident it is put back by itself, to so long before; undefined: never. */
        readonly rewindSeconds?: number;
      }
    | undefined;
  /** The last one of which a recording was kept, while something may follow from it. */
  readonly incident?: VmIncident | undefined;
  /** When it was put back by its policy lately, Unix milliseconds. */
  readonly rewoundAtMs?: readonly number[];
  /** Oldest first. */
  readonly recordings?: readonly KeptRecording[];
  /** The generation at the arbiter for which the power-on inputs in `spec` were made. */
  readonly seedGeneration: number;
  /** Grows with each change of what is wished; written by `putVm` alone. */
  readonly version?: number;
}

export type FormerInputs = Pick<VmSpec, 'epochOffset' | 'randomSeed'> & Pick<Vm, 'seedGeneration'>;

/** A snapshot, and which host said that it has it. */
export type KeptSnapshot = SnapshotInfo & { readonly host: string };

/** A recording, and which host said that it has it. */
export type KeptRecording = RecordingInfo & { readonly host: string };

/** The part that is being recorded, by one process. */
export interface RecordingWish {
  readonly id: string;
  readonly name: string;
  /** What was asked for; part 2 of it is on the host to which the VM has failed over. */
  readonly base: string;
  readonly part: number;
  readonly host: string;
  /** Its name at the arbiter. */
  readonly process: string;
  readonly bytesMax?: number;
}

export class Inventory {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  get daemons(): readonly Daemon[] {
    return [...this.#store.all<Daemon>('daemons')].sort(byName);
  }

  daemon(id: string): Daemon | undefined {
    return this.#store.get('daemons', id);
  }

  /** By name or id. */
  findDaemon(name: string): Daemon {
    const found = this.daemon(name) ?? this.daemons.find((each) => each.name === name);
    if (found !== undefined) return found;
    const names = this.daemons.map((each) => each.name).join(', ');
    throw new UmbraError(
      'host-unknown',
      `there is no host "${name}" (${names === '' ? 'none has joined' : `there are ${names}`})`,
      'See umbra host list.',
    );
  }

  putDaemon(daemon: Daemon): void {
    this.#store.put('daemons', daemon.id, daemon);
  }

  /** In one transaction: it is a member until it is revoked, and never both. */
  revokeDaemon(id: string, name: string, how: Revoked['how']): void {
    const revoked: Revoked = { id, name, how, at: new Date().toISOString() };
    this.#store.remove('daemons', id);
    this.#store.put('revoked', id, revoked);
  }

  get allRevoked(): readonly Revoked[] {
    return this.#store.all('revoked');
  }

  revoked(id: string): Revoked | undefined {
    return this.#store.get('revoked', id);
  }

  get vms(): readonly Vm[] {
    return this.#store.all('vms');
  }

  vm(id: string): Vm | undefined {
    return this.#store.get('vms', id);
  }

  /** By name or id. */
  findVm(name: string): Vm {
    const found = this.vm(name) ?? this.vms.find((each) => each.spec.name === name);
    if (found !== undefined) return found;
    throw new UmbraError('vm-unknown', `there is no VM "${name}"`, 'See umbra vm list.');
  }

  putVm(vm: Vm): void {
    const before = this.vm(vm.spec.id);
    const isSame = before !== undefined && wishOf(before) === wishOf(vm);
    const version = isSame ? versionOf(before) : before === undefined ? 1 : versionOf(before) + 1;
    this.#store.put('vms', vm.spec.id, { ...vm, version });
  }

  removeVm(id: string): void {
    this.#store.remove('vms', id);
  }
}

/** Whether what the next start begins with are disks alone. */
export const beginsOff = ({ offState }: Vm, record: VmRecord | undefined): boolean =>
  record?.saved !== undefined && record.saved.id === offState;

export const versionOf = (vm: Vm): number => vm.version ?? 1;

/** Where a VM happens to be, and its power-on inputs: no decision of people. */
const notWished = new Set([
  ...['host', 'shadowHost', 'acceptStale', 'seedGeneration', 'version', 'consoleSince'],
  ...['epochOffset', 'randomSeed', 'restartedFrom', 'formerInputs'],
  ...['recording', 'recordings'],
]);

function wishOf(vm: Vm): string {
  return JSON.stringify(vm, (name, value) => (notWished.has(name) ? undefined : value));
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
