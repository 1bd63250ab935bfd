/** Events as lines: when, what about, what. */
import type { EventView } from '../../api/views.ts';
import { Subject } from './subject.tsx';
import { Time } from './time.tsx';

export function EventRows({
  events,
  isOfOne = false,
}: {
  readonly events: readonly EventView[];
  /** All of the same VM or host: it is not named again. */
  readonly isOfOne?: boolean;
}) {
  return (
    <ul className="u-events" data-of-one={isOfOne}>
      {events.map((event) => (
        <li key={event.sequence} data-tone={eventTone(event)}>
          <Time at={event.time} />
          {!isOfOne && <Subject vm={event.data['vm']} host={event.data['host']} />}
          <span className="u-grow">{event.text}</span>
        </li>
      ))}
    </ul>
  );
}

const bad = new Set([
  ...['host-not-responding', 'ft-divergence', 'ft-terminated', 'ft-failed-to-start'],
  ...['command-failed', 'vm-migration-failed', 'ft-disabled-by-system'],
]);
const notable = new Set(['ft-primary-failover', 'ft-shadow-lost', 'alarm-raised', 'vm-restarted']);

/** Failures, and what takes a second look. */
export function eventTone({ kind }: EventView): 'bad' | 'warn' | undefined {
  if (bad.has(kind)) return 'bad';
  return notable.has(kind) ? 'warn' : undefined;
}
