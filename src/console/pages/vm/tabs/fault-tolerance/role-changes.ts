/** From a VM's events to the changes of its roles, each with its cause as far as events tell. Pure. */
import type { EventView } from '../../../../../api/views.ts';

export interface RoleChange {
  readonly sequence: number;
  readonly time: string;
  readonly kind: 'failover' | 'protected' | 'lost' | 'off' | 'power';
  readonly text: string;
  readonly cause: string | undefined;
}

const kinds: Readonly<Record<string, RoleChange['kind']>> = {
  'ft-primary-failover': 'failover',
  'vm-migrated': 'failover',
  'ft-shadow-started': 'protected',
  'ft-shadow-lost': 'lost',
  'ft-disabled': 'off',
  'ft-turned-off': 'off',
  'ft-disabled-by-system': 'off',
  'vm-powered-on': 'power',
  'vm-powered-off': 'power',
  'vm-suspended': 'power',
  'vm-resumed': 'power',
};

/** What may lead to a change of roles, and how it is named. */
const causes: Readonly<Record<string, string>> = {
  'ft-test-failover': 'by a test failover',
  'ft-restart-shadow': 'by a test restart of the shadow',
  'ft-migrate-shadow': 'as the shadow was to move',
  'vm-migration-started': 'by a migration',
  'ft-divergence': 'after the copies diverged',
};

const causeMsMax = 30_000;

/** @param events of the VM, oldest first */
export function roleChanges(events: readonly EventView[]): readonly RoleChange[] {
  const found: RoleChange[] = [];
  let cause: EventView | undefined;
  for (const event of events) {
    if (event.kind in causes) cause = event;
    const kind = kinds[event.kind];
    if (kind === undefined) continue;
    const isNear =
      cause !== undefined && Date.parse(event.time) - Date.parse(cause.time) <= causeMsMax;
    const isUnasked = kind === 'failover' || kind === 'lost';
    const { sequence, time, text } = event;
    found.push({
      ...{ sequence, time, kind, text },
      cause: !isUnasked
        ? undefined
        : isNear
          ? causes[cause!.kind]
          : kind === 'failover'
            ? 'after the primary was lost'
            : undefined,
    });
    if (kind === 'failover') cause = undefined;
  }
  return found;
}
