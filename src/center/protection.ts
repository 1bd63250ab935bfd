/**
 * What should happen next to one VM: a pure function of wishes, the arbiter's record and what the
 * hosts report. The supervisor calls it at every change and sends what it says.
 *
 *   off --start--> starting --live--> on --ft on--> choosing --startShadow--> starting --> running
 *                     ^                ^               ^                                      |
 *                     |                |               +--------- shadow lost (goAlone) ------+
 *                     |                +--------------------- primary lost (claim) -----------+
 *                     +---- the live process has certainly ended, or its lease has, and no shadow
 *                           may claim
 *
 * The arbiter's record says who is live; reports say what exists. Commands bring what exists nearer
 * to what is wished and may be repeated (api/agent.ts). Invariants: never two copies on one host;
 * `dismiss` never goes to the live copy nor to the eligible shadow; `fenced` only if the process
 * that was live is known to have ended, or to say nothing any more: its lease has ended.
 */
import type { CenterMessage, VmStatus } from '../api/agent.ts';
import { coldStartHosts, leaseOf, type Member, type VmRecord } from '../lockstep/arbiter.ts';
import type { HaSituation } from './ha.ts';
import type { Vm } from './inventory.ts';
import {
  type Avoided,
  choose,
  type HostState,
  type Limits,
  type Need,
  obstacle,
} from './placement.ts';
import { isProtected, shadowWish, wantsShadow } from './wishes.ts';

/** A process of this VM, as its host has reported it; ended ones are not listed. */
export interface CopyReport {
  readonly host: string;
  readonly status: VmStatus;
}

export interface Situation {
  readonly vm: Vm;
  /** The arbiter's record; undefined while the arbiter itself is not sure of it. */
  readonly record: VmRecord | undefined;
  readonly copies: readonly CopyReport[];
  readonly hosts: readonly HostState[];
  readonly limits: Limits;
  /** Certainly: reported as ended, or absent from all that its host runs, or its host removed. */
  readonly hasEnded: (member: Member) => boolean;
  /** For this VM. */
  readonly avoid: Avoided;
  /** Of a VM on a datastore. */
  readonly ha?: HaSituation;
}

export interface Command {
  readonly host: string;
  readonly message: CenterMessage;
}

export interface Plan {
  readonly host: string | undefined;
  readonly shadowHost: string | undefined;
  readonly commands: readonly Command[];
  /** Why a wish cannot be fulfilled now. */
  readonly obstacle: string | undefined;
}

/** Who is live, and the process's own report if its host is connected. */
export interface Live {
  readonly member: Member;
  readonly copy: CopyReport | undefined;
}

export function liveOf({ record, copies }: Pick<Situation, 'record' | 'copies'>): Live | undefined {
  if (record !== undefined) {
    if (record.state !== 'live' || record.live === undefined) return undefined;
    const member = record.live;
    return { member, copy: copies.find((copy) => copy.status.process === member.process) };
  }
  // The arbiter is recovering: the copy that was made live last.
  const [copy] = copies
    .filter((each) => each.status.role === 'live')
    .sort((a, b) => b.status.epoch - a.status.epoch || b.status.generation - a.status.generation);
  if (copy === undefined) return undefined;
  return { member: { host: copy.host, process: copy.status.process }, copy };
}

export function plan(situation: Situation): Plan {
  const live = liveOf(situation);
  const next = live === undefined ? planPower(situation) : planLive(situation, live);
  const commands = [...next.commands, ...strays(situation, live, next), ...watch(situation, live)];
  return { ...next, commands };
}

/** Whether the guest is watched is told to whichever copy is live. */
function watch({ vm }: Situation, live: Live | undefined): Command[] {
  if (live?.copy?.status.role !== 'live') return [];
  const seconds = vm.ha?.watchdogSeconds;
  if (live.copy.status.watchdogSeconds === seconds) return [];
  const order = { kind: 'watchdog', vm: vm.spec.id } as const;
  const message = seconds === undefined ? order : { ...order, seconds };
  return [{ host: live.copy.host, message }];
}

export const needOf = (vm: Vm, countsAsProtected = isProtected(vm)): Need => ({
  memoryBytes: vm.spec.memoryBytes,
  cpus: vm.spec.cpus,
  protected: countsAsProtected,
  datastore: vm.spec.datastore,
  isolated: vm.spec.isolated,
});

/** Nothing is live: power on, if that is wished. */
function planPower(situation: Situation): Plan {
  const { vm, record } = situation;
  const idle = { host: vm.host, shadowHost: undefined, commands: [], obstacle: undefined };
  // Before the arbiter is sure, somebody may be live whom nobody has heard of yet.
  if (vm.wanted === 'off' || record === undefined || isStarting(situation)) return idle;
  return start(situation, record, false, undefined);
}

/** It has been told to start, and is about to. */
function isStarting({ vm, copies }: Situation): boolean {
  return copies.some(({ host, status }) => host === vm.host && status.role === 'starting');
}

/**
 * Powers on where no acknowledged write is missing; a VM without disks starts anywhere, one on a
 * datastore wherever that is.
 * @param except a host on which a copy may still be, silent
 */
function start(
  situation: Situation,
  record: VmRecord,
  fenced: boolean,
  except: string | undefined,
): Plan {
  const { vm, limits, avoid } = situation;
  const hosts = situation.hosts.filter(({ id }) => id !== except);
  const isShared = vm.spec.datastore !== undefined;
  // Empty disks are as good anywhere as nowhere.
  const isNew = record.generation === 0 && record.currentReplicas.length === 0;
  const acceptStale = vm.spec.disks.length === 0 || isNew || vm.acceptStale || isShared;
  const saved = vm.discardState ? undefined : record.saved;
  const current = acceptStale ? undefined : coldStartHosts(record);
  const allowed = saved === undefined || isShared ? current : [saved.host];
  const candidates = hosts.filter((host) => allowed === undefined || allowed.includes(host.id));
  const need = needOf(vm, false);
  const preferred = candidates.find((host) => host.id === vm.preferredHost);
  const chosen =
    preferred !== undefined && obstacle(preferred, need, limits) === undefined
      ? { host: preferred }
      : choose(candidates, need, limits, avoid);
  const shadowHost = undefined;
  if (chosen.host === undefined) {
    const none = 'no host has a current replica of its disks';
    const reason = candidates.length === 0 ? none : chosen.why;
    const why =
      saved === undefined || isShared
        ? reason
        : `its saved state can be had nowhere else: ${reason}`;
    return { host: vm.host, shadowHost, commands: [], obstacle: why };
  }
  const discard = vm.discardState ? { discardState: true } : {};
  const { leaseMs } = situation.ha ?? {};
  const lapsed = fenced ? leaseOf(record) : undefined;
  const lease = {
    ...(leaseMs !== undefined && { leaseMs }),
    ...(lapsed !== undefined && { lapsed }),
  };
  const what = { kind: 'start', vm: vm.spec, fenced, acceptStale } as const;
  const message = { ...what, ...discard, ...lease };
  const host = chosen.host.id;
  return { host, shadowHost, commands: [{ host, message }], obstacle: undefined };
}

function planLive(situation: Situation, live: Live): Plan {
  const { vm, record } = situation;
  const { host } = live.member;
  const known = record?.eligibleShadow?.host ?? vm.shadowHost;
  const shadowHost = known === host ? undefined : known;
  const quiet = { host, shadowHost, commands: [], obstacle: undefined };
  if (isReplaceable(situation, live) && record !== undefined) {
    const eligible = record.eligibleShadow;
    // The shadow is about to claim; starting beside it would throw its work away.
    if (eligible !== undefined && !situation.hasEnded(eligible)) return quiet;
    const idle = { ...quiet, host: vm.host, shadowHost: undefined };
    if (vm.wanted === 'off' || isStarting(situation)) return idle;
    const { waitsFor } = situation.ha ?? {};
    if (waitsFor !== undefined) return { ...quiet, obstacle: `${waitsFor} is restarted first` };
    const except = situation.hasEnded(live.member) ? undefined : host;
    return start(situation, record, true, except);
  }
  if (live.copy === undefined) return quiet;
  if (vm.wanted === 'off') {
    const message = { kind: 'stop', vm: vm.spec.id, how: 'power-off' } as const;
    return { ...quiet, commands: [{ host, message }] };
  }
  const eligible = record?.eligibleShadow;
  if (!wantsShadow(vm) || vm.restartShadow) {
    // While it may go live it is no stray; what is set aside for it stays so.
    const commands = withdraw(vm, live.copy);
    return { ...quiet, shadowHost: eligible?.host, commands };
  }
  if (live.copy.status.role !== 'live') return quiet;
  // Protected, or parting from a shadow: until that is settled there is nothing to choose.
  if (eligible === undefined) return planShadow(situation, live.copy);
  const wish = shadowWish(vm, host);
  if (wish === undefined || wish === eligible.host) return quiet;
  return { ...quiet, commands: withdraw(vm, live.copy) };
}

/** It has certainly ended, or says nothing any more; in either case another one may be started. */
function isReplaceable(situation: Situation, { member }: Live): boolean {
  return situation.hasEnded(member) || situation.ha?.leaseEnded === true;
}

/** The primary is told first; its shadow is dismissed when the arbiter has made it ineligible. */
function withdraw(vm: Vm, { host, status }: CopyReport): Command[] {
  if (status.ftState === 'notConfigured' || status.ftState === 'disabled') return [];
  return [{ host, message: { kind: 'protect', vm: vm.spec.id, shadowHost: undefined } }];
}

/** The primary is alone: chooses a host for its shadow, and brings the two together. */
function planShadow(situation: Situation, primary: CopyReport): Plan {
  const { vm, copies, hosts, limits, avoid } = situation;
  const { host, status } = primary;
  const others = hosts.filter((each) => each.id !== host);
  const need = needOf(vm);
  const isAble = (id: string | undefined): boolean =>
    others.some((each) => each.id === id && obstacle(each, need, limits) === undefined);
  const wish = shadowWish(vm, host);
  const attached = status.ftState === 'starting' || status.ftState === 'running';
  const isAttached = (id: string): boolean => attached && status.shadowHost === id;
  const exists = (id: string): boolean =>
    copies.some((copy) => copy.host === id && copy.status.process !== status.process);
  // One that is being built goes on, whatever has happened on its host before.
  const isBuilt = (id: string): boolean => isAttached(id) && exists(id);
  const kept = [vm.shadowHost, vm.replicaHost].find(
    (id) => id !== undefined && isAble(id) && (isBuilt(id) || !avoid.has(id)),
  );
  const preferred = isAble(wish) ? wish : vm.moveTo === undefined ? kept : undefined;
  const candidates = others.filter(({ id }) => id === (preferred ?? vm.moveTo ?? id));
  const chosen = choose(candidates, need, limits, avoid);
  if (chosen.host === undefined) {
    return { host, shadowHost: undefined, commands: [], obstacle: chosen.why };
  }
  const shadowHost = chosen.host.id;
  const commands: Command[] = [];
  if (!isAttached(shadowHost)) {
    commands.push({ host, message: { kind: 'protect', vm: vm.spec.id, shadowHost } });
  }
  const { logAddress: address, logPort: port } = status;
  if (!exists(shadowHost) && address !== undefined && port !== undefined) {
    const message = { kind: 'startShadow', vm: vm.spec, primary: { host, address, port } } as const;
    commands.push({ host: shadowHost, message });
  }
  return { host, shadowHost, commands, obstacle: undefined };
}

/** Copies that have no part in the plan. */
function strays(situation: Situation, live: Live | undefined, next: Plan): Command[] {
  const { vm, record, copies } = situation;
  if (record === undefined) return [];
  const present = live === undefined || isReplaceable(situation, live) ? undefined : live;
  const message = { kind: 'dismiss', vm: vm.spec.id } as const;
  return copies
    .filter((copy) => isStray(copy, record, present, next, vm))
    .map(({ host }) => ({ host, message }));
}

/** @param live undefined also if that process has certainly ended */
function isStray(
  { host, status }: CopyReport,
  record: VmRecord,
  live: Live | undefined,
  next: Plan,
  vm: Vm,
): boolean {
  const { process, role } = status;
  if (process === record.live?.process || process === record.eligibleShadow?.process) return false;
  // Reports are older than the arbiter's grants: what is on the live copy's host is that copy, not
  // yet known by its name.
  if (host === live?.member.host) return false;
  if (role === 'live') return live !== undefined && status.generation < record.generation;
  if (live === undefined) return role === 'shadow' || vm.wanted === 'off' || host !== next.host;
  return !(wantsShadow(vm) && host === next.shadowHost);
}
