/**
 * From a VM's events to the changes of its roles, each with its cause and what it cost, as the copies
 * themselves have told (center/report-words.ts `wentLiveOf`, center/wishes.ts `shadowLossCause`).
 * What an older host or center has not told stays unsaid. Pure.
 */
import type { EventView } from '../../../../../api/views.ts';
import { duration, plural } from '../../../../parts/units.ts';

export interface RoleChange {
  readonly sequence: number;
  readonly time: string;
  readonly kind: 'failover' | 'protected' | 'lost' | 'needed' | 'off' | 'power';
  readonly text: string;
  readonly cause: string | undefined;
  /** What was measured: how long nobody spoke for the VM, and the like. */
  readonly facts: readonly string[];
}

const kinds: Readonly<Record<string, RoleChange['kind']>> = {
  'ft-primary-failover': 'failover',
  'vm-migrated': 'failover',
  'ft-shadow-started': 'protected',
  'ft-shadow-lost': 'lost',
  'ft-need-shadow': 'needed',
  'ft-disabled': 'off',
  'ft-turned-off': 'off',
  'ft-disabled-by-system': 'off',
  'vm-powered-on': 'power',
  'vm-powered-off': 'power',
  'vm-suspended': 'power',
  'vm-resumed': 'power',
};

const goLiveCauses: Readonly<Record<string, string>> = {
  'handed-over': 'handed over by the primary',
  silent: 'the primary was silent',
  closed: "the primary's host was lost",
  doubted: "the primary's host was lost, and the primary did not answer",
};

const lossCauses: Readonly<Record<string, string>> = {
  restart: 'a restart of the shadow was asked for',
  'migrate-shadow': 'the shadow was to move',
  migration: 'the VM was migrated',
  'not-wanted': 'it was not wanted any more',
  lost: 'the shadow was lost',
};

type Data = EventView['data'];

/** @param events of the VM, oldest first */
export function roleChanges(events: readonly EventView[]): readonly RoleChange[] {
  // Both are said of one change, in whichever order their ways allow: the generation joins them.
  const stories = new Map<unknown, Data>();
  for (const { kind, data } of events) {
    if (kind === 'ft-went-live') stories.set(data['generation'], data);
  }
  let isTest = false;
  let hasDiverged = false;
  return events.flatMap(({ sequence, time, kind: event, text, data }): RoleChange[] => {
    if (event === 'ft-test-failover') isTest = true;
    if (event === 'ft-divergence') hasDiverged = true;
    const kind = kinds[event];
    if (kind === undefined) return [];
    const story = stories.get(data['generation']);
    let cause: string | undefined;
    if (kind === 'lost') {
      cause = hasDiverged ? 'the copies diverged' : lossCauses[String(data['cause'])];
      hasDiverged = false;
    }
    if (kind === 'failover') {
      const told = String(story?.['cause']);
      // An order that was followed by something else was not its cause.
      const isOrder = told === 'handed-over' && (isTest || event === 'vm-migrated');
      const order = event === 'vm-migrated' ? 'by a migration' : 'by a test failover';
      cause = isOrder ? order : goLiveCauses[told];
      isTest = false;
    }
    const facts = kind === 'failover' ? factsOf(story) : [];
    return [{ sequence, time, kind, text, cause, facts }];
  });
}

function factsOf(story: Data | undefined): readonly string[] {
  const [detection, interruption, resent] = ['detectionMs', 'interruptionMs', 'resent'].map(
    (name) => story?.[name],
  );
  return [
    typeof interruption === 'number' && `interrupted for ${duration(interruption)}`,
    typeof detection === 'number' && detection > 0 && `noticed in ${duration(detection)}`,
    typeof resent === 'number' && resent > 0 && `${plural(resent, 'output')} sent again`,
  ].filter((fact) => fact !== false);
}
