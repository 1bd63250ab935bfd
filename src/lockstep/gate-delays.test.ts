import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GateDelays } from './gate-delays.ts';

test('median and 99th percentile of what has left within ten seconds', () => {
  const delays = new GateDelays();
  assert.equal(delays.summary(0), undefined);
  for (let each = 1; each <= 100; each++) delays.left(1_000_000 - each * 10, 1_000_000);
  assert.deepEqual(delays.summary(1_000_000), { medianMicros: 510, p99Micros: 1000 });
  delays.left(10_999_000, 11_000_001);
  assert.deepEqual(delays.summary(11_000_001), { medianMicros: 1001, p99Micros: 1001 });
  assert.equal(delays.summary(30_000_000), undefined);
});

test('a burst pushes out what is older', () => {
  const delays = new GateDelays();
  delays.left(0, 500);
  for (let each = 0; each < 512; each++) delays.left(1_000, 1_007);
  assert.deepEqual(delays.summary(1_007), { medianMicros: 7, p99Micros: 7 });
});
