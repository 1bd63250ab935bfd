/** A process that runs a guest, watched by what its console says and when. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { makePipe } from './pipe.ts';

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** Which stream is the guest's console; the other one is the program's own. */
  readonly console: 'stdout' | 'stderr';
}

export interface ConsoleLine {
  readonly text: string;
  /** Since the start of the process. */
  readonly seconds: number;
}

export interface ConsoleRun {
  /** From the start of the process to its end. */
  readonly seconds: number;
  readonly lines: readonly ConsoleLine[];
  /** What the program itself said. */
  readonly report: string;
}

const secondsMax = 600;
const children = new Set<ChildProcess>();
// No guest outlives the bench, however it ends.
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** Runs to the end, or until the console has said `until`: then the process is asked to end. */
export async function watchConsole(command: Command, until?: string): Promise<ConsoleRun> {
  const start = performance.now();
  const elapsed = (): number => (performance.now() - start) / 1000;
  const pipe = makePipe();
  const onStdout = command.console === 'stdout';
  const child = spawn(command.program, command.args, {
    stdio: ['ignore', onStdout ? pipe.writer : 'pipe', onStdout ? 'pipe' : pipe.writer],
  });
  pipe.closeWriter();
  children.add(child);
  const timer = setTimeout(() => child.kill('SIGKILL'), secondsMax * 1000);
  const lines: ConsoleLine[] = [];
  let rest = '';
  let enough = false;
  pipe.reader.setEncoding('latin1').on('data', (chunk: string) => {
    const seconds = elapsed();
    const parts = (rest + chunk).split('\n');
    rest = parts.pop()!;
    lines.push(...parts.map((part) => ({ text: part.replaceAll('\r', ''), seconds })));
    if (enough || until === undefined || !lines.some((line) => line.text.includes(until))) return;
    enough = true;
    child.kill('SIGTERM');
  });
  try {
    const [[code, signal], report] = await Promise.all([
      once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>,
      text(onStdout ? child.stderr! : child.stdout!),
      once(pipe.reader, 'close'),
    ]);
    const seconds = elapsed();
    if (enough || (until === undefined && code === 0)) return { seconds, lines, report };
    const tail = [...lines.map((line) => line.text), rest].slice(-20).join('\n');
    const how = signal === 'SIGKILL' ? `did not end within ${secondsMax} s` : `ended by ${code}`;
    throw new Error(`${command.program} ${how}: ${report}\n${tail}`);
  } finally {
    clearTimeout(timer);
    children.delete(child);
  }
}
