/**
 * How the cluster is, from its views: each VM that runs counts once, as protected, degraded (it
 * should be protected and is not) or unprotected (nobody asked for it). Pure.
 */
import type { AlarmView } from '../../api/lifecycle-views.ts';
import type { HostView, VmView } from '../../api/views.ts';

export type Protection = 'protected' | 'degraded' | 'unprotected' | 'off';

export function protectionOf({ state, ft }: Pick<VmView, 'state' | 'ft'>): Protection {
  if (state === 'poweredOff' || state === 'suspended') return 'off';
  if (ft.state === 'running') return 'protected';
  return ft.state === 'notConfigured' ? 'unprotected' : 'degraded';
}

export interface Health {
  readonly tone: 'good' | 'warn' | 'bad' | 'off';
  readonly text: string;
  readonly vms: Readonly<Record<Protection, number>>;
  readonly hostsDown: number;
  readonly openAlarms: number;
}

export function healthOf(
  vms: readonly VmView[],
  hosts: readonly HostView[],
  alarms: readonly AlarmView[],
): Health {
  const counts = { protected: 0, degraded: 0, unprotected: 0, off: 0 };
  for (const vm of vms) counts[protectionOf(vm)] += 1;
  const hostsDown = hosts.filter(({ state }) => state === 'notResponding').length;
  const open = alarms.filter(({ acknowledged }) => acknowledged === null);
  const isRed = open.some(({ severity }) => severity === 'red');
  const [tone, text] = words(counts, hosts.length, hostsDown, isRed, open.length);
  return { tone, text, vms: counts, hostsDown, openAlarms: open.length };
}

function words(
  { degraded }: Readonly<Record<Protection, number>>,
  hosts: number,
  hostsDown: number,
  isRed: boolean,
  open: number,
): readonly [Health['tone'], string] {
  if (hosts === 0) return ['off', 'No hosts yet'];
  if (hostsDown > 0) return ['bad', `${hostsDown} of ${hosts} hosts not responding`];
  if (degraded > 0) return ['warn', `${degraded} not protected as wished`];
  if (open > 0) return [isRed ? 'bad' : 'warn', 'Needs attention'];
  return ['good', 'Healthy'];
}
