/** A host's links as lines: trunk and log channels to each other host, with their round trips. */
import { useMemo } from 'react';
import { Link } from 'wouter';
import type { HostView } from '../../../api/views.ts';
import { useList, useLogRoundTrip } from '../../live/hooks.ts';
import { Panel } from '../../parts/page.tsx';
import { PlainTable } from '../../parts/plain-table.tsx';
import { duration, plural } from '../../parts/units.ts';
import { type HostLink, linksOf } from './links.ts';

export function Links({ host }: { readonly host: HostView }) {
  const hosts = useList('hosts');
  const vms = useList('vms');
  const links = useMemo(() => linksOf(host, hosts, vms), [host, hosts, vms]);
  return (
    <Panel
      title="Links"
      aside={<span className="u-dim">least round trip of the last seconds</span>}
      className="u-wide"
    >
      {links.length === 0 ? (
        <p className="u-quiet">There is no other host to be connected with.</p>
      ) : (
        <PlainTable label="Links" heads={['To', 'Trunk of the switches', 'Log channels']}>
          {links.map((link) => (
            <Row key={link.peer} link={link} />
          ))}
        </PlainTable>
      )}
    </Panel>
  );
}

function Row({ link: { peer, trunk, out, in: incoming } }: { readonly link: HostLink }) {
  const least = useLogRoundTrip([...out, ...incoming]);
  const logs = out.length + incoming.length;
  return (
    <tr>
      <td>
        <Link href={`/hosts/${peer}`}>{peer}</Link>
      </td>
      <td>
        <Line
          kind={trunk === null ? 'down' : 'trunk'}
          text={trunk === null ? 'down' : duration(trunk.roundTripMs)}
        />
      </td>
      <td>
        {logs === 0 ? (
          <span className="u-dim">no pair between them</span>
        ) : (
          <Line kind="log" text={duration(least)}>
            {directions(out.length, incoming.length)}
          </Line>
        )}
      </td>
    </tr>
  );
}

function directions(out: number, incoming: number): string {
  const parts = [
    out > 0 && `${plural(out, 'log')} there`,
    incoming > 0 && `${plural(incoming, 'log')} from there`,
  ];
  return parts.filter((part) => part !== false).join(', ');
}

/** The line is for the eye; its words stand on it. */
function Line({
  kind,
  text,
  children,
}: {
  readonly kind: 'trunk' | 'log' | 'down';
  readonly text: string;
  readonly children?: string;
}) {
  return (
    <span className="u-link" data-kind={kind}>
      <i aria-hidden />
      <b>{text}</b>
      <i aria-hidden />
      {children !== undefined && <span className="u-dim">{children}</span>}
    </span>
  );
}
