/**
 * A guest of a bench: files that every side boots, and the lines by which it says what it does:
 * `start NAME`, `end NAME`, `result VALUE`. Then it switches itself off.
 */
import type { ConsoleLine, ConsoleRun } from './console-run.ts';

export interface Guest {
  readonly name: string;
  /** Path of the kernel. */
  readonly kernel: string;
  /** Path of its initial RAM disk. */
  readonly initrd?: string;
  /** The kernel's command line. */
  readonly append?: string;
  readonly memoryMb: number;
}

export interface Work {
  /** From the start of the process to the line `start`. */
  readonly startSeconds: number;
  /** From the line `start` to the line `end`. */
  readonly seconds: number;
  /** The same on every machine, or the work was not the same. */
  readonly result: string;
}

/** What a guest has done, by its own lines. */
export function workOf({ name }: Guest, { lines }: Pick<ConsoleRun, 'lines'>): Work {
  const at = (text: string): number => {
    const line = lines.find((each) => each.text === text);
    if (line === undefined) throw silent(name, text, lines);
    return line.seconds;
  };
  const startSeconds = at(`start ${name}`);
  const seconds = at(`end ${name}`) - startSeconds;
  const result = lines.map(({ text }) => /^result (.+)$/.exec(text)?.[1]).find(Boolean);
  if (result === undefined) throw silent(name, 'result', lines);
  return { startSeconds, seconds, result };
}

const silent = (name: string, line: string, said: readonly ConsoleLine[]): Error =>
  new Error(
    `The guest ${name} has not said "${line}":\n${said.map(({ text }) => text).join('\n')}`,
  );
