/**
 * `timeline`: how fast one moves about in a recording of a Linux guest that has booted, works for a
 * moment every few seconds and is idle in between, and of one that is idle all the time.
 *
 * The guest is recorded for a time by `umbra run`; then its replay, seeks to places at random in it
 * and steps back from there are timed, all in this process. The first seek of each kind finds nothing
 * translated. Places are drawn from a fixed seed, over counts and over the guest's time in turn: most
 * of an idle guest's time lies in few of its counts. `--rounds`: pieces of work, ten seconds each.
 */
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SeededRandom } from '../../src/base/random.ts';
import { countAtTime } from '../../src/debug/search.ts';
import { Timeline } from '../../src/debug/timeline.ts';
import { openRecording, replayRecording } from '../../src/host/local/replay.ts';
import { builtImage, imagesHome } from '../../tests/images/built-image.ts';
import { type Bench, type BenchOptions, chosen } from '../bench.ts';
import { type Distribution, distribution } from '../statistics.ts';
import { workplace } from './workplace.ts';

const umbra = resolve(import.meta.dirname, '../../src/cli/main.ts');
/** Ten minutes. */
const worksDefault = 60;
const workMs = 10_000;
const seeks = 20;
const stepsBack = 40;

interface Row {
  readonly name: string;
  /** Of the guest's clock. */
  readonly guestSeconds: number;
  readonly instructions: number;
  readonly snapshots: number;
  /** Guest seconds for a second of replay. */
  readonly replaySpeed: number;
  readonly openMs: number;
  readonly seekMs: Distribution;
  readonly stepBackMs: Distribution;
}

interface TimelineDocument {
  readonly rows: readonly Row[];
}

const rows = [
  { name: 'idle', image: 'tiny', work: '' },
  { name: 'tiny', image: 'tiny', work: 'seq 20000 | sort -r | md5sum' },
  {
    name: 'debian',
    image: 'debian',
    work: 'find /usr -type f | head -3000 | xargs cat | md5sum',
  },
] as const;

/** Types a piece of work every ten seconds, if there is any. */
function recordGuest(
  row: (typeof rows)[number],
  ready: string,
  works: number,
  folder: string,
): Promise<void> {
  const args = ['run', '--image', row.image, '--record', folder];
  const child = spawn(process.execPath, [umbra, ...args], {
    env: { ...process.env, UMBRA_HOME: imagesHome },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  let text = '';
  let timer: NodeJS.Timeout | undefined;
  child.stdout.setEncoding('latin1').on('data', (piece: string) => {
    text = (text + piece).slice(-4000);
    if (timer !== undefined || !text.includes(ready)) return;
    timer = setInterval(() => row.work !== '' && child.stdin.write(`${row.work}\n`), workMs);
    setTimeout(() => child.kill('SIGTERM'), works * workMs);
  });
  return new Promise((done, failed) => {
    child.once('error', failed);
    child.once('close', () => {
      clearInterval(timer);
      done();
    });
  });
}

const since = (start: number): number => performance.now() - start;

async function timed(name: string, folder: string): Promise<Row> {
  const opening = performance.now();
  const opened = openRecording(folder);
  const { recording } = opened;
  const { end } = recording;
  const openMs = since(opening);
  const replayed = await replayRecording(opened, { console: () => {}, progress: () => {} });
  const { guestSeconds } = replayed;
  const random = new SeededRandom(1);
  const timeline = new Timeline(recording, { now: () => performance.now() * 1000 });
  const share = (): bigint => BigInt(random.below(1_000_000));
  const seekMs: number[] = [];
  const stepBackMs: number[] = [];
  for (let turn = 0; turn < seeks; turn++) {
    const ticks = BigInt(Math.floor(guestSeconds * 1e7));
    const goal =
      turn % 2 === 0
        ? (end.count * share()) / 1_000_000n
        : countAtTime(recording, (ticks * share()) / 1_000_000n, 1);
    const start = performance.now();
    await timeline.seek(goal);
    seekMs.push(since(start));
    for (let step = 0; step < stepsBack / seeks; step++) {
      const hart = timeline.machine.nextHart ?? 0;
      const began = performance.now();
      await timeline.stepBack(hart);
      stepBackMs.push(since(began));
    }
  }
  return {
    name,
    guestSeconds,
    instructions: Number(end.count),
    snapshots: recording.snapshots.length,
    replaySpeed: guestSeconds / replayed.seconds,
    openMs,
    seekMs: distribution(seekMs),
    stepBackMs: distribution(stepBackMs),
  };
}

async function measure(options: BenchOptions): Promise<TimelineDocument> {
  const measured: Row[] = [];
  for (const row of chosen(rows, options) as readonly (typeof rows)[number][]) {
    const { ready } = await builtImage(row.image);
    const folder = join(workplace, `timeline-${row.name}`);
    const works = options.rounds ?? worksDefault;
    options.progress(`${row.name}: recording for ${(works * workMs) / 1000} s`);
    await recordGuest(row, ready, works, folder);
    options.progress(`${row.name}: moving about`);
    measured.push(await timed(row.name, folder));
    rmSync(folder, { recursive: true, force: true });
  }
  return { rows: measured };
}

function show(document: TimelineDocument): string {
  const spread = ({ median, max }: Distribution): string =>
    `${median.toFixed(0)} ms (at most ${max.toFixed(0)})`;
  return document.rows
    .map(
      (row) =>
        `${row.name.padEnd(8)}${row.guestSeconds.toFixed(0)} s, ${row.snapshots} snapshots: opens in ` +
        `${row.openMs.toFixed(0)} ms, replays ${row.replaySpeed.toFixed(1)} times as fast, seeks in ` +
        `${spread(row.seekMs)}, steps back in ${spread(row.stepBackMs)}`,
    )
    .join('\n');
}

export const timeline: Bench = { rows: rows.map(({ name }) => name), measure, show };
