/** `umbra task list|show|cancel`. */
import { type Command, Option } from 'commander';
import { type TaskView, taskStates } from '../api/tasks.ts';
import { centerOptions, fields, show, table, withCenter } from './session.ts';

export function registerTask(program: Command): void {
  const task = program.command('task').description('operations that take a while');

  centerOptions(task.command('list'))
    .description('tasks that run, and the last that have ended, oldest first')
    .addOption(new Option('--state <state>', 'only those').choices([...taskStates]))
    .option('--vm <name>', 'only of this VM')
    .option('--json', 'print JSON')
    .action(async ({ json, state, vm, ...options }) => {
      const tasks = await withCenter(options, (client) =>
        client.call('listTasks', { query: { state, vm } }),
      );
      show(json, tasks, () =>
        table(['ID', 'KIND', 'VM', 'HOST', 'STATE', 'DONE', 'BY', 'CREATED'], tasks.map(row)),
      );
    });

  centerOptions(task.command('show'))
    .description('one task')
    .argument('<id>')
    .option('--json', 'print JSON')
    .action(async (id: string, { json, ...options }) => {
      const found = await withCenter(options, (client) =>
        client.call('showTask', { params: { task: id } }),
      );
      show(json, found, () => details(found));
    });

  centerOptions(task.command('cancel'))
    .description('ask a task to stop')
    .argument('<id>')
    .option('--json', 'print the task as JSON')
    .action(async (id: string, { json, ...options }) => {
      const asked = await withCenter(options, (client) =>
        client.call('cancelTask', { params: { task: id } }),
      );
      show(json, asked, () => `${id} has been asked to stop; see umbra task show ${id}.`);
    });
}

const percent = ({ progress }: TaskView): string => `${Math.floor(progress * 100)}%`;

function row(task: TaskView) {
  const { id, kind, vm, host, state, by, created } = task;
  return [id, kind, vm, host, state, percent(task), by, created];
}

function details(task: TaskView): string {
  const { error } = task;
  return fields([
    ['id', task.id],
    ['kind', task.kind],
    ['VM', task.vm],
    ['host', task.host],
    ['state', task.state],
    ['done', task.message === '' ? percent(task) : `${percent(task)}, ${task.message}`],
    ['result', task.result === undefined ? undefined : JSON.stringify(task.result)],
    ['error', error === null ? 'none' : `${error.detail}. ${error.remedy}`],
    ['asked for by', task.by],
    ['created', task.created],
    ['started', task.started],
    ['ended', task.ended],
  ]);
}
