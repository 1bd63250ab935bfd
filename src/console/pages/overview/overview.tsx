/** The cluster in one look: what is protected, what one lost host would mean, what happened lately. */
import { Server, ShieldCheck } from 'lucide-react';
import { Link } from 'wouter';
import type { AlarmView } from '../../../api/lifecycle-views.ts';
import { healthOf, type Protection, protectionOf } from '../../live/health.ts';
import { useCapacity, useEvents, useList } from '../../live/hooks.ts';
import { AlarmRow } from '../../parts/alarm-row.tsx';
import { Empty } from '../../parts/empty.tsx';
import { EventRows } from '../../parts/event-rows.tsx';
import { Page, Panel } from '../../parts/page.tsx';
import { Status, shortFtStatus } from '../../parts/status.tsx';
import type { Tone } from '../../parts/tone.ts';
import { bytes, plural } from '../../parts/units.ts';
import { FirstSteps } from './first-steps.tsx';

const eventsShown = 12;

export default function Overview() {
  const vms = useList('vms');
  const hosts = useList('hosts').filter(({ kind }) => kind === 'host');
  const alarms = useList('alarms');
  // Until there is one that is protected or was meant to be.
  const isNew = hosts.length < 2 || vms.every(({ ft }) => ft.state === 'notConfigured');
  const health = healthOf(vms, hosts, alarms);
  return (
    <Page title="Overview" state={<Status tone={health.tone} text={health.text} />}>
      {isNew && <FirstSteps hosts={hosts.length} vms={vms} />}
      <div className="u-tiles">
        <Tile tone="good" state="protected" number={health.vms.protected} label="Protected" />
        <Tile tone="bad" state="degraded" number={health.vms.degraded} label="Degraded">
          should be protected, and are not
        </Tile>
        <Tile tone="warn" state="unprotected" number={health.vms.unprotected} label="Unprotected">
          run without a shadow
        </Tile>
        <Tile tone="off" state="off" number={health.vms.off} label="Off">
          powered off or suspended
        </Tile>
      </div>
      <div className="u-columns">
        <Panel title="Capacity with one host lost" className="u-capacity">
          <Capacity />
        </Panel>
        <Panel title="Open alarms" aside={<Link href="/alarms">All alarms</Link>}>
          <Alarms alarms={alarms} />
        </Panel>
        <Attention />
        <Panel
          title="Recent events"
          aside={<Link href="/events">All events</Link>}
          className="u-wide"
        >
          <RecentEvents />
        </Panel>
      </div>
    </Page>
  );
}

function Tile({
  tone,
  state,
  number,
  label,
  children,
}: {
  readonly tone: Tone;
  readonly state: Protection;
  readonly number: number;
  readonly label: string;
  readonly children?: string;
}) {
  return (
    <Link
      href={`/vms?protection=${state}`}
      className="u-tile"
      data-tone={number === 0 ? 'off' : tone}
    >
      <span className="u-tile-number">{number}</span>
      <span className="u-tile-label">{label}</span>
      {children && <span className="u-dim">{children}</span>}
    </Link>
  );
}

function Capacity() {
  const { shortage } = useCapacity();
  const hosts = useList('hosts').filter(
    ({ kind, state }) => kind === 'host' && state === 'connected',
  );
  const total = hosts.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  const free = hosts.reduce((sum, { memoryFreeBytes }) => sum + memoryFreeBytes, 0);
  const largest = Math.max(0, ...hosts.map(({ memoryBytes }) => memoryBytes));
  const used = total - free;
  const left = Math.max(0, total - largest);
  const part = (value: number): string => (total === 0 ? '0%' : `${(value / total) * 100}%`);
  return (
    <>
      {hosts.length < 2 ? (
        <Status tone="warn" text="With fewer than two hosts nothing can take over" />
      ) : shortage === null ? (
        <Status tone="good" text="Any one host may be lost: every copy finds a new place" />
      ) : (
        <Status
          tone="warn"
          text={`If ${shortage.host} is lost, there is no room for a new copy of ${nameSome(shortage.vms)}`}
        />
      )}
      <div
        className="u-bar"
        role="img"
        aria-label={`Memory: ${bytes(used)} set aside of ${bytes(total)}; ${bytes(left)} remain without the largest host`}
      >
        <span className="u-bar-used" style={{ width: part(Math.min(used, total)) }} />
        <span className="u-bar-mark" style={{ left: part(left) }} />
      </div>
      <p className="u-dim u-legend">
        <span>
          <b>{bytes(used)}</b> of {bytes(total)} set aside
        </span>
        <span>
          <i className="u-bar-key" /> <b>{bytes(left)}</b> remain without the largest host
        </span>
        <span>{plural(hosts.length, 'host')} connected</span>
      </p>
    </>
  );
}

function nameSome(names: readonly string[]): string {
  const some = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${some} and ${names.length - 3} more` : some;
}

function Alarms({ alarms }: { readonly alarms: readonly AlarmView[] }) {
  const open = alarms.filter(({ acknowledged }) => acknowledged === null);
  if (open.length === 0) {
    return (
      <p className="u-quiet">
        <ShieldCheck size={16} aria-hidden /> Nothing needs your attention.
      </p>
    );
  }
  return (
    <ul className="u-list">
      {open.slice(0, 8).map((alarm) => (
        <AlarmRow key={alarm.id} alarm={alarm} />
      ))}
    </ul>
  );
}

/** What should be protected and is not, by name. */
function Attention() {
  const degraded = useList('vms').filter((vm) => protectionOf(vm) === 'degraded');
  const down = useList('hosts').filter(({ state }) => state === 'notResponding');
  if (degraded.length + down.length === 0) return null;
  return (
    <Panel title="Degraded now" className="u-wide">
      <ul className="u-list">
        {down.map(({ id, name }) => (
          <li key={id}>
            <Server size={14} aria-hidden />
            <Link href={`/hosts/${name}`}>{name}</Link>
            <Status tone="bad" text="Not responding" />
          </li>
        ))}
        {degraded.slice(0, 10).map((vm) => (
          <li key={vm.id}>
            <Link href={`/vms/${vm.name}/fault-tolerance`}>{vm.name}</Link>
            <Status {...shortFtStatus(vm.ft)} />
            <span className="u-dim">{vm.obstacle ?? ''}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function RecentEvents() {
  const events = useEvents();
  if (events.length === 0) return <Empty title="Nothing has happened yet" />;
  return <EventRows events={events.slice(-eventsShown).reverse()} />;
}
