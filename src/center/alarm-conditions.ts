/**
 * From how things are to the conditions of alarms. Pure; the bounds are here in one place.
 *
 * The lag's bounds (0.2 s, 0.8 s) are tighter than the reference's (2 s, 6 s), since the lag is held
 * below one second anyway (FACTS 3).
 */
import type { FtStatusView } from '../api/views.ts';
import type { Condition } from './alarms.ts';
import type { Shortage } from './capacity.ts';

export interface VmFacts {
  readonly id: string;
  readonly name: string;
  readonly ft: FtStatusView;
  /** The daemon of the host where it is live is connected, and reports it. */
  readonly isReported: boolean;
  /** Its live copy has said that the arbiter does not answer it. */
  readonly isArbiterSilent: boolean;
  /** Its host is lost, and why it cannot be restarted elsewhere. */
  readonly cannotRestart?: string | undefined;
}

export interface HostFacts {
  readonly id: string;
  readonly name: string;
  readonly connected: boolean;
  /** Has it ever been there? One that has only joined does not count as lost. */
  readonly isKnown: boolean;
  /** Of its clock before the center's; undefined where it does not tell. */
  readonly clockAheadMs: number | undefined;
}

export interface Facts {
  readonly vms: readonly VmFacts[];
  readonly hosts: readonly HostFacts[];
  readonly shortage: Shortage | undefined;
}

export const bounds = {
  lagYellowMs: 200,
  lagRedMs: 800,
  /** Guests live by the clock of their host: after a failover theirs would jump, or stand. */
  clockAheadMs: 500,
} as const;

const swingMs = 1_000;
/** Hosts come and go at a start; capacity is no matter of seconds. */
const capacityHoldMs = 5_000;

export function conditionsOf({ vms, hosts, shortage }: Facts): Condition[] {
  return [
    ...vms.flatMap(vmConditions),
    ...hosts.flatMap(hostConditions),
    ...(shortage === undefined ? [] : [capacityCondition(shortage)]),
  ];
}

function vmConditions(facts: VmFacts): Condition[] {
  const { id: subject, name: vm, ft, isReported, isArbiterSilent, cannotRestart } = facts;
  const found: Condition[] = [];
  if (ft.state === 'needShadow') {
    const why = ft.reason ?? 'other';
    const text = `${vm} is not protected: it needs a shadow (${why})`;
    found.push({ kind: 'ft-need-shadow', subject, severity: 'red', text, vm });
  }
  if (ft.state === 'running') found.push(...lagConditions(subject, vm, ft, isReported));
  if (isArbiterSilent) {
    const text = `the live copy of ${vm} cannot reach the arbiter: its outputs are held`;
    found.push({ kind: 'arbiter-unreachable', subject, severity: 'red', text, vm });
  }
  if (cannotRestart !== undefined) {
    const text = `HA virtual machine failover failed: ${vm} cannot be restarted: ${cannotRestart}`;
    const common = { kind: 'ha-failover-failed', subject, severity: 'red' } as const;
    found.push({ ...common, text, vm, holdMs: swingMs });
  }
  return found;
}

function lagConditions(
  subject: string,
  vm: string,
  { shadow }: FtStatusView,
  isReported: boolean,
): Condition[] {
  const common = { kind: 'ft-lag', subject, vm, holdMs: swingMs } as const;
  if (!isReported || shadow === null) {
    const text = `how far the shadow of ${vm} lags is unknown: the primary's host is not responding`;
    return [{ ...common, severity: 'gray', text }];
  }
  const { lagMs } = shadow;
  if (lagMs <= bounds.lagYellowMs) return [];
  const severity = lagMs > bounds.lagRedMs ? 'red' : 'yellow';
  const bound = severity === 'red' ? bounds.lagRedMs : bounds.lagYellowMs;
  const text = `the shadow of ${vm} lags ${Math.round(lagMs)} ms behind (more than ${bound} ms)`;
  return [{ ...common, severity, text }];
}

function hostConditions(facts: HostFacts): Condition[] {
  const { id: subject, name: host, connected, isKnown, clockAheadMs } = facts;
  const found: Condition[] = [];
  if (!connected && isKnown) {
    const text = `${host} is not responding`;
    found.push({ kind: 'host-not-responding', subject, severity: 'red', text, host });
  }
  if (connected && clockAheadMs !== undefined && Math.abs(clockAheadMs) > bounds.clockAheadMs) {
    const seconds = Math.abs(clockAheadMs / 1000).toFixed(1);
    const text = `the clock of ${host} is ${seconds} s ${clockAheadMs > 0 ? 'ahead of' : 'behind'} the center's`;
    found.push({ kind: 'host-clock-off', subject, severity: 'yellow', text, host });
  }
  return found;
}

function capacityCondition({ host, vms }: Shortage): Condition {
  const text = `if ${host} is lost, there is no room for a new copy of ${vms.join(', ')}`;
  const common = { kind: 'capacity', subject: 'cluster', severity: 'yellow' } as const;
  return { ...common, text, holdMs: capacityHoldMs };
}
