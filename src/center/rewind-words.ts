/** What is said of putting a VM back, at more than one place; and what is known of why. */
import { UmbraError } from '../base/errors.ts';
import type { Vm } from './inventory.ts';

export const onDatastore = (name: string): UmbraError =>
  new UmbraError(
    'rewind-on-datastore',
    `the disks of ${name} are on a datastore, where what they held at an earlier place is not kept`,
    `Go back to a snapshot, which does: umbra vm snapshot revert ${name} SNAPSHOT.`,
  );

/** Who does what a policy wants: in tasks, events and the audit trail. */
export const policyName = 'policy';

/** The last incident of a VM of which a recording was kept. */
export interface VmIncident {
  /** The recording's id. */
  readonly recording: string;
  /** What has been seen, for people. */
  readonly what: string;
  /** `told`: people have been. `due`: to be put back. `back`: it has been, and is to be powered on. */
  readonly stage: 'told' | 'due' | 'back';
  /** Unix milliseconds, of this cluster's centers; absent while it is `told`. */
  readonly dueAtMs?: number;
  /** It has been counted, and begun. */
  readonly isBegun?: boolean;
  /** How far back it goes, before the guest failed, seconds of its own time. */
  readonly seconds?: number;
}

/** Who put it back, and how far, in words; undefined: it was no policy. */
export function policyInWords({ incident, flight }: Vm, recording: string): string | undefined {
  if (incident?.stage !== 'due' || incident.recording !== recording) return undefined;
  const { seconds = 0, what } = incident;
  const wished = flight?.rewindSeconds ?? seconds;
  const isLess = seconds < wished;
  const less = isLess ? ` (the recording holds no more; ${wished} s were wished)` : '';
  return `by its policy, to ${seconds.toFixed(1)} s before its guest failed${less}: ${what}`;
}
