/** What is marked in charts: when another copy went live, or the shadow was lost. Pure. */
import type { EventView } from '../../../../../api/views.ts';
import { roleChanges } from '../fault-tolerance/role-changes.ts';

export interface Mark {
  readonly sequence: number;
  /** Unix milliseconds. */
  readonly time: number;
  readonly kind: 'failover' | 'lost';
  readonly text: string;
  readonly cause: string | undefined;
  /** What was measured of it (role-changes.ts). */
  readonly facts: readonly string[];
}

/** @param events of the VM, oldest first. @param since Unix milliseconds */
export function marksOf(events: readonly EventView[], since: number): readonly Mark[] {
  return roleChanges(events).flatMap(({ sequence, time, kind, text, cause, facts }) => {
    if (kind !== 'failover' && kind !== 'lost') return [];
    const at = Date.parse(time);
    return at < since ? [] : [{ sequence, time: at, kind, text, cause, facts }];
  });
}
