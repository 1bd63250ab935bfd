/** What the loss of the primary's host would mean at this moment, in words. Pure. */
import type { VmFigures } from '../../../../../api/live.ts';
import type { HostView, VmView } from '../../../../../api/views.ts';
import type { Tone } from '../../../../parts/tone.ts';
import { duration } from '../../../../parts/units.ts';

export interface Outcome {
  readonly tone: Tone;
  readonly text: string;
}

export function ifPrimaryWereLost(
  vm: Pick<VmView, 'state' | 'ft' | 'memoryBytes'>,
  hosts: readonly HostView[],
  figures: Pick<VmFigures, 'lagMs'> | undefined,
): Outcome {
  const { state, ft, memoryBytes } = vm;
  if (ft.primary === null || state === 'poweredOff' || state === 'suspended') {
    return { tone: 'off', text: 'nothing runs that could be lost.' };
  }
  const taken = new Set([ft.primary.host, ft.shadow?.host]);
  const others = hosts.filter(
    ({ kind, state: is, name, memoryFreeBytes }) =>
      kind === 'host' && is === 'connected' && !taken.has(name) && memoryFreeBytes >= memoryBytes,
  );
  if (ft.state === 'running' && ft.shadow !== null) {
    const lag = figures?.lagMs ?? ft.shadow.lagMs;
    const again =
      others.length > 0
        ? `A new shadow would start on ${nameSome(others)}.`
        : 'No other host has room for a new shadow: it would run unprotected until one has.';
    return {
      tone: others.length > 0 ? 'good' : 'warn',
      text:
        `the shadow on ${ft.shadow.host} would replay the ${duration(lag)} that it is behind and go live. ` +
        `Connections stay open and nothing acknowledged is lost. ${again}`,
    };
  }
  if (ft.state === 'starting' || ft.state === 'needShadow') {
    return {
      tone: 'bad',
      text: 'it would stop, as no shadow has caught up yet. It is protected again as soon as one has.',
    };
  }
  return {
    tone: 'warn',
    text: 'it would stop. Without a shadow its memory and connections are gone with that host.',
  };
}

function nameSome(hosts: readonly HostView[]): string {
  const names = hosts.map(({ name }) => name);
  return names.length <= 2 ? names.join(' or ') : `one of ${names.length} hosts`;
}
