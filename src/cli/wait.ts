/** Waiting for what was asked for, as the reference's tasks do: until it is so, or why it is not. */
import type { Command } from 'commander';
import type { Client } from '../api/client.ts';
import type { TaskView } from '../api/tasks.ts';
import type { VmView } from '../api/views.ts';
import { UmbraError } from '../base/errors.ts';
import { readEvents } from './events.ts';
import { ProgressLine } from './progress-line.ts';

const lookMs = 50;
const taskLookMs = 100;
const waitMsMax = 120_000;

export const noWait = (command: Command): Command =>
  command.option('--no-wait', 'return as soon as the center knows of it');

/** @returns the VM as it is when `done` says so */
export async function waitForVm(
  client: Client,
  name: string,
  done: (vm: VmView) => boolean,
): Promise<VmView> {
  const [last] = (await readEvents(client, { vm: name })).slice(-1);
  const line = new ProgressLine(process.stderr.isTTY === true);
  try {
    for (const end = performance.now() + waitMsMax; ; ) {
      const vm = await client.call('showVm', { params: { vm: name } });
      if (done(vm)) return vm;
      if (performance.now() > end) throw await inVain(client, vm, last?.sequence ?? 0);
      line.show(`${name}: ${vm.obstacle ?? `${vm.state}, fault tolerance ${vm.ft.state}`}`);
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  } finally {
    line.end();
  }
}

/** However long it takes, and tells how far it is. @throws what the task has failed with */
export async function waitForTask(client: Client, begun: TaskView): Promise<TaskView> {
  const line = new ProgressLine(process.stderr.isTTY === true);
  try {
    for (let task = begun; ; ) {
      const { id, kind, state, vm, host, error, progress, message } = task;
      if (state === 'succeeded') return task;
      if (error !== null) throw new UmbraError(error.code, error.detail, error.remedy);
      const what = [vm, host && `on ${host}`].filter((part) => part !== null).join(' ');
      line.show(`${kind}: ${what}${message && `, ${message},`}`, progress * 100, 100);
      await new Promise((resolve) => setTimeout(resolve, taskLookMs));
      task = await client.call('showTask', { params: { task: id } });
    }
  } finally {
    line.end();
  }
}

const failures = ['command-failed', 'vm-ended', 'ft-failed-to-start', 'ft-terminated'];

async function inVain(client: Client, vm: VmView, after: number): Promise<UmbraError> {
  const events = await readEvents(client, { vm: vm.name, after });
  const failure = events.findLast(({ kind }) => failures.includes(kind));
  const why = vm.obstacle ?? failure?.text ?? `it is still ${vm.state}, ${vm.ft.state}`;
  return new UmbraError(
    'wait-in-vain',
    `${vm.name} is not there after ${waitMsMax / 1000} s: ${why}`,
    `The center goes on trying; see umbra vm events ${vm.name}.`,
  );
}
