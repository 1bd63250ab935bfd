/** All hosts and gateways. */
import { Button } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { Plus } from 'lucide-react';
import { useMemo } from 'react';
import { Link } from 'wouter';
import type { HostView, VmView } from '../../../api/views.ts';
import { useHostFigures, useList, useMissingRole } from '../../live/hooks.ts';
import { Dimmed } from '../../parts/action.tsx';
import { type Column, DataTable } from '../../parts/data-table.tsx';
import { Empty } from '../../parts/empty.tsx';
import { Page } from '../../parts/page.tsx';
import { hostStatus, Status } from '../../parts/status.tsx';
import { bytes, percent } from '../../parts/units.ts';
import { JoinHost } from './join-host.tsx';

interface Row extends HostView {
  readonly primaries: number;
  readonly shadows: number;
}

export default function Hosts() {
  const hosts = useList('hosts');
  const vms = useList('vms');
  const [isJoining, joining] = useDisclosure(false);
  const rows = useMemo(() => rowsOf(hosts, vms), [hosts, vms]);
  const missing = useMissingRole('createJoinToken');
  const join = (
    <Dimmed why={missing && `For people of the role ${missing}.`}>
      {(dim) => (
        <Button leftSection={<Plus size={14} aria-hidden />} onClick={joining.open} {...dim}>
          Join a host
        </Button>
      )}
    </Dimmed>
  );
  return (
    <Page title="Hosts" actions={hosts.length > 0 && join} fills>
      <DataTable
        label="hosts"
        noun={hosts.every(({ kind }) => kind === 'host') ? 'host' : 'member'}
        rows={rows}
        rowId={({ id }) => id}
        columns={columns}
        text={({ name, addresses, state }) =>
          [name, ...addresses, hostStatus({ state }).text].join(' ').toLowerCase()
        }
        empty={
          <Empty title="No hosts yet" action={join}>
            A host is a machine with Node on which VMs run. Two of them can protect a VM; a gateway
            connects VMs with the outside.
          </Empty>
        }
      />
      {isJoining && <JoinHost onClose={joining.close} />}
    </Page>
  );
}

function rowsOf(hosts: readonly HostView[], vms: readonly VmView[]): Row[] {
  const primaries = new Map<string, number>();
  const shadows = new Map<string, number>();
  const add = (counts: Map<string, number>, host: string | undefined): void => {
    if (host !== undefined) counts.set(host, (counts.get(host) ?? 0) + 1);
  };
  for (const { ft } of vms) {
    add(primaries, ft.primary?.host);
    add(shadows, ft.shadow?.host);
  }
  return hosts.map((host) => ({
    ...host,
    primaries: primaries.get(host.name) ?? 0,
    shadows: shadows.get(host.name) ?? 0,
  }));
}

const columns: readonly Column<Row>[] = [
  {
    ...{ key: 'name', head: 'Name', width: 'minmax(7rem, 1.4fr)' },
    cell: ({ name }) => <Link href={`/hosts/${name}`}>{name}</Link>,
    sort: ({ name }) => name,
  },
  {
    ...{ key: 'state', head: 'State', width: 'minmax(8.5rem, 1fr)' },
    cell: (host) => <Status {...hostStatus(host)} />,
    sort: ({ state }) => state,
  },
  {
    ...{ key: 'kind', head: 'Kind', width: '5rem' },
    cell: ({ kind }) => kind,
    sort: ({ kind }) => kind,
  },
  {
    ...{ key: 'primaries', head: 'Primaries', width: '5.5rem', align: 'end' },
    cell: ({ kind, primaries }) => kind === 'host' && primaries,
    sort: ({ primaries }) => primaries,
  },
  {
    ...{ key: 'shadows', head: 'Shadows', width: '5rem', align: 'end' },
    cell: ({ kind, shadows }) => kind === 'host' && shadows,
    sort: ({ shadows }) => shadows,
  },
  {
    ...{ key: 'cpu', head: 'CPU of copies', width: '7rem', align: 'end' },
    cell: ({ id, kind, cpus }) => kind === 'host' && <Cpu id={id} cpus={cpus} />,
  },
  {
    ...{ key: 'memory', head: 'Memory set aside', width: 'minmax(13rem, 1.4fr)' },
    cell: (host) => host.kind === 'host' && <Memory host={host} />,
    sort: ({ memoryBytes, memoryFreeBytes }) => memoryBytes - memoryFreeBytes,
  },
  {
    ...{ key: 'addresses', head: 'Addresses', width: 'minmax(6.5rem, 1.2fr)' },
    cell: ({ addresses }) => <span title={addresses.join(', ')}>{addresses.join(', ')}</span>,
  },
  {
    ...{ key: 'version', head: 'Version', width: '5rem' },
    cell: ({ version }) => version,
    sort: ({ version }) => version,
  },
];

function Cpu({ id, cpus }: { readonly id: string; readonly cpus: number }) {
  const figures = useHostFigures(id);
  return figures === undefined || cpus === 0 ? '–' : percent(figures.cpuPercent / cpus);
}

function Memory({ host: { memoryBytes, memoryFreeBytes } }: { readonly host: HostView }) {
  const used = memoryBytes - memoryFreeBytes;
  const part = memoryBytes === 0 ? 0 : (100 * used) / memoryBytes;
  return (
    <span className="u-meter">
      <span className="u-meter-bar" aria-hidden>
        <span style={{ width: `${part}%` }} />
      </span>
      {bytes(used)} of {bytes(memoryBytes)}
    </span>
  );
}
