/** Who protects whom: as a picture that follows what happens, and as a table. */
import { useMemo, useState } from 'react';
import { Link } from 'wouter';
import { useList } from '../../live/hooks.ts';
import { Empty } from '../../parts/empty.tsx';
import { Page, Panel } from '../../parts/page.tsx';
import { PlainTable } from '../../parts/plain-table.tsx';
import { hostStatus, Status } from '../../parts/status.tsx';
import { plural } from '../../parts/units.ts';
import { layoutOf } from './layout.ts';
import { type Node, nameSome, type Pair, topologyOf } from './pairs.ts';
import { Picture } from './picture.tsx';
import './topology.css';

export default function TopologyPage() {
  const hosts = useList('hosts');
  const vms = useList('vms');
  const topology = useMemo(() => topologyOf(hosts, vms), [hosts, vms]);
  const { nodes, gateways, pairs } = topology;
  const names = nodes.map(({ host: { name } }) => name).join(' ');
  const layout = useMemo(() => layoutOf(names === '' ? [] : names.split(' ')), [names]);
  const [pointed, setPointed] = useState<string | undefined>();
  if (nodes.length === 0) {
    return (
      <Page title="Topology">
        <Empty title="No hosts yet" action={<Link href="/hosts">Join a host</Link>}>
          Hosts would be here, and between them who protects whose VMs.
        </Empty>
      </Page>
    );
  }
  return (
    <Page title="Topology">
      <Panel className="u-topology-panel">
        <Picture topology={topology} layout={layout} pointed={pointed} onPoint={setPointed} />
        <Legend isDense={layout.isDense} />
      </Panel>
      <Panel title="Who protects whom">
        {pairs.length === 0 && nodes.every(isQuiet) ? (
          <p className="u-quiet">No VM runs.</p>
        ) : (
          <PlainTable
            label="Who protects whom"
            heads={['Primaries on', 'Protected by shadows on', 'State', 'VMs']}
          >
            {pairs.map((pair) => (
              <PairRow key={pair.id} pair={pair} onPoint={setPointed} />
            ))}
            {nodes.map((node) => (
              <BareRows key={node.host.name} node={node} />
            ))}
          </PlainTable>
        )}
      </Panel>
      {gateways.length > 0 && (
        <Panel title="Gateways to the outside">
          <ul className="u-list">
            {gateways.map((gateway) => (
              <li key={gateway.id}>
                <Link href={`/hosts/${gateway.name}`}>{gateway.name}</Link>
                <Status {...hostStatus(gateway)} />
                <span className="u-dim">{gateway.addresses.join(', ')}</span>
              </li>
            ))}
          </ul>
        </Panel>
      )}
    </Page>
  );
}

const isQuiet = ({ degraded, unprotected }: Node): boolean =>
  degraded.length + unprotected.length === 0;

function Legend({ isDense }: { readonly isDense: boolean }) {
  return (
    <p className="u-dim u-legend">
      <span>
        <LegendLine state="running" /> from primaries to the host that protects them
      </span>
      <span>
        <LegendLine state="starting" /> the shadow has not caught up yet
      </span>
      <span>
        {isDense
          ? 'Numbers: primaries / shadows; bare: VMs without the shadow they should have'
          : 'Bars: memory set aside for copies'}
      </span>
    </p>
  );
}

function LegendLine({ state }: { readonly state: string }) {
  return (
    <svg width="30" height="10" viewBox="0 0 30 10" aria-hidden className="u-legend-line">
      <g className="u-arc" data-state={state}>
        <path
          className="u-arc-line"
          d="M1 5 H24"
          strokeWidth="2"
          markerEnd={`url(#u-arrow-${state})`}
        />
      </g>
    </svg>
  );
}

function HostCell({ name }: { readonly name: string }) {
  return (
    <td>
      <Link href={`/hosts/${name}`}>{name}</Link>
    </td>
  );
}

function PairRow({
  pair: { id, primary, shadow, running, starting },
  onPoint,
}: {
  readonly pair: Pair;
  readonly onPoint: (id: string | undefined) => void;
}) {
  const number = running.length + starting.length;
  return (
    <tr onMouseEnter={() => onPoint(id)} onMouseLeave={() => onPoint(undefined)}>
      <HostCell name={primary} />
      <HostCell name={shadow} />
      <td>
        {starting.length === 0 ? (
          <Status tone="good" text="Protected" />
        ) : (
          <Status tone="busy" text={`${starting.length} of ${number} starting`} />
        )}
      </td>
      <Names names={[...running, ...starting]} />
    </tr>
  );
}

function BareRows({ node: { host, degraded, unprotected } }: { readonly node: Node }) {
  return (
    <>
      {degraded.length > 0 && (
        <tr>
          <HostCell name={host.name} />
          <td>nobody</td>
          <td>
            <Status tone="bad" text="Should be protected" />
          </td>
          <Names names={degraded} />
        </tr>
      )}
      {unprotected.length > 0 && (
        <tr>
          <HostCell name={host.name} />
          <td>nobody</td>
          <td>
            <Status tone="warn" text="Unprotected" />
          </td>
          <Names names={unprotected} />
        </tr>
      )}
    </>
  );
}

function Names({ names }: { readonly names: readonly string[] }) {
  return (
    <td title={nameSome(names, 40)}>
      <span className="u-dim">{plural(names.length, 'VM')}:</span> {nameSome(names)}
    </td>
  );
}
