/** What has happened to one VM, newest first; each with the data that belong to it. */
import { Button, Modal } from '@mantine/core';
import { useState } from 'react';
import type { EventView } from '../../../../../api/views.ts';
import { useCluster } from '../../../../live/hooks.ts';
import { useAct } from '../../../../parts/action.tsx';
import { type Column, DataTable } from '../../../../parts/data-table.tsx';
import { Empty } from '../../../../parts/empty.tsx';
import { eventTone } from '../../../../parts/event-rows.tsx';
import { Facts } from '../../../../parts/page.tsx';
import { Problem } from '../../../../parts/problem.tsx';
import { Status } from '../../../../parts/status.tsx';
import { Time } from '../../../../parts/time.tsx';
import { exactTime } from '../../../../parts/units.ts';
import type { TabProps } from '../../define-tab.ts';
import { useVmEvents } from '../../use-vm-events.ts';
import '../vm-tabs.css';

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
      {opened !== undefined && <Event event={opened} onClose={() => setOpened(undefined)} />}
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
    cell: (event) => {
      const tone = eventTone(event);
      return tone === undefined ? (
        <code>{event.kind}</code>
      ) : (
        <Status tone={tone} text={event.kind} />
      );
    },
    sort: ({ kind }) => kind,
  },
  {
    ...{ key: 'text', head: 'What happened', width: 'minmax(14rem, 1fr)' },
    cell: (event) => (
      <button type="button" className="u-plain-button" tabIndex={-1} onClick={() => open(event)}>
        {event.text}
      </button>
    ),
  },
];

function Event({ event, onClose }: { readonly event: EventView; readonly onClose: () => void }) {
  const { sequence, time, kind, text, data } = event;
  const facts = Object.entries(data).map(
    ([name, value]) =>
      [
        name,
        typeof value === 'object' ? <Json key={name} value={value} /> : String(value),
      ] as const,
  );
  return (
    <Modal opened onClose={onClose} title={text} size="lg">
      <Facts facts={[['Number', sequence], ['Time', exactTime(time)], ['Kind', kind], ...facts]} />
    </Modal>
  );
}

const Json = ({ value }: { readonly value: unknown }) => (
  <code className="u-json">{JSON.stringify(value, undefined, 1)}</code>
);
