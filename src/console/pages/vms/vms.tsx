/** All VMs. `?protection=degraded` shows those of that kind only, as the overview's tiles do. */
import { Button, Select } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { Plus } from 'lucide-react';
import { useMemo } from 'react';
import { Link, useLocation, useSearchParams } from 'wouter';
import type { VmView } from '../../../api/views.ts';
import { type Protection, protectionOf } from '../../live/health.ts';
import { useList, useMissingRole, useVmFigures } from '../../live/hooks.ts';
import { Dimmed } from '../../parts/action.tsx';
import { type Column, DataTable } from '../../parts/data-table.tsx';
import { Empty } from '../../parts/empty.tsx';
import { Page } from '../../parts/page.tsx';
import { powerStatus, Status, shortFtStatus } from '../../parts/status.tsx';
import { bytes, duration, megabits } from '../../parts/units.ts';
import { CreateVm } from './create-vm.tsx';

export default function Vms() {
  const all = useList('vms');
  const [search, setSearch] = useSearchParams();
  const [, go] = useLocation();
  // The first steps lead here with the form open.
  const [isCreating, creating] = useDisclosure(search.has('create'));
  const protection = search.get('protection');
  const rows = useMemo(
    () => (protection === null ? all : all.filter((vm) => protectionOf(vm) === protection)),
    [all, protection],
  );
  const missing = useMissingRole('createVm');
  const create = (
    <Dimmed why={missing && `For people of the role ${missing}.`}>
      {(dim) => (
        <Button leftSection={<Plus size={14} aria-hidden />} onClick={creating.open} {...dim}>
          Create VM
        </Button>
      )}
    </Dimmed>
  );
  return (
    <Page title="Virtual machines" actions={all.length > 0 && create} fills>
      <DataTable
        label="virtual machines"
        noun="VM"
        rows={rows}
        rowId={({ id }) => id}
        columns={columns}
        text={textOf}
        onOpen={({ name }) => go(`/vms/${name}`)}
        tools={
          <Select
            size="xs"
            aria-label="Protection"
            placeholder="Any protection"
            clearable
            data={protections}
            value={protection}
            onChange={(value) => setSearch(value === null ? {} : { protection: value })}
          />
        }
        empty={
          protection === null ? (
            <Empty title="No virtual machines yet" action={create}>
              A VM is made from an image: <code>umbra image build redis</code> on the center's
              machine builds one. Protected, it survives the loss of its host.
            </Empty>
          ) : undefined
        }
      />
      {isCreating && <CreateVm onClose={creating.close} />}
    </Page>
  );
}

const protections: { value: Protection; label: string }[] = [
  { value: 'protected', label: 'Protected' },
  { value: 'degraded', label: 'Degraded' },
  { value: 'unprotected', label: 'Unprotected' },
  { value: 'off', label: 'Off' },
];

const textOf = ({ name, image, host, state, ft }: VmView): string =>
  [
    ...[name, image, host ?? '', ft.shadow?.host ?? ''],
    ...[powerStatus({ state }).text, shortFtStatus(ft).text],
  ]
    .join(' ')
    .toLowerCase();

const columns: readonly Column<VmView>[] = [
  {
    ...{ key: 'name', head: 'Name', width: 'minmax(7rem, 1.6fr)' },
    cell: ({ name }) => <Link href={`/vms/${name}`}>{name}</Link>,
    sort: ({ name }) => name,
  },
  {
    ...{ key: 'state', head: 'State', width: 'minmax(7.5rem, 0.8fr)' },
    cell: (vm) => <Status {...powerStatus(vm)} />,
    sort: ({ state }) => state,
  },
  {
    ...{ key: 'protection', head: 'Fault tolerance', width: 'minmax(9rem, 1fr)' },
    cell: ({ ft }) => <Status {...shortFtStatus(ft)} />,
    sort: ({ ft }) => ft.state,
  },
  {
    ...{ key: 'host', head: 'Primary', width: 'minmax(5rem, 1fr)' },
    cell: ({ host }) => host !== null && <Link href={`/hosts/${host}`}>{host}</Link>,
    sort: ({ host }) => host ?? '',
  },
  {
    ...{ key: 'shadow', head: 'Shadow', width: 'minmax(5rem, 1fr)' },
    cell: ({ ft: { shadow } }) =>
      shadow !== null && <Link href={`/hosts/${shadow.host}`}>{shadow.host}</Link>,
    sort: ({ ft }) => ft.shadow?.host ?? '',
  },
  {
    ...{ key: 'lag', head: 'Lag', width: '5rem', align: 'end' },
    cell: ({ id }) => <Lag id={id} />,
  },
  {
    ...{ key: 'log', head: 'Log', width: '7rem', align: 'end' },
    cell: ({ id }) => <LogRate id={id} />,
  },
  {
    ...{ key: 'cpus', head: 'CPUs', width: '4rem', align: 'end' },
    cell: ({ cpus }) => cpus,
    sort: ({ cpus }) => cpus,
  },
  {
    ...{ key: 'memory', head: 'Memory', width: '5.5rem', align: 'end' },
    cell: ({ memoryBytes }) => bytes(memoryBytes),
    sort: ({ memoryBytes }) => memoryBytes,
  },
  {
    ...{ key: 'image', head: 'Image', width: 'minmax(4.5rem, 0.8fr)' },
    cell: ({ image }) => image,
    sort: ({ image }) => image,
  },
];

/** In cells of their own, so that a figure that moves shows nothing else again. */
function Lag({ id }: { readonly id: string }) {
  const lag = useVmFigures(id)?.lagMs;
  return lag == null ? null : duration(lag);
}

function LogRate({ id }: { readonly id: string }) {
  const rate = useVmFigures(id)?.logMbitPerSecond;
  return rate == null ? null : megabits(rate);
}
