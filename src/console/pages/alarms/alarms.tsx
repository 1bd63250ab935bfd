/** What people should know of now: who has not been heard comes first, the grave before the slight. */
import { useMemo } from 'react';
import type { AlarmView } from '../../../api/lifecycle-views.ts';
import { useCluster, useList } from '../../live/hooks.ts';
import { Action } from '../../parts/action.tsx';
import { alarmStatus } from '../../parts/alarm-row.tsx';
import { type Column, DataTable } from '../../parts/data-table.tsx';
import { Empty } from '../../parts/empty.tsx';
import { Page } from '../../parts/page.tsx';
import { Permitted } from '../../parts/permitted.tsx';
import { Status } from '../../parts/status.tsx';
import { Subject } from '../../parts/subject.tsx';
import { Time } from '../../parts/time.tsx';
import { plural } from '../../parts/units.ts';

export default function Alarms() {
  const { client } = useCluster();
  const alarms = useList('alarms');
  const rows = useMemo(() => [...alarms].sort((a, b) => rank(a) - rank(b)), [alarms]);
  const open = alarms.filter(({ acknowledged }) => acknowledged === null);
  return (
    <Page
      title="Alarms"
      state={open.length > 0 && <span className="u-dim">{open.length} open</span>}
      actions={
        open.length > 1 && (
          <Permitted endpoint="acknowledgeAlarm">
            <Action
              label="Acknowledge all"
              endpoint="acknowledgeAlarm"
              confirm={`Notes that somebody has seen ${plural(open.length, 'alarm')}. What they are about stays as it is.`}
              run={() =>
                Promise.all(
                  open.map(({ id }) => client.call('acknowledgeAlarm', { params: { alarm: id } })),
                )
              }
            />
          </Permitted>
        )
      }
      fills
    >
      <DataTable
        label="alarms"
        noun="alarm"
        rows={rows}
        rowId={({ id }) => id}
        columns={columns}
        text={textOf}
        empty={
          <Empty title="No alarms">
            Lost protection, hosts that do not respond, too little room for a failover and the like
            would be here, each until it is over.
          </Empty>
        }
      />
    </Page>
  );
}

const severities = ['red', 'yellow', 'gray'] as const;

const rank = ({ acknowledged, severity }: AlarmView): number =>
  (acknowledged === null ? 0 : 10) + severities.indexOf(severity);

const textOf = ({ kind, severity, text, vm, host }: AlarmView): string =>
  `${severity} ${kind} ${text} ${vm ?? ''} ${host ?? ''}`.toLowerCase();

const columns: readonly Column<AlarmView>[] = [
  {
    ...{ key: 'severity', head: 'Severity', width: '7rem' },
    cell: (alarm) => <Status {...alarmStatus(alarm)} />,
    sort: ({ severity }) => severities.indexOf(severity),
  },
  {
    ...{ key: 'about', head: 'About', width: 'minmax(6rem, 0.6fr)' },
    cell: ({ vm, host }) => <Subject vm={vm} host={host} />,
    sort: ({ vm, host }) => vm ?? host ?? '',
  },
  {
    ...{ key: 'text', head: 'What is wrong', width: 'minmax(14rem, 3fr)' },
    cell: ({ text }) => <span title={text}>{text}</span>,
  },
  {
    ...{ key: 'since', head: 'Since', width: '9.5rem' },
    cell: ({ since }) => <Time at={since} />,
    sort: ({ since }) => since,
  },
  {
    ...{ key: 'acknowledged', head: 'Acknowledged', width: '9.5rem' },
    cell: (alarm) => <Acknowledged alarm={alarm} />,
    sort: ({ acknowledged }) => acknowledged ?? '',
  },
];

function Acknowledged({ alarm: { id, acknowledged } }: { readonly alarm: AlarmView }) {
  const { client } = useCluster();
  if (acknowledged !== null) return <Time at={acknowledged} />;
  return (
    <Permitted endpoint="acknowledgeAlarm">
      <Action
        label="Acknowledge"
        endpoint="acknowledgeAlarm"
        size="compact-xs"
        run={() => client.call('acknowledgeAlarm', { params: { alarm: id } })}
      />
    </Permitted>
  );
}
