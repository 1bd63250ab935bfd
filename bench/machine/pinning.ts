/** One CPU for one process, where the machine can hold it there: its threads share that one. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Command } from './console-run.ts';

/** The last CPU that this process may use, or undefined where `taskset` is missing. */
export function ownCpu(): number | undefined {
  if (spawnSync('taskset', ['--version']).status !== 0) return undefined;
  const allowed = /^Cpus_allowed_list:.*?(\d+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return allowed ? Number(allowed[1]) : undefined;
}

export const pinned = (cpu: number | undefined, command: Command): Command =>
  cpu === undefined
    ? command
    : { ...command, program: 'taskset', args: ['-c', `${cpu}`, command.program, ...command.args] };
