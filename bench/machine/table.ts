/** Comparisons for people: a line for each row, the fastest round in brackets, and the means. */
import type { ComparisonRow, Means } from './comparison.ts';
import { type Side, sides } from './sides.ts';

const nameWidth = 18;
const secondsWidth = 16;
const ratioWidth = 11;

export const factor = (value: number | null): string => (value === null ? '-' : value.toFixed(2));

const cells = (values: readonly string[], width: number): string =>
  values.map((value) => value.padStart(width)).join('');

const line = (name: string, seconds: readonly string[], ratios: readonly string[]): string =>
  name.padEnd(nameWidth) + cells(seconds, secondsWidth) + cells(ratios, ratioWidth);

/** @param means geometric means, each with what they are of */
export function comparisonTable(
  rows: readonly ComparisonRow[],
  means: Readonly<Record<string, Means>> = {},
): string {
  const head = line('seconds', [...sides], ['vs TCG', 'vs icount', 'MIPS']);
  const lines = rows.map((row) => {
    const seconds = sides.map((side: Side) => {
      const { median, min } = row[side];
      return `${median.toFixed(2)} (${min.toFixed(2)})`;
    });
    const mips = row.instructions / row.umbraSeconds / 1e6;
    return line(row.name, seconds, [factor(row.vsTcg), factor(row.vsIcount), mips.toFixed(0)]);
  });
  const label = nameWidth + sides.length * secondsWidth;
  const ends = Object.entries(means).map(
    ([what, { vsTcg, vsIcount }]) =>
      `geometric mean, ${what}`.padEnd(label) +
      cells([factor(vsTcg), factor(vsIcount)], ratioWidth),
  );
  return [head, ...lines, ...ends].join('\n');
}
