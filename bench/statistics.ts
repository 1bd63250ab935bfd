/** Figures out of repeated measurements. Nothing here assumes a shape of their distribution. */

export interface Distribution {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

const ascending = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);

export function median(values: readonly number[]): number {
  const sorted = ascending(values);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The smallest value that at least this share of the values does not exceed (nearest rank). */
export function percentile(values: readonly number[], share: number): number {
  const sorted = ascending(values);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * The mean of this share of the values, the smallest ones, at least one: of times on a machine whose
 * other users only ever add to them, in stretches longer than what is timed.
 */
export function meanOfLeast(values: readonly number[], share: number): number {
  return mean(ascending(values).slice(0, Math.max(1, Math.round(share * values.length))));
}

export const distribution = (values: readonly number[]): Distribution => ({
  median: median(values),
  min: Math.min(...values),
  max: Math.max(...values),
  rounds: values.length,
});

/** Of nothing: null, which JSON can say. */
export const geometricMean = (values: readonly number[]): number | null =>
  values.length === 0
    ? null
    : Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

export interface Interval {
  readonly interval: readonly [number, number];
  /** The probability that the interval contains the true median; below 0.95 with few values. */
  readonly confidence: number;
}

const wantedConfidence = 0.95;

/**
 * A confidence interval of the median by the sign test: from the k-th smallest value to the k-th
 * largest. Each value lies on either side of the true median as a coin falls, so the interval misses
 * it with the probability of fewer than k heads, or fewer than k tails. The narrowest interval with
 * at least 95 % is taken; fewer than six values give all of their range and less confidence.
 */
export function medianInterval(values: readonly number[]): Interval {
  const sorted = ascending(values);
  const count = sorted.length;
  const at = (k: number): Interval => ({
    interval: [sorted[k - 1]!, sorted[count - k]!],
    confidence: 1 - 2 * fewerHeads(count, k),
  });
  let best = at(1);
  for (let k = 2; 2 * k <= count && at(k).confidence >= wantedConfidence; k++) best = at(k);
  return best;
}

/** The probability of fewer than `k` heads in `count` throws. */
function fewerHeads(count: number, k: number): number {
  let ways = 1;
  let sum = 0;
  for (let heads = 0; heads < k; heads++) {
    sum += ways;
    ways = (ways * (count - heads)) / (heads + 1);
  }
  return sum / 2 ** count;
}
