/**
 * `scale`: what idle protected VMs cost. As many as asked of the image `tiny` run on two hosts, half
 * of the live copies on each; when all are protected and have settled, every VM process is watched
 * for some seconds a round.
 *
 * `cpuPercentPerCopy`: of one CPU, all threads of a VM process, mean of all copies; heartbeats
 * included, daemons and center not. `overheadBytesPerCopy`: memory of a VM process by PSS, which
 * shares common pages out, less the pages of guest RAM that are there.
 */
import type { Bench, BenchOptions } from '../bench.ts';
import { type Distribution, distribution } from '../statistics.ts';
import { cpuSeconds, type Memory, memoryOf } from './processes.ts';
import { onStage, type Stage, type StagedVm, sleep } from './stage.ts';

const roundsDefault = 3;
const vmsDefault = 20;
const memoryBytes = 128 * 2 ** 20;
const settleMs = 5_000;
const watchMs = 10_000;
/** So many boot at a time: they share what CPUs there are. */
const startedAtOnce = 2;

interface ScaleDocument {
  readonly vms: number;
  readonly cpuPercentPerCopy: number;
  readonly overheadBytesPerCopy: number;
  readonly rounds: number;
  readonly cpuPercent: Distribution;
  readonly residentBytesPerCopy: number;
  readonly proportionalBytesPerCopy: number;
  readonly touchedBytesPerCopy: number;
  /** From the first start until the last VM was protected. */
  readonly startSeconds: number;
}

async function measure(options: BenchOptions): Promise<ScaleDocument> {
  const { rounds = roundsDefault, vms: count = vmsDefault, progress } = options;
  const center = ['--ft-vms-per-host', '0', '--ft-cpus-per-host', '0'];
  return onStage({ hosts: 2, images: ['tiny'], center }, async (stage) => {
    const started = performance.now();
    const pids = await startAll(stage, count, progress);
    const startSeconds = (performance.now() - started) / 1000;
    await sleep(settleMs);
    const percents: number[] = [];
    for (let round = 1; round <= rounds; round++) {
      const percent = await idlePercent(pids);
      percents.push(percent);
      progress(`round ${round} of ${rounds}: ${percent.toFixed(2)} % of a CPU for a copy`);
    }
    return { vms: count, ...documentOf(percents, pids), startSeconds };
  });
}

async function startAll(
  stage: Stage,
  count: number,
  progress: BenchOptions['progress'],
): Promise<number[]> {
  const pids: number[] = [];
  for (let first = 0; first < count; first += startedAtOnce) {
    const batch = Array.from({ length: Math.min(startedAtOnce, count - first) }, (_, at) =>
      startOne(stage, first + at),
    );
    for (const vm of await Promise.all(batch)) {
      const { primary, shadow } = await vm.protected();
      pids.push(primary, shadow);
    }
    progress(`${pids.length / 2} of ${count} VMs are protected`);
  }
  return pids;
}

async function startOne(stage: Stage, index: number): Promise<StagedVm> {
  const vm = await stage.startVm(`tiny${index}`, { image: 'tiny', memoryBytes, ft: true });
  return vm;
}

async function idlePercent(pids: readonly number[]): Promise<number> {
  const used = (): number => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const [before, from] = [used(), performance.now()];
  await sleep(watchMs);
  const [after, to] = [used(), performance.now()];
  return ((after - before) / ((to - from) / 1000) / pids.length) * 100;
}

function documentOf(percents: readonly number[], pids: readonly number[]) {
  const memories = pids.map((pid) => memoryOf(pid, memoryBytes));
  const mean = (of: (memory: Memory) => number): number =>
    Math.round(memories.reduce((sum, memory) => sum + of(memory), 0) / memories.length);
  const cpuPercent = distribution(percents);
  return {
    cpuPercentPerCopy: cpuPercent.median,
    overheadBytesPerCopy: mean((memory) => memory.proportionalBytes - memory.touchedBytes),
    rounds: percents.length,
    cpuPercent,
    residentBytesPerCopy: mean(({ residentBytes }) => residentBytes),
    proportionalBytesPerCopy: mean(({ proportionalBytes }) => proportionalBytes),
    touchedBytesPerCopy: mean(({ touchedBytes }) => touchedBytes),
  };
}

function show({ vms, cpuPercent, ...rest }: ScaleDocument): string {
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
  return [
    `${vms} idle protected VMs, ${2 * vms} copies, started in ${rest.startSeconds.toFixed(0)} s`,
    `CPU of a copy           ${cpuPercent.median.toFixed(2)} % (${cpuPercent.min.toFixed(2)} to ${cpuPercent.max.toFixed(2)})`,
    `memory of a copy        ${megabytes(rest.proportionalBytesPerCopy)} (resident ${megabytes(rest.residentBytesPerCopy)}), of it guest RAM ${megabytes(rest.touchedBytesPerCopy)}: ${megabytes(rest.overheadBytesPerCopy)} over it`,
  ].join('\n');
}

export const scale: Bench = { rows: [], measure, show };
