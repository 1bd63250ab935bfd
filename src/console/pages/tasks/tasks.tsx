/** Operations that take a while: what runs, and the last that ended, newest first. */
import { Progress } from '@mantine/core';
import { useMemo, useState } from 'react';
import type { TaskView } from '../../../api/tasks.ts';
import { useCluster, useList } from '../../live/hooks.ts';
import { Action } from '../../parts/action.tsx';
import { type Column, DataTable } from '../../parts/data-table.tsx';
import { Details } from '../../parts/details.tsx';
import { Empty } from '../../parts/empty.tsx';
import { Page } from '../../parts/page.tsx';
import { Permitted } from '../../parts/permitted.tsx';
import { Status } from '../../parts/status.tsx';
import { Subject } from '../../parts/subject.tsx';
import { TextButton } from '../../parts/text-button.tsx';
import { Time } from '../../parts/time.tsx';
import { capital, duration, exactTime } from '../../parts/units.ts';
import { isUnderWay, taskStatus } from '../../shell/tasks-drawer.tsx';

export default function Tasks() {
  const tasks = useList('tasks');
  const rows = useMemo(() => [...tasks].reverse(), [tasks]);
  const [opened, setOpened] = useState<string | undefined>();
  const columns = useMemo(() => columnsOf(({ id }) => setOpened(id)), []);
  const task = tasks.find(({ id }) => id === opened);
  return (
    <Page title="Tasks" fills>
      <DataTable
        label="tasks"
        noun="task"
        isLog
        rows={rows}
        rowId={rowId}
        columns={columns}
        text={textOf}
        onOpen={({ id }) => setOpened(id)}
        empty={
          <Empty title="No tasks yet">
            What takes a while shows here with its progress: migrations, test failovers, snapshots,
            exports, hosts that are emptied.
          </Empty>
        }
      />
      {task && (
        <Details
          title={taskStatus(task).text}
          facts={[
            ['State', capital(task.state)],
            ['About', <Subject key="about" vm={task.vm} host={task.host} />],
            ['Asked for by', task.by],
            ['Asked for', exactTime(task.created)],
            task.started !== null && ['Begun', exactTime(task.started)],
            task.ended !== null && ['Ended', exactTime(task.ended)],
            ['Took', tookText(task)],
            ['Last word', wordOf(task)],
            ['Id', <code key="id">{task.id}</code>],
          ]}
          data={task.result ?? {}}
          onClose={() => setOpened(undefined)}
        />
      )}
    </Page>
  );
}

const rowId = ({ id }: TaskView): string => id;

const wordOf = ({ error, message }: TaskView): string =>
  error === null ? message : `${error.detail} ${error.remedy}`;

const textOf = (task: TaskView): string =>
  [task.kind, task.state, task.vm ?? '', task.host ?? '', task.by, wordOf(task)]
    .join(' ')
    .toLowerCase();

function tookMs({ started, ended }: TaskView): number | null {
  return started === null || ended === null ? null : Date.parse(ended) - Date.parse(started);
}
const tookText = (task: TaskView): string => duration(tookMs(task));

const columnsOf = (open: (task: TaskView) => void): readonly Column<TaskView>[] => [
  {
    ...{ key: 'kind', head: 'Task', width: 'minmax(10rem, 1fr)' },
    cell: (task) => <Status {...taskStatus(task)} />,
    sort: ({ kind }) => kind,
  },
  {
    ...{ key: 'state', head: 'State', width: '7rem' },
    cell: (task) => (isUnderWay(task) ? <UnderWay task={task} /> : capital(task.state)),
    sort: ({ state }) => state,
  },
  {
    ...{ key: 'about', head: 'About', width: 'minmax(6rem, 0.7fr)' },
    cell: ({ vm, host }) => <Subject vm={vm} host={host} />,
    sort: ({ vm, host }) => vm ?? host ?? '',
  },
  {
    ...{ key: 'word', head: 'Last word', width: 'minmax(12rem, 2.4fr)' },
    cell: (task) => (
      <TextButton
        text={wordOf(task) || '–'}
        tone={task.error === null ? undefined : 'bad'}
        onClick={() => open(task)}
      />
    ),
  },
  {
    ...{ key: 'by', head: 'By', width: 'minmax(5rem, 0.6fr)' },
    cell: ({ by }) => by,
    sort: ({ by }) => by,
  },
  {
    ...{ key: 'created', head: 'Asked for', width: '9.5rem' },
    cell: ({ created }) => <Time at={created} />,
    sort: ({ created }) => created,
  },
  {
    ...{ key: 'took', head: 'Took', width: '5.5rem', align: 'end' },
    cell: (task) => (isUnderWay(task) ? <Cancel task={task} /> : tookText(task)),
    sort: (task) => tookMs(task) ?? Number.POSITIVE_INFINITY,
  },
];

function UnderWay({ task: { kind, state, progress } }: { readonly task: TaskView }) {
  if (state === 'queued') return 'Queued';
  return <Progress value={progress * 100} size="sm" animated aria-label={`Progress of ${kind}`} />;
}

function Cancel({ task: { id, isCancellable } }: { readonly task: TaskView }) {
  const { client } = useCluster();
  if (!isCancellable) return null;
  return (
    <Permitted endpoint="cancelTask">
      <Action
        label="Cancel"
        endpoint="cancelTask"
        size="compact-xs"
        run={() => client.call('cancelTask', { params: { task: id } })}
      />
    </Permitted>
  );
}
