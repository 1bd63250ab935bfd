import assert from 'node:assert/strict';
import test from 'node:test';
import {
  distribution,
  geometricMean,
  mean,
  meanOfLeast,
  median,
  medianInterval,
} from '../../bench/statistics.ts';
import { SeededRandom } from '../../src/base/random.ts';

test('medians, means and distributions', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.ok(Math.abs(geometricMean([1, 4])! - 2) < 1e-12);
  assert.equal(mean([1, 2, 6]), 3);
  assert.equal(geometricMean([]), null);
  assert.deepEqual(distribution([3, 1, 2]), { median: 2, min: 1, max: 3, rounds: 3 });
});

test('the mean of the least leaves out what was disturbed', () => {
  assert.equal(meanOfLeast([9, 1, 7, 3, 8, 8, 8, 8], 0.25), 2);
  assert.equal(meanOfLeast([4, 2], 0.25), 2);
  assert.equal(meanOfLeast([2, 4, 6], 1), 4);
});

test('an interval of the median is the narrowest with 95 %', () => {
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1);
  // Tables of the sign test: 6 values need all, 9 leave one out on each side, 20 leave five out.
  assert.deepEqual(medianInterval(upTo(6)), { interval: [1, 6], confidence: 1 - 2 / 2 ** 6 });
  assert.deepEqual(medianInterval(upTo(8)).interval, [1, 8]);
  assert.deepEqual(medianInterval(upTo(9)).interval, [2, 8]);
  assert.deepEqual(medianInterval(upTo(20)).interval, [6, 15]);
  assert.deepEqual(medianInterval([5]), { interval: [5, 5], confidence: 0 });
  assert.equal(medianInterval(upTo(5)).confidence, 0.9375);
});

test('the interval holds the true median as often as it says', () => {
  const random = new SeededRandom(95);
  const trials = 4000;
  let held = 0;
  for (let trial = 0; trial < trials; trial++) {
    const values = Array.from({ length: 9 }, () => random.below(2 ** 30) / 2 ** 30);
    const [low, high] = medianInterval(values).interval;
    if (low <= 0.5 && 0.5 <= high) held += 1;
  }
  assert.ok(Math.abs(held / trials - (1 - 20 / 512)) < 0.01, `${held} of ${trials}`);
});
