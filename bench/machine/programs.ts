/**
 * `programs`: Debian's own programs at work in a guest, here, on QEMU's TCG and on QEMU's
 * deterministic mode. Timed between the lines by which the guest says that a program begins and
 * ends: its boot is left out. Instructions are the run's less those of a boot.
 */
import { type Bench, type BenchOptions, chosen } from '../bench.ts';
import {
  type Comparison,
  type ComparisonRow,
  comparisonRow,
  instructionsOf,
  means,
  perSide,
  tryOnSides,
} from './comparison.ts';
import { watchConsole } from './console-run.ts';
import { bootOnly, debianPrograms, programGuests } from './debian-programs.ts';
import { need } from './needs.ts';
import { umbraRun } from './sides.ts';
import { comparisonTable } from './table.ts';

const roundsDefault = 3;

async function measure(options: BenchOptions): Promise<Comparison> {
  need('qemu-system-misc');
  const { rounds = roundsDefault, progress } = options;
  const guestOf = await programGuests();
  const boot = instructionsOf([await watchConsole(umbraRun(guestOf(bootOnly)))]);
  const rows: ComparisonRow[] = [];
  for (const { name } of chosen(rowNames, options)) {
    const trials = await tryOnSides(guestOf(name), rounds, progress);
    const seconds = perSide(trials, (all) => all.map(({ work }) => work.seconds));
    const instructions = instructionsOf(trials.umbra.map(({ run }) => run)) - boot;
    rows.push(comparisonRow(name, 'work', seconds, instructions));
  }
  const { vsTcg, vsIcount } = means(rows);
  return { rows, geomeanVsTcg: vsTcg, geomeanVsIcount: vsIcount };
}

const rowNames = debianPrograms.map((name) => ({ name }));

const show = ({ rows }: Comparison): string => comparisonTable(rows, { programs: means(rows) });

export const programs: Bench = { rows: debianPrograms, measure, show };
