/** What has happened to one VM, newest first; each with the data that belong to it. */
import { Button } from '@mantine/core';
import { useState } from 'react';
import type { EventView } from '../../../../../api/views.ts';
import { useCluster } from '../../../../live/hooks.ts';
import { useAct } from '../../../../parts/action.tsx';
import { type Column, DataTable } from '../../../../parts/data-table.tsx';
import { Empty } from '../../../../parts/empty.tsx';
import { EventDetails } from '../../../../parts/event-details.tsx';
import { eventTone } from '../../../../parts/event-rows.tsx';
import { Problem } from '../../../../parts/problem.tsx';
import { TextButton } from '../../../../parts/text-button.tsx';
import { Time } from '../../../../parts/time.tsx';
import type { TabProps } from '../../define-tab.ts';
import { useVmEvents } from '../../use-vm-events.ts';

const pageSize = 500;

export default function Events({ vm }: TabProps) {
  const { client } = useCluster();
  const { events, error } = useVmEvents(vm.name);
  const [earlier, setEarlier] = useState<readonly EventView[]>([]);
  const [isAll, setAll] = useState(false);
  const [opened, setOpened] = useState<EventView>();
  const { isBusy, act } = useAct('Earlier events');
  const all = [...earlier, ...events];
  const first = all[0]?.sequence;
  const readEarlier = () =>
    act(async () => {
      const query = { vm: vm.name, last: true, limit: pageSize, before: first! };
      const found = await client.call('listEvents', { query });
      setEarlier([...found, ...earlier]);
      setAll(found.length < pageSize);
    });
  if (error !== null && error !== undefined) return <Problem error={error} />;
  return (
    <>
      <DataTable
        label={`Events of ${vm.name}`}
        noun="event"
        rows={all.reverse()}
        rowId={({ sequence }) => String(sequence)}
        columns={columns(setOpened)}
        text={({ kind, text }) => `${kind} ${text}`.toLowerCase()}
        onOpen={setOpened}
        tools={
          all.length >= pageSize &&
          !isAll && (
            <Button size="compact-xs" variant="default" loading={isBusy} onClick={readEarlier}>
              Earlier ones
            </Button>
          )
        }
        empty={<Empty title="Nothing has happened yet">What happens to {vm.name} is here.</Empty>}
      />
      {opened !== undefined && <EventDetails event={opened} onClose={() => setOpened(undefined)} />}
    </>
  );
}

const columns = (open: (event: EventView) => void): readonly Column<EventView>[] => [
  {
    ...{ key: 'time', head: 'Time', width: '9rem' },
    cell: ({ time }) => <Time at={time} />,
    sort: ({ sequence }) => sequence,
  },
  {
    ...{ key: 'kind', head: 'Kind', width: 'minmax(10rem, 14rem)' },
    cell: ({ kind }) => <code>{kind}</code>,
    sort: ({ kind }) => kind,
  },
  {
    ...{ key: 'text', head: 'What happened', width: 'minmax(14rem, 1fr)' },
    cell: (event) => (
      <TextButton text={event.text} tone={eventTone(event)} onClick={() => open(event)} />
    ),
  },
];
