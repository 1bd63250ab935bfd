import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Occupation } from './occupation.ts';

const near = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) < 0.01, `${actual} is not ${expected}`);

test('of a copy at work in turns the share is told, whatever was before', () => {
  const turns = fc.record({
    before: fc.integer({ min: 0, max: 1_000_000 }),
    work: fc.integer({ min: 0, max: 100 }),
    rest: fc.integer({ min: 1, max: 100 }),
  });
  fc.assert(
    fc.property(turns, ({ before, work, rest }) => {
      const occupation = new Occupation();
      occupation.worked(0, before);
      let now = before;
      // Ten times as long as it remembers.
      for (const end = now + 500_000; now < end; now += work + rest) {
        occupation.worked(now, now + work);
      }
      near(occupation.share(now), work / (work + rest));
    }),
    { numRuns: 30 },
  );
});

test('without work the share falls: by a quarter in 14 ms, to nothing in half a second', () => {
  const occupation = new Occupation();
  assert.equal(occupation.share(0), 0);
  occupation.worked(0, 1_000_000);
  near(occupation.share(1_000_000), 1);
  near(occupation.share(1_014_400), 0.75);
  near(occupation.share(1_500_000), 0);
});
