/** What is under way and what came of it, beside whatever page one is on. */
import { Button, Drawer, Progress } from '@mantine/core';
import { Link } from 'wouter';
import type { TaskView } from '../../api/tasks.ts';
import { useCluster, useList, useMissingRole } from '../live/hooks.ts';
import { useAct } from '../parts/action.tsx';
import { Empty } from '../parts/empty.tsx';
import { Status, type StatusText } from '../parts/status.tsx';
import { Time } from '../parts/time.tsx';
import type { Tone } from '../parts/tone.ts';
import { capital } from '../parts/units.ts';

export const isUnderWay = ({ state }: TaskView): boolean =>
  state === 'queued' || state === 'running';

const shownMax = 50;

export function TasksDrawer({
  isOpen,
  onClose,
}: {
  readonly isOpen: boolean;
  readonly onClose: () => void;
}) {
  const tasks = useList('tasks');
  const shown = [...tasks].reverse().slice(0, shownMax);
  return (
    <Drawer opened={isOpen} onClose={onClose} position="right" size={400} title="Tasks">
      <p className="u-panel-head">
        <Link href="/tasks" onClick={onClose}>
          All tasks
        </Link>
      </p>
      {shown.length === 0 ? (
        <Empty title="No tasks yet">What takes a while, such as a migration, shows here.</Empty>
      ) : (
        <ul className="u-tasks">
          {shown.map((task) => (
            <Task key={task.id} task={task} />
          ))}
        </ul>
      )}
    </Drawer>
  );
}

export const taskStatus = ({ kind, state }: Pick<TaskView, 'kind' | 'state'>): StatusText => ({
  tone: taskTones[state],
  text: capital(kind),
});

export const taskTones: Readonly<Record<TaskView['state'], Tone>> = {
  queued: 'off',
  running: 'busy',
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'warn',
};

export function Task({ task }: { readonly task: TaskView }) {
  const { id, kind, state, vm, host, by, progress, message, error, created } = task;
  const { client } = useCluster();
  const { isBusy, act } = useAct('Cancel');
  const mayCancel = useMissingRole('cancelTask') === undefined;
  return (
    <li className="u-task">
      <div className="u-task-head">
        <Status {...taskStatus(task)} title={state} />
        {vm !== null && <Link href={`/vms/${vm}`}>{vm}</Link>}
        {vm === null && host !== null && <Link href={`/hosts/${host}`}>{host}</Link>}
        <Time at={created} />
      </div>
      {isUnderWay(task) && (
        <Progress
          value={progress * 100}
          size="sm"
          aria-label={`Progress of ${kind}`}
          animated={state === 'running'}
        />
      )}
      <div className="u-task-text">
        <span>{error === null ? message : `${error.detail} ${error.remedy}`}</span>
        <span className="u-dim">by {by}</span>
        {isUnderWay(task) && task.isCancellable && mayCancel && (
          <Button
            size="compact-xs"
            variant="subtle"
            loading={isBusy}
            onClick={() => act(() => client.call('cancelTask', { params: { task: id } }))}
          >
            Cancel
          </Button>
        )}
      </div>
    </li>
  );
}
