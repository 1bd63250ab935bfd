/** A process that runs a guest, watched by what its console says and when. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';

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
const children = new Set<ChildProcessWithoutNullStreams>();
// No guest outlives the bench, however it ends.
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(1));
}

/** Runs to the end, or until the console has said `until`: then the process is asked to end. */
export function watchConsole(command: Command, until?: string): Promise<ConsoleRun> {
  const start = performance.now();
  const elapsed = (): number => (performance.now() - start) / 1000;
  const child = spawn(command.program, command.args, { stdio: 'pipe' });
  children.add(child);
  child.stdin.end();
  const lines: ConsoleLine[] = [];
  let report = '';
  let rest = '';
  let seen = until === undefined;
  const own = command.console === 'stdout' ? child.stderr : child.stdout;
  own.setEncoding('utf8').on('data', (text: string) => (report += text));
  child[command.console].setEncoding('latin1').on('data', (text: string) => {
    const seconds = elapsed();
    const parts = (rest + text).split('\n');
    rest = parts.pop()!;
    lines.push(...parts.map((part) => ({ text: part.replaceAll('\r', ''), seconds })));
    if (seen || !lines.some((line) => line.text.includes(until!))) return;
    seen = true;
    child.kill('SIGTERM');
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), secondsMax * 1000);
  return new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', (code, signal) => {
      const seconds = elapsed();
      clearTimeout(timer);
      children.delete(child);
      const asked = until !== undefined && seen;
      if (asked || (seen && code === 0)) return done({ seconds, lines, report });
      const tail = [...lines.map(({ text }) => text), rest].slice(-20).join('\n');
      const how = signal === 'SIGKILL' ? `did not end within ${secondsMax} s` : `ended by ${code}`;
      fail(new Error(`${command.program} ${how}: ${report}\n${tail}`));
    });
  });
}
