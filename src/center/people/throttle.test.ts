/** The delays of failed logins, by a clock of the test's own; passwords at rest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkPassword, hashPassword } from './passwords.ts';
import { Throttle } from './throttle.ts';

const rule = { freeFailures: 3, firstDelayMs: 1_000, delayMsMax: 10_000 };

test('each failure beyond the free ones doubles the delay, up to a most', () => {
  let now = 0;
  const throttle = new Throttle(rule, () => now);
  const delays = Array.from({ length: 9 }, () => {
    throttle.attempt('a');
    return throttle.delayMs('a');
  });
  assert.deepEqual(delays, [0, 0, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
  assert.equal(throttle.delayMs('b'), 0);
  now += 10_000;
  assert.equal(throttle.delayMs('a'), 0);
  throttle.attempt('a');
  assert.equal(throttle.delayMs('a'), 10_000);
  now += 60 * 60 * 1000;
  throttle.attempt('a');
  assert.equal(throttle.delayMs('a'), 0, 'an hour of quiet is forgotten');
});

test('however attempts come, no more get through in a time than the delays allow', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 3_000 }), { maxLength: 200 }), (steps) => {
      let now = 0;
      const throttle = new Throttle(rule, () => now);
      const tried: number[] = [];
      for (const step of steps) {
        now += step;
        if (throttle.delayMs('a') > 0) continue;
        throttle.attempt('a');
        tried.push(now);
      }
      for (let index = rule.freeFailures; index < tried.length; index += 1) {
        const least = Math.min(10_000, 1_000 * 2 ** (index - rule.freeFailures));
        assert.ok(tried[index]! - tried[index - 1]! >= least);
      }
    }),
  );
});

test('passwords: right, wrong, of nobody; equal ones do not look alike', async () => {
  const [a, b] = [await hashPassword('pässword'), await hashPassword('pässword')];
  assert.match(a, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/);
  assert.notEqual(a, b);
  assert.ok(await checkPassword(a, 'pa\u0308ssword'), 'the same text in another form');
  assert.equal(await checkPassword(a, 'password'), false);
  assert.equal(await checkPassword(undefined, 'pässword'), false);
});
