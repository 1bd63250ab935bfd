/**
 * `cpu`: how fast guests run on one CPU, here, on QEMU's TCG and on QEMU's deterministic mode.
 *
 * Rows of kind `compute` are bare kernels; their seconds are of whole processes, from start to
 * exit, and `withoutStart` has the same between the guest's own lines, when the machine is already
 * there. Rows of kind `system` are kinds of work of an operating system, timed between the guest's
 * lines, so that its boot is left out; their instructions are the run's less those of a boot.
 */
import { type Bench, type BenchOptions, chosen } from '../bench.ts';
import {
  type Comparison,
  type ComparisonRow,
  comparisonRow,
  type Figures,
  figures,
  instructionsOf,
  means,
  perSide,
  tryOnSides,
} from './comparison.ts';
import { watchConsole } from './console-run.ts';
import { type Kernel, kernelGuest, kernelPackages, kernels } from './kernels.ts';
import { need } from './needs.ts';
import { umbraRun } from './sides.ts';
import { bootOnly, systemGuests, systemPackages, systemWork } from './system-work.ts';
import { comparisonTable } from './table.ts';

const roundsDefault = 3;

interface ComputeRow extends ComparisonRow {
  readonly kind: 'compute';
  readonly result: string;
  readonly withoutStart: Figures;
}

interface SystemRow extends ComparisonRow {
  readonly kind: 'system';
}

/** The plain geometric means are of the compute rows as timed; the others stand beside them. */
interface CpuDocument extends Comparison {
  readonly rows: readonly (ComputeRow | SystemRow)[];
  readonly geomeanWithoutStartVsTcg: number | null;
  readonly geomeanWithoutStartVsIcount: number | null;
  readonly geomeanSystemVsTcg: number | null;
  readonly geomeanSystemVsIcount: number | null;
}

export async function computeRow(
  kernel: Kernel,
  rounds: number,
  progress: BenchOptions['progress'],
): Promise<ComputeRow> {
  const trials = await tryOnSides(kernelGuest(kernel), rounds, progress);
  const whole = perSide(trials, (all) => all.map(({ run }) => run.seconds));
  const work = perSide(trials, (all) => all.map((trial) => trial.work.seconds));
  const instructions = instructionsOf(trials.umbra.map(({ run }) => run));
  return {
    ...comparisonRow(kernel.name, 'process', whole, instructions),
    kind: 'compute',
    result: trials.umbra[0]!.work.result,
    withoutStart: figures(work),
  };
}

async function systemRows(options: BenchOptions): Promise<SystemRow[]> {
  const rows: SystemRow[] = [];
  const wanted = chosen(systemWork, options);
  if (wanted.length === 0) return rows;
  const guestOf = await systemGuests();
  const boot = instructionsOf([await watchConsole(umbraRun(guestOf(bootOnly)))]);
  for (const work of wanted) {
    const { rounds = roundsDefault, progress } = options;
    const trials = await tryOnSides(guestOf(work), rounds, progress);
    const seconds = perSide(trials, (all) => all.map((trial) => trial.work.seconds));
    const instructions = instructionsOf(trials.umbra.map(({ run }) => run)) - boot;
    rows.push({ ...comparisonRow(work.name, 'work', seconds, instructions), kind: 'system' });
  }
  return rows;
}

async function measure(options: BenchOptions): Promise<CpuDocument> {
  need('qemu-system-misc');
  if (chosen(kernels, options).length > 0) need(...kernelPackages);
  if (chosen(systemWork, options).length > 0) need(...systemPackages);
  const compute: ComputeRow[] = [];
  for (const kernel of chosen(kernels, options)) {
    compute.push(await computeRow(kernel, options.rounds ?? roundsDefault, options.progress));
  }
  const system = await systemRows(options);
  const all = meansOf([...compute, ...system]);
  return {
    rows: [...compute, ...system],
    geomeanVsTcg: all.compute.vsTcg,
    geomeanVsIcount: all.compute.vsIcount,
    geomeanWithoutStartVsTcg: all.withoutStart.vsTcg,
    geomeanWithoutStartVsIcount: all.withoutStart.vsIcount,
    geomeanSystemVsTcg: all.system.vsTcg,
    geomeanSystemVsIcount: all.system.vsIcount,
  };
}

function meansOf(rows: readonly (ComputeRow | SystemRow)[]) {
  const compute = rows.filter((row) => row.kind === 'compute');
  return {
    compute: means(compute),
    withoutStart: means(compute.map(({ withoutStart }) => withoutStart)),
    system: means(rows.filter((row) => row.kind === 'system')),
  };
}

function show({ rows }: CpuDocument): string {
  const { compute, withoutStart, system } = meansOf(rows);
  return comparisonTable(rows, {
    compute,
    'compute without the start': withoutStart,
    system,
  });
}

export const cpu: Bench = {
  rows: [...kernels, ...systemWork].map(({ name }) => name),
  measure,
  show,
};
