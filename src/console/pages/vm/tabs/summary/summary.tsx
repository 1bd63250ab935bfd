import { Link } from 'wouter';
import { useList, useVmFigures } from '../../../../live/hooks.ts';
import { EventRows } from '../../../../parts/event-rows.tsx';
import { Facts, Panel } from '../../../../parts/page.tsx';
import { ftStatus, Status } from '../../../../parts/status.tsx';
import { bytes, count, duration, megabits, percent } from '../../../../parts/units.ts';
import type { TabProps } from '../../define-tab.ts';
import { useVmEvents } from '../../use-vm-events.ts';

export default function Summary({ vm }: TabProps) {
  const {
    name,
    ft,
    cpus,
    memoryBytes,
    image,
    imageDigest,
    mac,
    vlan,
    isolated,
    ports,
    host,
    obstacle,
  } = vm;
  const figures = useVmFigures(vm.id);
  const alarms = useList('alarms').filter((alarm) => alarm.vm === name);
  const { events } = useVmEvents(name);
  return (
    <div className="u-columns">
      {obstacle !== null && (
        <Panel className="u-wide">
          <Status tone="warn" text={`Waits: ${obstacle}`} />
        </Panel>
      )}
      {alarms.length > 0 && (
        <Panel title="Alarms" className="u-wide">
          <ul className="u-list">
            {alarms.map(({ id, severity, text }) => (
              <li key={id}>
                <Status tone={severity === 'red' ? 'bad' : 'warn'} text={text} />
              </li>
            ))}
          </ul>
        </Panel>
      )}
      <Panel title="Machine">
        <Facts
          facts={[
            ['CPUs', cpus],
            ['Memory', bytes(memoryBytes)],
            [
              'Image',
              <span
                key="image"
                title={imageDigest}
              >{`${image} (${imageDigest.slice(0, 12)})`}</span>,
            ],
            [
              'Host',
              host === null ? (
                '–'
              ) : (
                <Link key="host" href={`/hosts/${host}`}>
                  {host}
                </Link>
              ),
            ],
            ['Executed', count(figures?.primary?.count)],
            ['CPU in use', percent(figures?.primary?.cpuPercent)],
            ['Memory in use', bytes(figures?.primary?.memoryBytes)],
          ]}
        />
      </Panel>
      <Panel
        title="Fault tolerance"
        aside={<Link href={`/vms/${name}/fault-tolerance`}>Details</Link>}
      >
        <Facts
          facts={[
            ['Status', <Status key="status" {...ftStatus(ft)} />],
            [
              'Shadow',
              ft.shadow === null ? (
                '–'
              ) : (
                <Link key="shadow" href={`/hosts/${ft.shadow.host}`}>
                  {ft.shadow.host}
                </Link>
              ),
            ],
            ['Lag', duration(figures?.lagMs)],
            ['Log bandwidth', megabits(figures?.logMbitPerSecond)],
            ['Fingerprints compared', count(figures?.fingerprintsCompared)],
            ['Divergences', count(figures?.divergences)],
          ]}
        />
      </Panel>
      <Panel title="Network">
        <Facts
          facts={[
            ['MAC address', <code key="mac">{mac}</code>],
            isolated && ['Cable', 'none: it goes on from a recording, apart from every network'],
            vlan !== undefined && ['VLAN', vlan],
            ...ports.map(
              ({ protocol, gatewayPort, guestPort }) =>
                [`Published (${protocol})`, `gateway ${gatewayPort} → guest ${guestPort}`] as const,
            ),
            ports.length === 0 && ['Published ports', 'none'],
          ]}
        />
      </Panel>
      <Panel title="Recent events" className="u-wide">
        {events.length === 0 ? (
          <p className="u-quiet">Nothing yet.</p>
        ) : (
          <EventRows events={events.slice(-8).reverse()} isOfOne />
        )}
      </Panel>
    </div>
  );
}
