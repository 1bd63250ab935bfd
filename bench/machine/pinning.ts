/** One CPU for one process, where the machine can hold it there: its threads share that one. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Command } from './console-run.ts';

/** The last CPU that this process may use, or undefined where `taskset` is missing. */
export const ownCpu = (): number | undefined => allowedCpus().at(-1);

/** The CPUs that this process may use; none where `taskset` is missing. */
export function allowedCpus(): number[] {
  if (spawnSync('taskset', ['--version']).status !== 0) return [];
  const status = readFileSync('/proc/self/status', 'utf8');
  return cpuList(/^Cpus_allowed_list:\s*(.*)$/m.exec(status)?.[1] ?? '');
}

/** The kernel's form of a set of CPUs, such as `0-3,8`. */
export function cpuList(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const [first = Number.NaN, last = first] = part.split('-').map(Number);
    return part === '' ? [] : Array.from({ length: last - first + 1 }, (_, at) => first + at);
  });
}

/** Holds a process that runs, with all its threads, to one CPU. */
export function pin(pid: number, cpu: number | undefined): void {
  if (cpu === undefined) return;
  const { status, stderr } = spawnSync('taskset', ['-a', '-p', '-c', `${cpu}`, `${pid}`]);
  if (status !== 0) throw new Error(`process ${pid} cannot be held to CPU ${cpu}: ${stderr}`);
}

export const pinned = (cpu: number | undefined, command: Command): Command =>
  cpu === undefined
    ? command
    : { ...command, program: 'taskset', args: ['-c', `${cpu}`, command.program, ...command.args] };
