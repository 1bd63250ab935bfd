/**
 * One guest on all sides, in turn, and a row of what came out. Ratios are of the two runs of one
 * round, above 1 where Umbra is faster; a row has their median.
 */
import type { BenchOptions } from '../bench.ts';
import { type Distribution, distribution, geometricMean, median } from '../statistics.ts';
import { type ConsoleRun, watchConsole } from './console-run.ts';
import { type Guest, type Work, workOf } from './guest.ts';
import { commandOf, type Side, sides } from './sides.ts';

export type PerSide<Value> = Readonly<Record<Side, Value>>;

/** Medians of seconds and of ratios. */
export interface Figures {
  readonly umbraSeconds: number;
  readonly tcgSeconds: number;
  readonly icountSeconds: number;
  readonly vsTcg: number;
  readonly vsIcount: number;
}

export interface ComparisonRow extends Figures, PerSide<Distribution> {
  readonly name: string;
  /** Retired by Umbra, firmware and boot included unless the bench says otherwise. */
  readonly instructions: number;
  /** What the seconds are of: whole processes, or the work between the guest's own lines. */
  readonly timed: 'process' | 'work';
}

/** Geometric means of ratios; null where there are none. */
export interface Means {
  readonly vsTcg: number | null;
  readonly vsIcount: number | null;
}

export interface Comparison {
  readonly rows: readonly ComparisonRow[];
  readonly geomeanVsTcg: number | null;
  readonly geomeanVsIcount: number | null;
}

export interface Trial {
  readonly run: ConsoleRun;
  readonly work: Work;
}

/** Something on each side once a round, the sides in turn. */
export async function inTurn<Value>(
  rounds: number,
  act: (side: Side, round: number) => Promise<Value>,
): Promise<PerSide<readonly Value[]>> {
  const all: Record<Side, Value[]> = { umbra: [], tcg: [], icount: [] };
  for (let round = 1; round <= rounds; round++) {
    for (const side of sides) all[side].push(await act(side, round));
  }
  return all;
}

/** @throws if two runs of the guest have not had the same result */
export async function tryOnSides(
  guest: Guest,
  rounds: number,
  progress: BenchOptions['progress'],
  watch = watchConsole,
): Promise<PerSide<readonly Trial[]>> {
  let expected: string | undefined;
  return inTurn(rounds, async (side, round) => {
    const run = await watch(commandOf[side](guest));
    const work = workOf(guest, run);
    progress(
      `${guest.name}, round ${round} of ${rounds}: ${side} ${work.seconds.toFixed(2)} s, ` +
        `${run.seconds.toFixed(2)} s in all`,
    );
    expected ??= work.result;
    if (work.result !== expected) {
      throw new Error(
        `${guest.name} has the result ${work.result} on ${side}, and ${expected} on ${sides[0]}: ` +
          'one of them executes it wrongly.',
      );
    }
    return { run, work };
  });
}

export const perSide = <Value, Result>(
  all: PerSide<Value>,
  map: (value: Value) => Result,
): PerSide<Result> => ({
  umbra: map(all.umbra),
  tcg: map(all.tcg),
  icount: map(all.icount),
});

export function figures(seconds: PerSide<readonly number[]>): Figures {
  const versus = (side: Side): number =>
    median(seconds[side].map((value, round) => value / seconds.umbra[round]!));
  return {
    umbraSeconds: median(seconds.umbra),
    tcgSeconds: median(seconds.tcg),
    icountSeconds: median(seconds.icount),
    vsTcg: versus('tcg'),
    vsIcount: versus('icount'),
  };
}

export const means = (rows: readonly Figures[]): Means => ({
  vsTcg: geometricMean(rows.map(({ vsTcg }) => vsTcg)),
  vsIcount: geometricMean(rows.map(({ vsIcount }) => vsIcount)),
});

export function comparisonRow(
  name: string,
  timed: ComparisonRow['timed'],
  seconds: PerSide<readonly number[]>,
  instructions: number,
): ComparisonRow {
  return { name, instructions, timed, ...figures(seconds), ...perSide(seconds, distribution) };
}

/** Umbra's own report of a run, in the middle of several. */
export const instructionsOf = (runs: readonly ConsoleRun[]): number =>
  median(runs.map(({ report }) => (JSON.parse(report) as { instructions: number }).instructions));
