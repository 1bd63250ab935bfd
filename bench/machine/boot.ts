/**
 * `boot`: seconds from starting the process to the shell of the image `tiny`, here, on QEMU's TCG
 * and on QEMU's deterministic mode.
 */
import { tinyImage } from '../../tests/machine/tiny.ts';
import type { Bench, BenchOptions } from '../bench.ts';
import { type Comparison, comparisonRow, instructionsOf, inTurn, perSide } from './comparison.ts';
import { watchConsole } from './console-run.ts';
import type { Guest } from './guest.ts';
import { need } from './needs.ts';
import { commandOf } from './sides.ts';
import { comparisonTable } from './table.ts';

const roundsDefault = 5;

async function measure({ rounds = roundsDefault, progress }: BenchOptions): Promise<Comparison> {
  need('qemu-system-misc');
  const { append, initrdPath, kernelPath, memory, name, ready } = await tinyImage();
  const memoryMb = memory / 2 ** 20;
  const guest: Guest = { name, kernel: kernelPath, initrd: initrdPath, append, memoryMb };
  const trials = await inTurn(rounds, async (side, round) => {
    const run = await watchConsole(commandOf[side](guest), ready);
    const { seconds } = run.lines.find(({ text }) => text.includes(ready))!;
    progress(`round ${round} of ${rounds}: ${side} ${seconds.toFixed(2)} s`);
    return { run, seconds };
  });
  const seconds = perSide(trials, (all) => all.map((trial) => trial.seconds));
  const instructions = instructionsOf(trials.umbra.map(({ run }) => run));
  const row = comparisonRow(name, 'process', seconds, instructions);
  return { rows: [row], geomeanVsTcg: row.vsTcg, geomeanVsIcount: row.vsIcount };
}

const show = ({ rows }: Comparison): string => comparisonTable(rows);

export const boot: Bench = { rows: ['tiny'], measure, show };
