/**
 * What maintenance of a host would do, before it is begun: where each of its copies would go, and
 * what would stay. Reads only.
 *
 * It is a rehearsal: the same choices as maintenance.ts, migration.ts and protection.ts make, one
 * copy after the other in the same order, on hosts whose loads grow with what has been given to
 * them; the next shadow of a VM that has been taken over before the copy after it. It holds for this
 * moment: whatever is powered on, lost or moved meanwhile changes it.
 */
import type { EvacuationView } from '../api/lifecycle-views.ts';
import { coldStartHosts } from '../lockstep/arbiter.ts';
import { withLoad } from './capacity.ts';
import type { Cluster } from './cluster.ts';
import type { Vm } from './inventory.ts';
import { bestTarget } from './migration.ts';
import { choose, type HostState, type Need } from './placement.ts';
import { type CopyReport, liveOf, needOf, plan, type Situation } from './protection.ts';
import { isProtected, withoutWishes } from './wishes.ts';

type Move = EvacuationView['moves'][number];
type Destination = Pick<Move, 'to' | 'why'>;

/** Throws `host-unknown` for what is no host. */
export function previewMaintenance(cluster: Cluster, name: string): EvacuationView {
  const host = cluster.hostNamed(name);
  const rehearsal = new Rehearsal(cluster, host);
  for (const { vm, copy } of cluster.maintenance.copiesOn(host)) {
    if (copy === 'live') rehearsal.moveLive(vm);
    else rehearsal.moveShadow(vm);
  }
  const { moves } = rehearsal;
  return {
    isPossible: moves.every(({ to }) => to !== null),
    moves,
    stranded: strandedOn(cluster, host),
  };
}

/** A protected VM that has just gone live on a host. */
interface Bare {
  readonly vm: Vm;
  readonly host: string;
}

class Rehearsal {
  readonly #cluster: Cluster;
  readonly #leaving: string;
  #hosts: readonly HostState[];
  readonly moves: Move[] = [];

  constructor(cluster: Cluster, leaving: string) {
    this.#cluster = cluster;
    this.#leaving = leaving;
    this.#hosts = cluster
      .hostStates()
      .map((host) => (host.id === leaving ? { ...host, maintenance: true } : host));
  }

  moveLive(vm: Vm): void {
    const { move, bare } = this.#live(vm);
    const shadow = bare && this.#nextShadow(this.#afterTakeOver(bare));
    this.moves.push(shadow === undefined ? move : { ...move, shadow });
  }

  moveShadow(vm: Vm): void {
    this.moves.push(this.#shadow(vm));
  }

  #live(vm: Vm): { readonly move: Move; readonly bare?: Bare } {
    const { limits } = this.#cluster;
    const situation = this.#situation(vm);
    const eligible = situation.record?.eligibleShadow;
    const how = eligible === undefined ? 'migrate' : 'take-over';
    const move = { vm: vm.spec.name, copy: 'live', how, shadow: null } as const;
    const obstacle = this.#obstacle(situation);
    if (obstacle !== undefined) return { move: { ...move, ...nowhere(obstacle) } };
    const others = situation.hosts.filter(({ id }) => id !== this.#leaving);
    const shadow = others.find(({ id }) => id === eligible?.host);
    const going = others.find(({ id }) => id === vm.moveTo);
    const chosen =
      going === undefined ? bestTarget(others, shadow, needOf(vm), limits) : { host: going };
    if (chosen.host === undefined) return { move: { ...move, ...nowhere(chosen.why) } };
    const target = chosen.host;
    if (target !== shadow) this.#give(target.id, needOf(vm));
    const moved: Move = {
      ...move,
      how: target === shadow ? 'take-over' : 'migrate',
      ...to(target),
    };
    return { move: moved, ...(isProtected(vm) && { bare: { vm, host: target.id } }) };
  }

  #shadow(vm: Vm): Move {
    const { limits } = this.#cluster;
    const move = { vm: vm.spec.name, copy: 'shadow', how: 'move-shadow', shadow: null } as const;
    const situation = this.#situation(vm);
    const live = liveOf(situation);
    if (situation.record?.eligibleShadow?.host !== this.#leaving || live === undefined) {
      // It has not caught up yet: it is dropped, and another one begun where there is room.
      const copies = situation.copies.filter(({ host }) => host !== this.#leaving);
      return { ...move, ...this.#nextShadow({ ...situation, copies }) };
    }
    const others = situation.hosts.filter(
      ({ id }) => id !== this.#leaving && id !== live.member.host,
    );
    const going = others.find(({ id }) => id === vm.moveShadowTo);
    const chosen = going === undefined ? choose(others, needOf(vm), limits) : { host: going };
    if (chosen.host === undefined) return { ...move, ...nowhere(chosen.why) };
    this.#give(chosen.host.id, needOf(vm));
    return { ...move, ...to(chosen.host) };
  }

  /** Why its live copy cannot be moved at all. */
  #obstacle(situation: Situation): string | undefined {
    if (situation.record === undefined) {
      return 'the arbiter is recovering and does not know yet who is live';
    }
    if (situation.vm.wanted === 'off') return 'it is being powered off';
    if (liveOf(situation)?.copy !== undefined) return undefined;
    return `${this.#cluster.nameOf(this.#leaving)} does not say that it runs there`;
  }

  /** With what is set aside for all others; as it is, but for the host that is emptied. */
  #situation(vm: Vm): Situation {
    const own = [vm.host, vm.shadowHost];
    const hosts = this.#hosts.map((host) =>
      own.includes(host.id) ? withoutLoad(host, needOf(vm)) : host,
    );
    return { ...this.#cluster.situation(vm), hosts };
  }

  /** It is live on the target, without a shadow. */
  #afterTakeOver({ vm, host }: Bare): Situation {
    const situation = this.#situation({ ...vm, host, shadowHost: undefined });
    const process = `next ${vm.spec.id}`;
    const { copy } = liveOf(situation)!;
    const status = { ...copy!.status, process, role: 'live', ftState: 'needShadow' } as const;
    const copies: CopyReport[] = [{ host, status }];
    const record = {
      ...situation.record!,
      ...{ live: { host, process }, eligibleShadow: undefined },
    };
    return { ...situation, record, copies, hasEnded: () => false };
  }

  /** As the planner would choose it. */
  #nextShadow(situation: Situation): Destination {
    const vm = { ...withoutWishes(situation.vm), shadowHost: undefined };
    const { shadowHost, obstacle } = plan({ ...situation, vm });
    const host = this.#hosts.find(({ id }) => id === shadowHost);
    if (host === undefined) return nowhere(obstacle ?? 'it is not wished any more');
    this.#give(host.id, needOf(vm));
    return to(host);
  }

  #give(host: string, need: Need): void {
    this.#hosts = this.#hosts.map((each) => (each.id === host ? withLoad(each, need) : each));
  }
}

const to = ({ name }: HostState): Destination => ({ to: name, why: null });
const nowhere = (why: string): Destination => ({ to: null, why });

function withoutLoad(host: HostState, { memoryBytes, cpus, protected: counts }: Need): HostState {
  const { load } = host;
  return {
    ...host,
    load: {
      memoryBytes: load.memoryBytes - memoryBytes,
      ftVms: load.ftVms - (counts ? 1 : 0),
      ftCpus: load.ftCpus - (counts ? cpus : 0),
    },
  };
}

/** What is off and would have to be powered on just here. */
function strandedOn(cluster: Cluster, host: string): EvacuationView['stranded'] {
  return cluster.inventory.vms.flatMap((vm): EvacuationView['stranded'] => {
    const record = cluster.arbiter.entry(vm.spec.id)?.record;
    if (record === undefined || record.state === 'live') return [];
    if (record.saved?.host === host) return [{ vm: vm.spec.name, needs: 'saved-state' }];
    const current = coldStartHosts(record);
    const isHereOnly = current.length > 0 && current.every((id) => id === host);
    const hasDisksOnHosts = vm.spec.disks.length > 0 && vm.spec.datastore === undefined;
    return hasDisksOnHosts && isHereOnly ? [{ vm: vm.spec.name, needs: 'disks' }] : [];
  });
}
