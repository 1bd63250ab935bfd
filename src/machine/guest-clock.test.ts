/** The clock and its inverse, against each other and against the one that the engine computes. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { makeReferenceEngine } from '../engine/reference.ts';
import { makeWasmEngine } from '../engine/wasm-engine.ts';
import type { EngineHost } from './engine.ts';
import { GuestClock } from './guest-clock.ts';
import { layoutFor } from './layout.ts';

const host: EngineHost = {
  deviceLoad: () => undefined,
  deviceStore: () => false,
  preservePage: () => {},
  breakpointHere: () => false,
  dataAccessed: () => false,
};
const layout = layoutFor(1 << 20);
const engines = [makeWasmEngine(layout, host), makeReferenceEngine(layout, host)];

const sample = fc.record({
  count: fc.bigInt(0n, 1n << 52n),
  time: fc.bigInt(0n, 1n << 60n),
  rate: fc.oneof(fc.integer({ min: 1, max: 2 ** 32 - 1 }), fc.constantFrom(1, 2, 2 ** 32 - 1)),
  span: fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(0, 1, 2 ** 32 - 1)),
});
const elapsed = fc.oneof(fc.bigInt(0n, 1n << 40n), fc.bigInt(0n, 100n));

test('engines read the clock that the machine computes', () => {
  fc.assert(
    fc.property(
      sample,
      elapsed,
      fc.integer({ min: -2, max: 2 }),
      ({ count, ...rest }, far, near) => {
        // Counts anywhere, and around the end of the span.
        for (const after of [far, BigInt(rest.span + near)]) {
          if (after < 0n) continue;
          for (const engine of engines) {
            const clock = new GuestClock(engine.memory);
            clock.set(count, rest);
            assert.equal(engine.timeAt(count + after), clock.timeAt(count + after));
          }
        }
      },
    ),
    { seed: 1, numRuns: 1000 },
  );
});

test('a time is read at the count given for it and at none before', () => {
  const clock = new GuestClock(engines[0]!.memory);
  fc.assert(
    fc.property(sample, fc.bigInt(-5n, 1n << 34n), ({ count, ...rest }, ahead) => {
      clock.set(count, rest);
      const time = rest.time + ahead;
      const at = clock.countAt(time);
      assert.ok(at >= count && clock.timeAt(at) >= time);
      assert.ok(at === count || clock.timeAt(at - 1n) < time);
    }),
    { seed: 2, numRuns: 3000 },
  );
});

test('the clock never runs backwards and never stands still', () => {
  const clock = new GuestClock(engines[0]!.memory);
  fc.assert(
    fc.property(sample, elapsed, elapsed, ({ count, ...rest }, a, b) => {
      clock.set(count, rest);
      const [early, late] = a < b ? [a, b] : [b, a];
      assert.ok(clock.timeAt(count + early) <= clock.timeAt(count + late));
      // A tick at the slowest rate behind the span takes 2^28 counts.
      assert.ok(clock.timeAt(count + early + (1n << 29n)) > clock.timeAt(count + early));
    }),
    { seed: 3, numRuns: 1000 },
  );
});
