import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlowControl } from './flow-control.ts';

/** A primary that wants to run all the time, before a shadow of a fixed relative speed. */
function follow(
  shadowSpeed: number,
  seconds: number,
): { lag: number; worst: number; share: number } {
  const flow = new FlowControl();
  const sent: { at: number; work: number }[] = [];
  let now = 0;
  let lag = 0;
  let worst = 0;
  let ran = 0;
  for (; now < seconds * 1_000_000; now += 1000) {
    flow.update(lag, now);
    if (flow.restUntil(now) <= now) {
      sent.push({ at: now, work: 1000 });
      ran += 1000;
      flow.ran(now, now + 1000);
    }
    for (let work = 1000 * shadowSpeed; work > 0 && sent.length > 0; ) {
      const done = Math.min(work, sent[0]!.work);
      sent[0]!.work -= done;
      work -= done;
      if (sent[0]!.work <= 0) sent.shift();
    }
    lag = sent.length > 0 ? now - sent[0]!.at : 0;
    worst = Math.max(worst, lag);
  }
  return { lag, worst, share: ran / now };
}

test('a shadow as fast as its primary costs nothing', () => {
  assert.ok(follow(1, 10).share > 0.99);
});

test('a slower shadow is followed down, near the target and far from the limit', () => {
  for (const speed of [0.95, 0.8, 0.5, 0.2]) {
    const { lag, worst, share } = follow(speed, 30);
    assert.ok(worst < 1_000_000, `speed ${speed}: lag of ${worst} us`);
    assert.ok(lag < 100_000, `speed ${speed}: ends with a lag of ${lag} us`);
    assert.ok(share > speed * 0.85, `speed ${speed}: only ${share} of the time used`);
  }
});

test('at a second the primary stops, and goes on afterwards', () => {
  const flow = new FlowControl();
  flow.update(0, 0);
  flow.update(1_000_000, 10_000);
  assert.equal(flow.share, 0);
  assert.ok(flow.restUntil(10_000) > 10_000);
  for (let now = 20_000; now < 5_000_000; now += 10_000) flow.update(0, now);
  assert.equal(flow.share, 1);
});
