/**
 * `boot`: seconds from starting the process to the shell of the image `tiny`, here, on QEMU's TCG
 * and on QEMU's deterministic mode, each with one CPU, 128 MiB and no devices but the console.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { tinyImage } from '../../tests/machine/tiny.ts';
import type { Bench } from '../main.ts';
import { type Comparison, type ComparisonRow, compare, median, table } from './comparison.ts';

const timeoutMs = 120_000;
const memory = '128M';

type Side = 'umbra' | 'tcg' | 'icount';

interface Command {
  readonly program: string;
  readonly args: readonly string[];
}

interface Timed {
  readonly seconds: number;
  /** What the process wrote to standard error, of which Umbra's is a report. */
  readonly report: string;
}

/** Seconds until standard output has shown `marker`; then the process is no longer needed. */
function timeUntil({ program, args }: Command, marker: string): Promise<Timed> {
  const start = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  return new Promise((resolve, reject) => {
    let shown = '';
    let report = '';
    let seconds: number | undefined;
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.stderr.setEncoding('utf8').on('data', (text: string) => (report += text));
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      shown += text;
      if (seconds !== undefined || !shown.includes(marker)) return;
      seconds = (performance.now() - start) / 1000;
      child.kill('SIGTERM');
    });
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(timer);
      if (seconds !== undefined) resolve({ seconds, report });
      else reject(new Error(`${program} has not shown "${marker}": ${report}\n${shown}`));
    });
  });
}

async function measure({
  rounds = 5,
  progress,
}: Parameters<Bench['measure']>[0]): Promise<Comparison> {
  const { append, initrdPath, kernelPath, ready } = await tinyImage();
  const qemu = (...own: string[]): Command => ({
    program: 'qemu-system-riscv64',
    args: [
      ...['-machine', 'virt', '-smp', '1', '-m', memory, '-display', 'none', '-net', 'none'],
      ...['-serial', 'stdio', '-monitor', 'none', '-no-reboot'],
      ...['-kernel', kernelPath, '-initrd', initrdPath, '-append', append, ...own],
    ],
  });
  const script = join(import.meta.dirname, 'run-kernel.ts');
  const commands: Readonly<Record<Side, Command>> = {
    umbra: { program: process.execPath, args: [script, kernelPath, initrdPath, append, memory] },
    tcg: qemu('-accel', 'tcg'),
    icount: qemu('-accel', 'tcg', '-icount', 'shift=0,sleep=off'),
  };
  const seconds: Record<Side, number[]> = { umbra: [], tcg: [], icount: [] };
  let instructions = 0;
  for (let round = 0; round < rounds; round++) {
    for (const side of ['umbra', 'tcg', 'icount'] as const) {
      const timed = await timeUntil(commands[side], ready);
      seconds[side].push(timed.seconds);
      progress(`round ${round + 1} of ${rounds}: ${side} ${timed.seconds.toFixed(2)} s`);
      if (side === 'umbra') instructions = JSON.parse(timed.report).instructions;
    }
  }
  const ratio = (side: Side): number =>
    median(seconds[side].map((value, round) => value / seconds.umbra[round]!));
  const row: ComparisonRow = {
    name: 'tiny',
    instructions,
    umbraSeconds: median(seconds.umbra),
    tcgSeconds: median(seconds.tcg),
    icountSeconds: median(seconds.icount),
    vsTcg: ratio('tcg'),
    vsIcount: ratio('icount'),
  };
  return compare([row]);
}

export const boot: Bench = { measure, show: table };
