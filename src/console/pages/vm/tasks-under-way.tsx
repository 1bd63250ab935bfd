/** What is being done with a VM at this moment; nothing where that is nothing. */
import { useList } from '../../live/hooks.ts';
import { Panel } from '../../parts/page.tsx';
import { isUnderWay, Task } from '../../shell/tasks-drawer.tsx';

interface OfVm {
  /** Its name. */
  readonly vm: string;
}

const useTasksUnderWay = (vm: string) =>
  useList('tasks').filter((task) => task.vm === vm && isUnderWay(task));

export function TasksUnderWay({ vm }: OfVm) {
  const tasks = useTasksUnderWay(vm);
  if (tasks.length === 0) return null;
  return (
    <ul className="u-tasks">
      {tasks.map((task) => (
        <Task key={task.id} task={task} />
      ))}
    </ul>
  );
}

export function TasksUnderWayPanel({ vm }: OfVm) {
  if (useTasksUnderWay(vm).length === 0) return null;
  return (
    <Panel title="Under way" className="u-wide">
      <TasksUnderWay vm={vm} />
    </Panel>
  );
}
