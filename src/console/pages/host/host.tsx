/** One host or gateway: what it has, what runs on it, how it is emptied. */
import { useMemo } from 'react';
import { Link } from 'wouter';
import type { HostView } from '../../../api/views.ts';
import { useEvents, useHost, useHostFigures, useList } from '../../live/hooks.ts';
import { AlarmRow } from '../../parts/alarm-row.tsx';
import { Empty } from '../../parts/empty.tsx';
import { EventRows } from '../../parts/event-rows.tsx';
import { Facts, Page, Panel } from '../../parts/page.tsx';
import { Permitted } from '../../parts/permitted.tsx';
import { hostStatus, Status } from '../../parts/status.tsx';
import { bytes, percent } from '../../parts/units.ts';
import type { PageParams } from '../define-page.ts';
import { concerns } from '../events/with-live.ts';
import { Copies } from './copies-table.tsx';
import { Leaving } from './leaving.tsx';
import { Links } from './links.tsx';
import { Maintenance, MaintenanceAction } from './maintenance.tsx';
import './host.css';

const eventsShown = 12;

export default function Host({ params }: PageParams) {
  const name = params['host'] ?? '';
  const host = useHost(name);
  const above = (
    <nav aria-label="Breadcrumb" className="u-crumbs">
      <Link href="/hosts">Hosts</Link>
    </nav>
  );
  if (host === undefined) {
    return (
      <Page title={name} above={above}>
        <Empty title={`There is no host ${name}`}>It may have been removed from the cluster.</Empty>
      </Page>
    );
  }
  const isHost = host.kind === 'host';
  return (
    <Page
      title={name}
      above={above}
      state={<Status {...hostStatus(host)} />}
      actions={isHost && <MaintenanceAction host={host} />}
    >
      <div className="u-columns">
        <Alarms host={name} />
        {isHost && host.maintenance !== null && (
          <Panel title="Maintenance" className="u-wide">
            <Maintenance host={host} />
          </Panel>
        )}
        {isHost && (
          <Panel title="Resources">
            <Resources host={host} />
          </Panel>
        )}
        <Panel title={isHost ? 'Machine' : 'Gateway'}>
          <Machine host={host} />
        </Panel>
        {isHost && <Copies host={host} />}
        <Links host={host} />
        {isHost && host.maintenance === null && (
          <Panel title="If it went into maintenance now" className="u-wide">
            <Maintenance host={host} />
          </Panel>
        )}
        <Recent host={name} />
        <Permitted endpoint="removeHost">
          <Panel title="Leaving the cluster" className="u-wide">
            <Leaving host={host} />
          </Panel>
        </Permitted>
      </div>
    </Page>
  );
}

function Alarms({ host }: { readonly host: string }) {
  const own = useList('alarms').filter((alarm) => alarm.host === host && alarm.vm === null);
  if (own.length === 0) return null;
  return (
    <Panel title="Alarms" className="u-wide">
      <ul className="u-list">
        {own.map((alarm) => (
          <AlarmRow key={alarm.id} alarm={alarm} />
        ))}
      </ul>
    </Panel>
  );
}

function Resources({
  host: { id, cpus, memoryBytes, memoryFreeBytes },
}: {
  readonly host: HostView;
}) {
  const figures = useHostFigures(id);
  const aside = memoryBytes - memoryFreeBytes;
  return (
    <div className="u-gauges">
      <Gauge
        label="CPU in use by copies"
        part={figures && cpus > 0 ? figures.cpuPercent / cpus : undefined}
        text={figures && cpus > 0 ? percent(figures.cpuPercent / cpus) : '–'}
        more={`of ${cpus} CPUs`}
      />
      <Gauge
        label="Memory set aside for copies"
        part={memoryBytes > 0 ? (100 * aside) / memoryBytes : undefined}
        text={bytes(aside)}
        more={`of ${bytes(memoryBytes)}`}
      />
      <Gauge
        label="Memory in use by copies"
        part={figures && memoryBytes > 0 ? (100 * figures.memoryBytes) / memoryBytes : undefined}
        text={bytes(figures?.memoryBytes)}
        more={`of ${bytes(memoryBytes)}`}
      />
    </div>
  );
}

/** The bar repeats what the words say. @param part in percent */
function Gauge({
  label,
  part,
  text,
  more,
}: {
  readonly label: string;
  readonly part: number | undefined;
  readonly text: string;
  readonly more: string;
}) {
  return (
    <div className="u-gauge">
      <span>{label}</span>
      <span>
        <b>{text}</b> <span className="u-dim">{more}</span>
      </span>
      <span className="u-gauge-bar" aria-hidden>
        <span style={{ width: `${Math.min(100, part ?? 0)}%` }} />
      </span>
    </div>
  );
}

function Machine({ host }: { readonly host: HostView }) {
  const { kind, addresses, version, pid, cpus, memoryBytes, id } = host;
  return (
    <Facts
      facts={[
        ['Addresses', addresses.join(', ') || '–'],
        kind === 'host' && ['CPUs', cpus],
        kind === 'host' && ['Memory', bytes(memoryBytes)],
        ['Version', version],
        ['Daemon', pid === null ? 'not connected' : `process ${pid}`],
        ['Id', <code key="id">{id}</code>],
      ]}
    />
  );
}

function Recent({ host }: { readonly host: string }) {
  const events = useEvents();
  const own = useMemo(
    () =>
      events
        .filter((event) => concerns(event, host))
        .slice(-eventsShown)
        .reverse(),
    [events, host],
  );
  return (
    <Panel
      title="Recent events"
      aside={<Link href={`/events?host=${host}`}>All events of {host}</Link>}
      className="u-wide"
    >
      {own.length === 0 ? (
        <p className="u-quiet">Nothing has happened here lately.</p>
      ) : (
        <EventRows events={own} />
      )}
    </Panel>
  );
}
