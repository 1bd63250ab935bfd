/**
 * High availability of VMs whose disks are on a datastore: started again elsewhere by the center when
 * their host is lost, behind the end of its lease (docs/decisions/ha.md).
 *
 * From: wishes of people, the arbiter's records, which hosts respond. To: the plan (protection.ts),
 * alarms, events. Who is protected does not need it: its shadow goes live by generations alone.
 */
import type { Input } from '../api/endpoints.ts';
import { UmbraError } from '../base/errors.ts';
import { leaseOf, type VmRecord } from '../lockstep/arbiter.ts';
import type { Cluster } from './cluster.ts';
import type { Vm } from './inventory.ts';
import { Leases } from './leases.ts';

/** Whose turn it is first when there is room for some only, and when several wait. */
export const priorities = ['highest', 'high', 'medium', 'low', 'lowest'] as const;
export type Priority = (typeof priorities)[number];

export interface HaWish {
  /** Started again elsewhere by itself. */
  readonly restart: boolean;
  readonly priority: Priority;
  /** Its guest is reset when it has not responded for so long; undefined: never. */
  readonly watchdogSeconds?: number | undefined;
}

export const defaultLeaseMs = 15_000;
/** Below this a busy host would lose its breath: it renews three times within a lease. */
export const leaseMsMin = 2_000;

/** On for whatever can be restarted. */
export const haOf = ({ ha, spec }: Vm): HaWish => ({
  restart: ha?.restart ?? spec.datastore !== undefined,
  priority: ha?.priority ?? 'medium',
  watchdogSeconds: ha?.watchdogSeconds,
});

const rankOf = (vm: Vm): number => priorities.indexOf(haOf(vm).priority);

/** In the order in which they get room. */
export const byPriority = (vms: readonly Vm[]): Vm[] =>
  [...vms].sort((a, b) => rankOf(a) - rankOf(b));

/** What the plan for one VM has to know. */
export interface HaSituation {
  /** The lease of its live copy has certainly ended; whether the copy has, nobody knows. */
  readonly leaseEnded: boolean;
  /** The lease that its next copy gets; undefined: none. */
  readonly leaseMs: number | undefined;
  /** A VM of the same lost host that comes first, by name; its lease is still running. */
  readonly waitsFor: string | undefined;
}

export class Ha {
  readonly leases = new Leases(() => performance.now() * 1000);
  readonly #cluster: Cluster;
  readonly #leaseMs: number;
  /** Lost hosts of which people have been told. */
  readonly #told = new Set<string>();

  constructor(cluster: Cluster, leaseMs: number) {
    this.#cluster = cluster;
    this.#leaseMs = leaseMs;
  }

  situationOf(vm: Vm, record: VmRecord | undefined): HaSituation {
    const { restart } = haOf(vm);
    const hasEnded = this.leases.hasEnded(vm.spec.id, record);
    const leaseEnded = restart && hasEnded;
    const isOnDatastore = vm.spec.datastore !== undefined;
    return {
      leaseEnded,
      leaseMs: restart && isOnDatastore ? this.#leaseMs : undefined,
      waitsFor: leaseEnded ? this.#waitsFor(vm, record!.live!.host) : undefined,
    };
  }

  /** Leases do not end at the same moment; who comes first does not wait longer than one. */
  #waitsFor(vm: Vm, host: string): string | undefined {
    const { inventory, arbiter } = this.#cluster;
    const first = inventory.vms.find((other) => {
      if (rankOf(other) >= rankOf(vm) || !haOf(other).restart || other.wanted === 'off')
        return false;
      const record = arbiter.certain(other.spec.id);
      if (record?.live?.host !== host || leaseOf(record) === undefined) return false;
      return !this.leases.hasEnded(other.spec.id, record);
    });
    return this.#cluster.agents.get(host) === undefined ? first?.spec.name : undefined;
  }

  /** A restart that came to nothing: the copy that was given up has renewed its lease after all. */
  recalled(vm: Vm): Vm {
    const { restartedFrom, formerInputs, spec } = vm;
    if (restartedFrom === undefined) return vm;
    const { arbiter, inventory } = this.#cluster;
    const record = arbiter.certain(spec.id);
    const isBack = record?.live?.host === restartedFrom;
    if (!isBack || this.leases.hasEnded(spec.id, record)) return vm;
    const { seedGeneration = vm.seedGeneration, ...inputs } = formerInputs ?? {};
    const over = { restartedFrom: undefined, formerInputs: undefined };
    const next = { ...vm, ...over, seedGeneration, spec: { ...spec, ...inputs } };
    inventory.putVm(next);
    return next;
  }

  /** A VM is about to be started elsewhere: the first one tells of its host. */
  noteLoss(host: string): void {
    const { agents, events, nameOf } = this.#cluster;
    if (this.#told.has(host) || agents.get(host) !== undefined) return;
    this.#told.add(host);
    const name = nameOf(host);
    events.add('ha-host-failed', `HA has detected a possible failure of ${name}`, { host: name });
  }

  hostIsBack(host: string): void {
    this.#told.delete(host);
  }

  /** This center leads from now on, or no more: what it has seen is old. */
  clear(): void {
    this.leases.clear();
    this.#told.clear();
  }
}

/** `watchdogSeconds` null: not watched. @throws ha-needs-datastore */
export function setHa(cluster: Cluster, vm: Vm, wish: Input<'setHa'>['body']): void {
  const { id, name, datastore } = vm.spec;
  if (wish.restart === true && datastore === undefined) {
    throw new UmbraError(
      'ha-needs-datastore',
      `${name} cannot be restarted elsewhere: its disks are on its host alone`,
      'Create it with --datastore NAME, or protect it: umbra ft on.',
    );
  }
  const before = haOf(vm);
  const { restart = before.restart, priority = before.priority } = wish;
  const { watchdogSeconds: seconds = before.watchdogSeconds ?? null } = wish;
  const next: HaWish = { restart, priority, watchdogSeconds: seconds ?? undefined };
  if (JSON.stringify(next) === JSON.stringify(before)) return;
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...vm, ha: next });
    const what = restart ? `restarted elsewhere, priority ${priority}` : 'not restarted';
    const watched = seconds === null ? 'not watched' : `reset after ${seconds} s without response`;
    const text = `if its host is lost, ${name} is ${what}; its guest is ${watched}`;
    cluster.events.add('ha-reconfigured', text, { vm: name, ...next });
  });
  cluster.evaluate(id);
}

/** What a live copy says of its lease and its guest. @returns whether the report was about that */
export function haReported(
  cluster: Cluster,
  { spec: { id, name } }: Vm,
  host: string,
  report: Readonly<Record<string, unknown>>,
): boolean {
  const { kind, seconds } = report;
  const data = { vm: name, host };
  if (kind === 'lease-lapsed') {
    const text = `${name} stands still on ${host}: the arbiter has not renewed its lease`;
    cluster.events.add('ha-vm-held', text, data);
    return true;
  }
  if (kind === 'lease-renewed') {
    cluster.events.add('ha-vm-released', `${name} goes on, on ${host}: its lease is renewed`, data);
    return true;
  }
  if (kind !== 'guest-reset' && kind !== 'guest-not-responding') return false;
  const why = `its guest has not served its own timer for ${seconds} s`;
  if (kind === 'guest-reset') {
    cluster.events.add('ha-vm-reset', `${name} was reset by HA: ${why}`, data);
    return true;
  }
  const text = `${name} does not respond and is not reset any more: ${why}, again and again`;
  cluster.events.add('ha-vm-reset-failed', text, data);
  const common = { kind: 'ha-guest-not-responding', subject: id, severity: 'red' } as const;
  cluster.alarms.latch({ ...common, text, vm: name });
  return true;
}
