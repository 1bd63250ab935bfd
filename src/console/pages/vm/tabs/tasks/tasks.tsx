/** What was done with one VM, by whom, and what came of it; newest first. */
import { Progress } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import type { TaskView } from '../../../../../api/tasks.ts';
import { useCluster, useList } from '../../../../live/hooks.ts';
import { Action } from '../../../../parts/action.tsx';
import { type Column, DataTable } from '../../../../parts/data-table.tsx';
import { Empty } from '../../../../parts/empty.tsx';
import { Problem } from '../../../../parts/problem.tsx';
import { Status } from '../../../../parts/status.tsx';
import { Time } from '../../../../parts/time.tsx';
import { capital, duration } from '../../../../parts/units.ts';
import { isUnderWay, taskTones } from '../../../../shell/tasks-drawer.tsx';
import type { TabProps } from '../../define-tab.ts';
import '../vm-tabs.css';

const past = 1_000;

/** Those that the center has kept, and the live ones, which have the last word. */
function useVmTasks(vm: string): { readonly tasks: readonly TaskView[]; readonly error: unknown } {
  const { client } = useCluster();
  const live = useList('tasks');
  const { data, error } = useQuery({
    queryKey: ['tasks', vm],
    queryFn: ({ signal }) => client.call('listTasks', { query: { vm, limit: past } }, { signal }),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const tasks = useMemo(() => {
    const byId = new Map((data ?? []).map((task) => [task.id, task]));
    for (const task of live) if (task.vm === vm) byId.set(task.id, task);
    return [...byId.values()].sort((a, b) => b.created.localeCompare(a.created));
  }, [data, live, vm]);
  return { tasks, error };
}

export default function Tasks({ vm }: TabProps) {
  const { tasks, error } = useVmTasks(vm.name);
  if (error !== null && error !== undefined) return <Problem error={error} />;
  return (
    <DataTable
      label={`Tasks of ${vm.name}`}
      noun="task"
      rows={tasks}
      rowId={({ id }) => id}
      columns={columns}
      text={({ kind, state, by, message }) => `${kind} ${state} ${by} ${message}`.toLowerCase()}
      empty={
        <Empty title="No tasks yet">
          What takes a while, such as a migration, a failover test or a snapshot, is kept here with
          what came of it.
        </Empty>
      }
    />
  );
}

const took = ({ created, started, ended }: TaskView): number | null =>
  ended === null ? null : Date.parse(ended) - Date.parse(started ?? created);

const columns: readonly Column<TaskView>[] = [
  {
    ...{ key: 'kind', head: 'Task', width: 'minmax(11rem, 1.2fr)' },
    cell: ({ kind }) => capital(kind),
    sort: ({ kind }) => kind,
  },
  {
    ...{ key: 'state', head: 'State', width: '9rem' },
    cell: (task) =>
      task.state === 'running' ? (
        <Progress
          className="u-task-progress"
          value={task.progress * 100}
          aria-label={`Progress of ${task.kind}`}
          animated
        />
      ) : (
        <Status tone={taskTones[task.state]} text={capital(task.state)} />
      ),
    sort: ({ state }) => state,
  },
  {
    ...{ key: 'what', head: 'What came of it', width: 'minmax(12rem, 3fr)' },
    cell: (task) => <Outcome task={task} />,
  },
  {
    ...{ key: 'by', head: 'By', width: 'minmax(6rem, 1fr)' },
    cell: ({ by }) => by,
    sort: ({ by }) => by,
  },
  {
    ...{ key: 'took', head: 'Took', width: '6rem', align: 'end' },
    cell: (task) => duration(took(task)),
    sort: (task) => took(task) ?? Number.POSITIVE_INFINITY,
  },
  {
    ...{ key: 'began', head: 'Began', width: '9rem' },
    cell: ({ created }) => <Time at={created} />,
    sort: ({ created }) => Date.parse(created),
  },
];

function Outcome({ task }: { readonly task: TaskView }) {
  const { client } = useCluster();
  const { id, error, message, isCancellable } = task;
  const text = error === null ? message || resultOf(task) : `${error.detail} ${error.remedy}`;
  return (
    <span className="u-outcome-cell">
      <span title={text}>{text}</span>
      {isUnderWay(task) && isCancellable && (
        <Action
          label="Cancel"
          size="compact-xs"
          endpoint="cancelTask"
          run={() => client.call('cancelTask', { params: { task: id } })}
        />
      )}
    </span>
  );
}

/** Such as `snapshot nightly`. Ids are nobody's words. */
function resultOf({ result = {} }: TaskView): string {
  const told = Object.entries(result).filter(([name]) => name !== 'id');
  return told.map(([name, value]) => `${name} ${value}`).join(', ');
}
