/** Rows that compare Umbra with QEMU: seconds of each, and ratios above 1 where Umbra is faster. */

export interface ComparisonRow {
  readonly name: string;
  readonly instructions: number;
  readonly umbraSeconds: number;
  readonly tcgSeconds: number;
  readonly icountSeconds: number;
  readonly vsTcg: number;
  readonly vsIcount: number;
}

export interface Comparison {
  readonly rows: readonly ComparisonRow[];
  readonly geomeanVsTcg: number;
  readonly geomeanVsIcount: number;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export const geometricMean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

export function compare(rows: readonly ComparisonRow[]): Comparison {
  return {
    rows,
    geomeanVsTcg: geometricMean(rows.map(({ vsTcg }) => vsTcg)),
    geomeanVsIcount: geometricMean(rows.map(({ vsIcount }) => vsIcount)),
  };
}

export function table({ rows, geomeanVsIcount, geomeanVsTcg }: Comparison): string {
  const lines = rows.map((row) => {
    const mips = row.instructions / row.umbraSeconds / 1e6;
    const seconds = [row.umbraSeconds, row.tcgSeconds, row.icountSeconds]
      .map((value) => value.toFixed(2).padStart(8))
      .join('');
    return `${row.name.padEnd(12)}${seconds}${row.vsTcg.toFixed(2).padStart(8)}${row.vsIcount.toFixed(2).padStart(8)}${mips.toFixed(0).padStart(7)}`;
  });
  const head = 'name           umbra     tcg  icount   /tcg  /icount  MIPS';
  const mean = `geometric means ${geomeanVsTcg.toFixed(2)} and ${geomeanVsIcount.toFixed(2)}`;
  return [head, ...lines, mean].join('\n');
}
