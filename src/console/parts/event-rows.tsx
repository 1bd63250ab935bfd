/** Events as lines: when, what about, what. */
import { Link } from 'wouter';
import type { EventView } from '../../api/views.ts';
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
          {!isOfOne && <Subject data={event.data} />}
          <span className="u-grow">{event.text}</span>
        </li>
      ))}
    </ul>
  );
}

function Subject({ data: { vm, host } }: Pick<EventView, 'data'>) {
  if (typeof vm === 'string') return <Link href={`/vms/${vm}`}>{vm}</Link>;
  if (typeof host === 'string') return <Link href={`/hosts/${host}`}>{host}</Link>;
  return <span className="u-dim">cluster</span>;
}

const bad = new Set([
  ...['host-not-responding', 'ft-divergence', 'ft-terminated', 'ft-failed-to-start'],
  ...['command-failed', 'vm-migration-failed', 'ft-disabled-by-system'],
]);
const notable = new Set(['ft-primary-failover', 'ft-shadow-lost', 'alarm-raised', 'vm-restarted']);

export function eventTone({ kind }: EventView): 'bad' | 'warn' | undefined {
  if (bad.has(kind)) return 'bad';
  return notable.has(kind) ? 'warn' : undefined;
}
