import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Entry } from '../lockstep/entries.ts';
import { logActivity } from './activity.ts';
import { countAtTime } from './search.ts';

const bytes = (length: number): Uint8Array => new Uint8Array(length);
/** One tick a count. */
const rate = 2 ** 24;

const entries: readonly Entry[] = [
  { count: 100n, event: { kind: 'clock', time: 1_000n, rate, span: 1_000_000 } },
  { count: 150n, event: { kind: 'frame', port: 0, frame: bytes(60), segmentBytes: 0 } },
  { count: 300n, event: { kind: 'console', bytes: bytes(3) } },
  // It waited from 1,300 to 3,000.
  { count: 400n, event: { kind: 'clock', time: 3_000n, rate, span: 1_000_000 } },
  { count: 450n, event: { kind: 'disk', disk: 0, request: 1, ok: true, data: bytes(512) } },
  { count: 900n, event: { kind: 'progress' } },
];
const log = {
  stretch: (position: number) =>
    position <= entries.length ? { firstPosition: 1, entries } : undefined,
};
const span = {
  from: { position: 1, count: 100n, time: 1_000n },
  to: { count: 900n, time: 3_500n },
};

test('a log over the time of its guest, without executing anything', () => {
  const { series, counts, bucketTicks } = logActivity(log, span, 5);
  assert.equal(bucketTicks, 500);
  assert.deepEqual(series.received, [60, 0, 0, 0, 0]);
  assert.deepEqual(series.typed, [3, 0, 0, 0, 0]);
  assert.deepEqual(series.read, [0, 0, 0, 0, 512]);
  assert.deepEqual(series.instructions, [300, 0, 0, 0, 500]);
  assert.deepEqual(counts, [100n, 400n, 400n, 400n, 400n, 900n]);
});

test('the count at each bound is that of the place time:SECONDS', () => {
  for (const buckets of [1, 7, 50]) {
    const { counts, bucketTicks } = logActivity(log, span, buckets);
    assert.equal(counts.length, buckets + 1);
    for (const [index, count] of counts.entries()) {
      const time = BigInt(Math.round(1_000 + index * bucketTicks));
      assert.equal(count, countAtTime(log, time, 1), `bound ${index} of ${buckets}`);
    }
  }
});

test('what falls on several buckets is neither lost nor doubled', () => {
  for (const buckets of [1, 3, 11, 600]) {
    const { series } = logActivity(log, span, buckets);
    assert.equal(
      series.instructions.reduce((sum, each) => sum + each, 0),
      800,
    );
    assert.ok(series.instructions.every((each) => each >= 0));
  }
});
