/**
 * `record`: what recording costs, how large a log is, and how fast the recording replays.
 *
 * Rows of a guest that only computes are runs of `umbra run`; those of a VM that serves, with a
 * flight recorder as well, are in cluster/recorded.ts.
 *
 * Runs come in pairs, one with recording and one without, the first of them in turn, each process
 * pinned to one CPU. A pair gives one ratio of the seconds between the guest's own lines; the row
 * has the median of the ratios and an interval of it by the sign test (statistics.ts). Each
 * recording is replayed and verified, and its seconds stand against those of its own run.
 */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Bench, type BenchOptions, chosen } from '../bench.ts';
import {
  type CostRow,
  type RecordedRow,
  recordedLoads,
  recordedRows,
} from '../cluster/recorded.ts';
import {
  type Distribution,
  distribution,
  geometricMean,
  type Interval,
  median,
  medianInterval,
} from '../statistics.ts';
import { watchConsole } from './console-run.ts';
import { programGuests } from './debian-programs.ts';
import { type Guest, workOf } from './guest.ts';
import { kernelGuest, kernelPackages, kernels } from './kernels.ts';
import { need } from './needs.ts';
import { ownCpu, pinned } from './pinning.ts';
import { umbraCommand, umbraRun } from './sides.ts';
import { factor } from './table.ts';
import { workplace } from './workplace.ts';

/** Enough for an interval that leaves out the slowest and the fastest pair. */
const pairsDefault = 9;

interface RecordRow extends Interval {
  readonly name: string;
  /** Speed with recording over speed without: below 1 recording costs. */
  readonly onOverOff: number;
  readonly logBytes: number;
  readonly bytesPerKiloInstruction: number;
  /** Seconds of the replay over seconds of the run that was recorded. */
  readonly replayOverRecord: number;
  readonly on: Distribution;
  readonly off: Distribution;
}

interface RecordDocument {
  readonly rows: readonly RecordRow[];
  /** How much faster than they were recorded recordings replay: the geometric mean of the rows. */
  readonly replaySpeedup: number | null;
  /** Of a VM that serves, in a cluster. */
  readonly serving: readonly RecordedRow[];
  /** Published of ReTrace (Workstation 6): "from". */
  readonly reTraceBytesPerKiloInstruction: number;
  readonly intervalBy: 'sign test';
  /** The CPU that all processes were held to, or null. */
  readonly cpu: number | null;
}

const kernelRow = (name: string) => async (): Promise<Guest> =>
  kernelGuest(kernels.find((kernel) => kernel.name === name)!);

/** One that keeps memory as it is, one that fills it, and a program of Debian's, boot included. */
const rows: readonly { readonly name: string; readonly make: () => Promise<Guest> }[] = [
  { name: 'interpreter', make: kernelRow('interpreter') },
  { name: 'memory', make: kernelRow('memory') },
  { name: 'gzip', make: async () => (await programGuests())('gzip') },
];

/** What `umbra run --json` and `umbra replay --json` have in common. */
interface Report {
  readonly instructions: number;
  readonly seconds: number;
}

async function run(guest: Guest, cpu: number | undefined, ...options: string[]) {
  const ran = await watchConsole(pinned(cpu, umbraRun(guest, ...options)));
  return { report: JSON.parse(ran.report) as Report, work: workOf(guest, ran) };
}

async function recordAndReplay(guest: Guest, cpu: number | undefined) {
  const folder = join(workplace, 'recording');
  try {
    const { report, work } = await run(guest, cpu, '--record', folder);
    const logs = readdirSync(folder).filter((name) => name.startsWith('log-'));
    const logBytes = logs.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    const replay = await watchConsole(pinned(cpu, umbraCommand('replay', folder, '--verify')));
    const replayed = JSON.parse(replay.report) as Report;
    return { report, work, logBytes, replayOverRecord: replayed.seconds / report.seconds };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function recordRow(
  guest: Guest,
  cpu: number | undefined,
  pairs: number,
  progress: BenchOptions['progress'],
): Promise<RecordRow> {
  const on: Awaited<ReturnType<typeof recordAndReplay>>[] = [];
  const off: Awaited<ReturnType<typeof run>>[] = [];
  for (let pair = 1; pair <= pairs; pair++) {
    if (pair % 2 === 1) off.push(await run(guest, cpu));
    on.push(await recordAndReplay(guest, cpu));
    if (pair % 2 === 0) off.push(await run(guest, cpu));
    const seconds = [on, off].map((all) => all.at(-1)!.work.seconds.toFixed(2));
    progress(`${guest.name}, pair ${pair} of ${pairs}: on ${seconds[0]} s, off ${seconds[1]} s`);
  }
  const ratios = on.map(({ work }, pair) => off[pair]!.work.seconds / work.seconds);
  const perKilo = on.map(({ logBytes, report }) => (logBytes * 1000) / report.instructions);
  return {
    name: guest.name,
    onOverOff: median(ratios),
    ...medianInterval(ratios),
    logBytes: median(on.map(({ logBytes }) => logBytes)),
    bytesPerKiloInstruction: median(perKilo),
    replayOverRecord: median(on.map(({ replayOverRecord }) => replayOverRecord)),
    on: distribution(on.map(({ work }) => work.seconds)),
    off: distribution(off.map(({ work }) => work.seconds)),
  };
}

async function measure(options: BenchOptions): Promise<RecordDocument> {
  need(...kernelPackages);
  const { rounds = pairsDefault, progress } = options;
  const cpu = ownCpu();
  const measured: RecordRow[] = [];
  for (const { make } of chosen(rows, options)) {
    measured.push(await recordRow(await make(), cpu, rounds, progress));
  }
  const speedups = measured.map(({ replayOverRecord }) => 1 / replayOverRecord);
  const loads = chosen(
    recordedLoads.map((name) => ({ name })),
    options,
  );
  return {
    rows: measured,
    replaySpeedup: geometricMean(speedups),
    serving: await recordedRows(
      loads.map(({ name }) => name),
      rounds,
      progress,
    ),
    reTraceBytesPerKiloInstruction: 0.5,
    intervalBy: 'sign test',
    cpu: cpu ?? null,
  };
}

function show({ rows, replaySpeedup, serving, cpu, ...document }: RecordDocument): string {
  const lines = rows.map(({ name, onOverOff, interval: [low, high], confidence, ...row }) => {
    const ratio = `${onOverOff.toFixed(4)} (${low.toFixed(4)} to ${high.toFixed(4)} with ${(confidence * 100).toFixed(0)} %)`;
    const log = `${row.bytesPerKiloInstruction.toFixed(5)} bytes per 1000 instructions`;
    return `${name.padEnd(14)}on/off ${ratio}, ${log}, replay ${factor(1 / row.replayOverRecord)} times as fast`;
  });
  const where = cpu === null ? 'processes were not pinned' : `all on CPU ${cpu}`;
  if (replaySpeedup !== null) {
    const published = `ReTrace: from ${document.reTraceBytesPerKiloInstruction} bytes`;
    lines.push(`replay speedup ${factor(replaySpeedup)}; ${where}; ${published}`);
  }
  return [...lines, ...serving.map(servingLine)].join('\n');
}

function servingLine({ name, recording, flight }: RecordedRow): string {
  const cost = ({ onOverOff, coreSecondsRatio, interval: [low, high] }: CostRow): string =>
    `${onOverOff.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)}), by CPU time ${coreSecondsRatio.toFixed(3)}`;
  const rate = `${(recording.bytesPerSecond / 1e6).toFixed(2)} MB/s`;
  return `${name.padEnd(14)}on/off ${cost(recording)}, ${rate}; flight recorder ${cost(flight)}`;
}

export const record: Bench = {
  rows: [...rows.map(({ name }) => name), ...recordedLoads],
  measure,
  show,
};
