/**
 * All events, live, narrowed by VM, host and kind; the address has the choice, so it can be passed
 * on: `?vm=web&kind=ft-primary-failover`.
 */
import { Button, Select } from '@mantine/core';
import { useMemo, useState } from 'react';
import { useSearchParams } from 'wouter';
import type { EventView } from '../../../api/views.ts';
import { useList } from '../../live/hooks.ts';
import { type Column, DataTable } from '../../parts/data-table.tsx';
import { Empty } from '../../parts/empty.tsx';
import { EventDetails } from '../../parts/event-details.tsx';
import { eventTone } from '../../parts/event-rows.tsx';
import { Page } from '../../parts/page.tsx';
import { Problem } from '../../parts/problem.tsx';
import { Subject } from '../../parts/subject.tsx';
import { TextButton } from '../../parts/text-button.tsx';
import { Time } from '../../parts/time.tsx';
import { useHistory } from './use-history.ts';
import { concerns } from './with-live.ts';

export default function Events() {
  const [search, setSearch] = useSearchParams();
  const [vm, host, kind] = ['vm', 'host', 'kind'].map((key) => search.get(key));
  const [opened, setOpened] = useState<EventView | undefined>();
  const vms = useList('vms');
  const hosts = useList('hosts');
  const { events, error, isRead, earlier, isReading } = useHistory(vm ?? null);
  const rows = useMemo(
    () =>
      events.filter((event) => (!host || concerns(event, host)) && (!kind || event.kind === kind)),
    [events, host, kind],
  );
  const kinds = useMemo(() => [...new Set(events.map((event) => event.kind))].sort(), [events]);
  const columns = useMemo(() => columnsOf(setOpened), []);
  const choose = (key: string) => (value: string | null) =>
    setSearch((before) => {
      const next = new URLSearchParams(before);
      if (value === null) next.delete(key);
      else next.set(key, value);
      return next;
    });
  const narrow = (key: string, label: string, names: readonly string[], value?: string | null) => (
    <Select
      size="xs"
      w={170}
      aria-label={label}
      placeholder={label}
      clearable
      searchable
      clearButtonProps={{ 'aria-label': `Clear ${label.toLowerCase()}` }}
      data={value && !names.includes(value) ? [value, ...names] : [...names]}
      value={value ?? null}
      onChange={choose(key)}
    />
  );
  const isNarrowed = Boolean(vm || host || kind);
  return (
    <Page title="Events" fills>
      {error !== null && <Problem error={error} />}
      {isRead && (
        <DataTable
          label="events"
          noun="event"
          isLog
          rows={rows}
          rowId={rowId}
          columns={columns}
          text={textOf}
          onOpen={setOpened}
          tools={
            <>
              {narrow('vm', 'Any VM', named(vms), vm)}
              {narrow('host', 'Any host', named(hosts), host)}
              {narrow('kind', 'Any kind', kinds, kind)}
              {earlier && (
                <Button variant="default" loading={isReading} onClick={earlier}>
                  Read earlier ones
                </Button>
              )}
            </>
          }
          empty={
            isNarrowed ? undefined : (
              <Empty title="Nothing has happened yet">
                Whatever hosts, VMs and their protection do is written down here, as it happens.
              </Empty>
            )
          }
        />
      )}
      {opened && <EventDetails event={opened} onClose={() => setOpened(undefined)} />}
    </Page>
  );
}

const named = (rows: readonly { readonly name: string }[]) => rows.map(({ name }) => name);
const rowId = ({ sequence }: EventView): string => String(sequence);
const textOf = ({ kind, text, data: { vm, host } }: EventView): string =>
  `${kind} ${text} ${vm ?? ''} ${host ?? ''}`.toLowerCase();

const columnsOf = (open: (event: EventView) => void): readonly Column<EventView>[] => [
  {
    ...{ key: 'time', head: 'Time', width: '9.5rem' },
    cell: ({ time }) => <Time at={time} />,
    sort: ({ sequence }) => sequence,
  },
  {
    ...{ key: 'about', head: 'About', width: 'minmax(6rem, 0.5fr)' },
    cell: ({ data }) => <Subject vm={data['vm']} host={data['host']} />,
    sort: ({ data }) => String(data['vm'] ?? data['host'] ?? ''),
  },
  {
    ...{ key: 'kind', head: 'Kind', width: 'minmax(9rem, 0.7fr)' },
    cell: ({ kind }) => <span className="u-dim">{kind}</span>,
    sort: ({ kind }) => kind,
  },
  {
    ...{ key: 'text', head: 'What happened', width: 'minmax(16rem, 3fr)' },
    cell: (event) => (
      <TextButton text={event.text} tone={eventTone(event)} onClick={() => open(event)} />
    ),
  },
];
