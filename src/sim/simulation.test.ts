import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sabotage } from './sabotage.ts';
import { type SimulationOptions, simulate } from './simulation.ts';

test('clusters keep every rule under faults', () => {
  let goLives = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const result = simulate(seed);
    assert.deepEqual(result.violations, [], `npm run sim -- --seed ${seed}`);
    goLives += result.goLives;
  }
  assert.ok(goLives > 20, `only ${goLives} shadows went live`);
});

test('a seed fails or passes the same way again', () => {
  const [first, second] = [simulate(7), simulate(7)];
  assert.deepEqual(first.trace, second.trace);
  assert.equal(first.events, second.events);
});

/** Each broken rule, and the checkers that may see it first. */
const sabotages: Record<Sabotage, RegExp> = {
  'open-gate': /^output-rule/,
  'claim-without-compare': /^(one-live|one-history)/,
  'early-acknowledgement': /^(output-rule|one-history)/,
  'endless-lease': /^one-live/,
  'unfenced-disks': /^(fencing|one-history)/,
  'stale-start': /^one-history/,
  'altered-log': /^(no-divergence|one-history)/,
};

/**
 * They take what the others have only now and then: a shared disk, and a lease; one so short that the
 * next copy begins while writes of the last are under way.
 */
const ofShared: Partial<Record<string, SimulationOptions>> = {
  'endless-lease': { disks: [true], leaseMs: 300 },
  'unfenced-disks': { disks: [true], leaseMs: 150 },
};

for (const [sabotage, caughtBy] of Object.entries(sabotages)) {
  test(`the checkers catch ${sabotage}`, () => {
    for (let seed = 1; seed <= 200; seed++) {
      const options = { sabotage: sabotage as Sabotage, ...ofShared[sabotage] };
      const [violation] = simulate(seed, options).violations;
      if (violation !== undefined && caughtBy.test(violation)) return;
    }
    assert.fail('200 seeds, and nobody noticed');
  });
}
