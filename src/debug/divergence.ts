/**
 * Where a replay first does something else than another: to the instruction.
 *
 * A recording has fingerprints about a second apart, so that it diverged is known to that. What this
 * adds: the same stretch is executed by another way (another tier). If that one meets the recording's
 * fingerprint, the two ways are held against each other, halving the stretch until one instruction is
 * left. If it does not meet it either, both replays differ from what was recorded: then a snapshot of
 * the recording in that stretch, if there is one, is what is left of the other side, and its
 * registers and memory are held against the replay's.
 */
import type { Divergence } from '../lockstep/status.ts';
import type { RiscvMachine } from '../machine/riscv-machine.ts';
import { type Difference, differences, instructionAt } from './machine-report.ts';
import { type RecordedRun, Timeline, type TimelineOptions } from './timeline.ts';

export interface Located {
  readonly divergence: Divergence;
  /** The last count at which the recording's fingerprint was met, or where the replay began. */
  readonly lastGood: bigint;
  /** The instruction that the two ways executed unlike, or undefined if they are alike. */
  readonly instruction?:
    | {
        readonly count: bigint;
        readonly hart: number;
        readonly text: string;
        /** What it left behind: in the replay that diverged, and by the other way. */
        readonly differences: readonly Difference[];
      }
    | undefined;
  /** At the recording's next snapshot: in the replay, and as recorded. */
  readonly snapshot?:
    | { readonly count: bigint; readonly differences: readonly Difference[] }
    | undefined;
}

export interface LocateOptions {
  readonly now: TimelineOptions['now'];
  /** The machine of the recording's first snapshot between two counts, if it has one. */
  readonly snapshotBetween: (after: bigint, upTo: bigint) => RiscvMachine | undefined;
}

/**
 * @param run the recording, by the way that diverged
 * @param other the same recording, by another way
 * @param lastGood where `run` met a fingerprint last
 */
export async function locate(
  run: RecordedRun,
  other: RecordedRun,
  divergence: Divergence,
  lastGood: bigint,
  { now, snapshotBetween }: LocateOptions,
): Promise<Located> {
  const found = { divergence, lastGood };
  const left = new Timeline(run, { now });
  const right = new Timeline(other, { now });
  const end = divergence.count;
  const landing = await right.seek(end);
  if (landing.kind === 'diverged') {
    const machine = snapshotBetween(lastGood, end);
    if (machine === undefined) return found;
    await left.seek(machine.count);
    const unlike = differences(left.machine, machine);
    return { ...found, snapshot: { count: machine.count, differences: unlike } };
  }
  const count = await firstUnlike(left, right, lastGood, end);
  await left.seek(count);
  await right.seek(count);
  const hart = right.machine.nextHart ?? 0;
  const text = instructionAt(right.machine, hart);
  await left.step();
  await right.step();
  const unlike = differences(left.machine, right.machine);
  return { ...found, instruction: { count, hart, text, differences: unlike } };
}

/** The last count at which both are alike, between one at which they are and one at which not. */
async function firstUnlike(
  left: Timeline,
  right: Timeline,
  alike: bigint,
  unlike: bigint,
): Promise<bigint> {
  let [low, high] = [alike, unlike];
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    await left.seek(middle);
    await right.seek(middle);
    if (left.machine.fingerprint() === right.machine.fingerprint()) low = middle;
    else high = middle;
  }
  return low;
}
