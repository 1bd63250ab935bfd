import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlowControl } from './flow-control.ts';
import { timing } from './timing.ts';

const second = 1_000_000;

/**
 * A primary that wants to run all the time, before a shadow of a relative speed that may change.
 * Batches leave every 15 ms, whole ones are reported every 20, and timers are late.
 */
function follow(
  shadowSpeed: (now: number) => number,
  seconds: number,
  nearingFrom = Number.POSITIVE_INFINITY,
) {
  const flow = new FlowControl();
  const sent: { at: number; work: number }[] = [];
  let [executed, told] = [0, 0];
  let [lag, worst, ran, awake] = [0, 0, 0, 0];
  const shares: number[] = [];
  let near = Number.POSITIVE_INFINITY;
  for (let now = 0; now < seconds * second; now += 250) {
    flow.update(lag, told, now, { isNearing: now >= nearingFrom });
    if (awake <= now && flow.restUntil(now) <= now) {
      flow.ran(now, now + 250);
      ran += 250;
      const rest = flow.restUntil(now + 250) - now - 250;
      if (rest > 0) awake = now + 250 + Math.ceil(rest / 1000) * 1000 + 200;
    }
    if (now % 15_000 === 0) sent.push({ at: now, work: flow.work });
    executed = Math.min(sent.at(-1)?.work ?? executed, executed + 250 * shadowSpeed(now));
    if (now % 20_500 === 0) {
      while (sent.length > 0 && sent[0]!.work <= executed) told = sent.shift()!.work;
    }
    lag = sent.length > 0 ? now - sent[0]!.at : 0;
    worst = Math.max(worst, lag);
    if (now >= nearingFrom && lag <= timing.nearMicros) near = Math.min(near, now);
    if (now % second === 0) shares.push(ran);
  }
  shares.push(ran);
  return {
    lag,
    worst,
    near,
    share: ran / (seconds * second),
    inSecond: (at: number) => (shares[at + 1]! - shares[at]!) / second,
  };
}

test('a shadow as fast as its primary costs nothing', () => {
  const { share } = follow(() => 1, 10);
  assert.ok(share > 0.99, `${share}`);
});

test('a slower shadow is followed down, near the target and far from the limit', () => {
  for (const speed of [0.95, 0.8, 0.5, 0.2]) {
    const { lag, worst, share } = follow(() => speed, 30);
    assert.ok(worst < 0.7 * second, `speed ${speed}: lag of ${worst} us`);
    assert.ok(lag < 150_000, `speed ${speed}: ends with a lag of ${lag} us`);
    assert.ok(share > speed * 0.85, `speed ${speed}: only ${share} of the time used`);
  }
});

test('a shadow that was slow at first is given all soon after', () => {
  const { inSecond } = follow((now) => (now < 3 * second ? 0.1 : 1), 6);
  assert.ok(inSecond(2) > 0.07, `${inSecond(2)} of the time used while the shadow does 0.1`);
  assert.ok(inSecond(4) > 0.9, `${inSecond(4)} used a second after the shadow became fast`);
});

test('a hiccup of the shadow costs little', () => {
  const { share } = follow((now) => (now % second < 50_000 ? 0 : 1.2), 10);
  assert.ok(share > 0.9, `${share}`);
});

test('hosts that are slow in turn get nearly all of what each of them does in the mean', () => {
  // Work is the primary's time, in which it does less where it is the slow one itself.
  const inTurn = (slow: number, micros: number) => (now: number) =>
    Math.floor(now / micros) % 2 === 0 ? slow : 1 / slow;
  for (const [slow, micros, least] of [
    [0.8, second / 2, 0.98],
    [0.55, second / 2, 0.93],
    [0.8, second, 0.95],
  ] as const) {
    const { share, worst } = follow(inTurn(slow, micros), 20);
    assert.ok(share > least, `${share} of the time used, slow ${slow} for ${micros} us`);
    assert.ok(worst < 300_000, `lag of ${worst} us, slow ${slow} for ${micros} us`);
  }
});

test('a shadow that has become faster is given more, though it never lags for long', () => {
  const { inSecond } = follow((now) => (now < 10 * second ? 0.5 : 0.95), 14);
  assert.ok(inSecond(12) > 0.92, `${inSecond(12)} of the time used by the third second`);
});

test('a shadow that is waited for comes near, as fast as its primary or not, steadily or not', () => {
  for (const speed of [1, 0.9, 0.5]) {
    const uneven = (now: number) => speed * (Math.floor(now / 70_000) % 2 === 0 ? 0.8 : 1.2);
    const stalls = (now: number) => (now > 1.7 * second && now < 2 * second ? 0 : uneven(now));
    const { near } = follow(stalls, 4, 2 * second);
    assert.ok(near < 2.9 * second, `speed ${speed}: near ${near - 2 * second} us after the order`);
  }
});

test('a shadow that starts does not stop the machine, and one that takes long slows it more', () => {
  const flow = new FlowControl();
  const startsAt = (now: number): number => {
    flow.update(second, 0, now, { isStarting: true });
    return flow.share;
  };
  flow.update(0, 0, 0, { isStarting: true });
  assert.equal(flow.share, 0.5);
  assert.deepEqual([startsAt(10_000), startsAt(2 * second)], [0.3, 0.3]);
  assert.equal(startsAt(3 * second), 0.15);
  // The next one is another.
  flow.reset();
  assert.equal(startsAt(4 * second), 0.3);
  flow.update(second, 0, 4.1 * second);
  assert.equal(flow.share, 0);
});

test('a guest that waited has its full share when it wakes', () => {
  const flow = new FlowControl();
  for (let now = 0; now < second; now += 10_000) flow.update(0, 0, now);
  assert.equal(flow.share, 1);
});

test('at a second the primary stops, and goes on afterwards', () => {
  const flow = new FlowControl();
  flow.update(0, 0, 0);
  flow.update(second, 0, 10_000);
  assert.equal(flow.share, 0);
  assert.ok(flow.restUntil(10_000) > 10_000);
  for (let now = 20_000; now < 5 * second; now += 10_000) flow.update(0, now, now);
  assert.equal(flow.share, 1);
});
