/**
 * What there is: daemons and VMs, as wished. In memory to read, in the store to keep; every change
 * goes to both, the store first.
 *
 * What really runs is told by the daemons (agents.ts) and, on who is live, by the arbiter.
 */
import type { PublishedPort, SnapshotInfo, VmSpec } from '../api/agent.ts';
import { UmbraError } from '../base/errors.ts';
import type { Store } from './store.ts';

/** A member of the cluster, with what its last hello said. */
export interface Daemon {
  readonly id: string;
  readonly name: string;
  readonly kind: 'host' | 'gateway';
  readonly addresses: readonly string[];
  readonly maintenance: boolean;
  readonly trunkAddress: string;
  /** 0 until the first hello. */
  readonly trunkPort: number;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly version: string;
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
  readonly acceptStale: boolean;
  /** The operator's word: power on although there is a saved state. */
  readonly discardState?: boolean;
  /** The host on which its disks were made, of a clone: it starts there first. */
  readonly madeOn?: string;
  /** Oldest first. */
  readonly snapshots?: readonly KeptSnapshot[];
  /** The generation at the arbiter for which the power-on inputs in `spec` were made. */
  readonly seedGeneration: number;
}

/** A snapshot, and which host said that it has it. */
export type KeptSnapshot = SnapshotInfo & { readonly host: string };

export class Inventory {
  readonly #store: Store;
  readonly #daemons = new Map<string, Daemon>();
  readonly #vms = new Map<string, Vm>();

  constructor(store: Store) {
    this.#store = store;
    for (const { entry } of store.all<{ entry: string }>('SELECT entry FROM daemons')) {
      const daemon = JSON.parse(entry) as Daemon;
      this.#daemons.set(daemon.id, daemon);
    }
    for (const { entry } of store.all<{ entry: string }>('SELECT entry FROM vms ORDER BY number')) {
      const vm = JSON.parse(entry) as Vm;
      this.#vms.set(vm.spec.id, vm);
    }
  }

  get daemons(): readonly Daemon[] {
    return [...this.#daemons.values()].sort(byName);
  }

  daemon(id: string): Daemon | undefined {
    return this.#daemons.get(id);
  }

  /** By name or id. */
  findDaemon(name: string): Daemon {
    const found = this.#daemons.get(name) ?? this.daemons.find((each) => each.name === name);
    if (found !== undefined) return found;
    const names = this.daemons.map((each) => each.name).join(', ');
    throw new UmbraError(
      'host-unknown',
      `there is no host "${name}" (${names === '' ? 'none has joined' : `there are ${names}`})`,
      'See umbra host list.',
    );
  }

  putDaemon(daemon: Daemon): void {
    this.#store.run(
      'INSERT OR REPLACE INTO daemons (id, name, entry) VALUES (?, ?, ?)',
      daemon.id,
      daemon.name,
      JSON.stringify(daemon),
    );
    this.#daemons.set(daemon.id, daemon);
  }

  removeDaemon(id: string): void {
    this.#store.run('DELETE FROM daemons WHERE id = ?', id);
    this.#daemons.delete(id);
  }

  get vms(): readonly Vm[] {
    return [...this.#vms.values()];
  }

  vm(id: string): Vm | undefined {
    return this.#vms.get(id);
  }

  /** By name or id. */
  findVm(name: string): Vm {
    const found = this.#vms.get(name) ?? this.vms.find((each) => each.spec.name === name);
    if (found !== undefined) return found;
    throw new UmbraError('vm-unknown', `there is no VM "${name}"`, 'See umbra vm list.');
  }

  putVm(vm: Vm): void {
    const { id, name, number } = vm.spec;
    this.#store.run(
      'INSERT OR REPLACE INTO vms (id, name, number, entry) VALUES (?, ?, ?, ?)',
      id,
      name,
      number,
      JSON.stringify(vm),
    );
    this.#vms.set(id, vm);
  }

  removeVm(id: string): void {
    this.#store.run('DELETE FROM vms WHERE id = ?', id);
    this.#vms.delete(id);
  }
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
