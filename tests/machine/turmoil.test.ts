/**
 * What must not leak into the guest (DESIGN section 4), held by guests in turmoil: whatever the
 * engine, however runs are sliced, wherever checkpoints are taken and caches dropped, all outputs
 * and all fingerprints are the same. The seeds are fixed; `node tests/machine/soak.ts` has more.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { SeededRandom } from '../../src/base/random.ts';
import { makeReferenceEngine } from '../../src/engine/reference.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { savedState } from './difference.ts';
import { drive, guestMaker } from './machines.ts';
import { agree, plain, type Run, scenario, variants } from './scenarios.ts';

const seeds = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => from + index);

for (const [name, vary] of Object.entries(variants)) {
  test(`turmoil: ${name}`, () => {
    for (const seed of seeds(0, 12)) {
      const run: Run = scenario(seed, 1 + (seed % 8), 60, 150);
      agree(seed, name, plain(run), vary(run, new SeededRandom(seed, 7)));
    }
  });
}

test('turmoil: the reference engine, which caches nothing', () => {
  for (const seed of seeds(1000, 14)) {
    const run = scenario(seed, 1 + (seed % 3), 30, 80);
    const { events, guest } = run;
    agree(
      seed,
      'reference',
      plain(run),
      drive(guestMaker(guest, makeReferenceEngine).powerOn(), events),
    );
  }
});

test('turmoil reaches all modes, causes and devices', () => {
  const reached = new Set<string>();
  let consoleBytes = 0;
  for (const seed of seeds(0, 8)) {
    const run = scenario(seed, 1, 60, 150);
    const look = (machine: Machine): Machine => {
      const { privilege, scause, mcause } = run.fields(savedState(machine));
      reached.add(`mode ${privilege}`).add(`scause ${scause}`).add(`mcause ${mcause}`);
      return machine;
    };
    const trace = drive(guestMaker(run.guest).powerOn(), run.events, {
      slicer: () => 4n,
      between: look,
    });
    consoleBytes += trace.console.length;
  }
  const interrupt = 1n << 63n;
  const expected = [
    ...['mode 0', 'mode 1', 'mode 3', 'scause 12', 'scause 13'],
    ...[1, 2, 3, 5, 6, 7, 8, 12, 13, 15].map((cause) => `mcause ${cause}`),
    ...[1n, 5n, 7n, 11n].map((cause) => `mcause ${interrupt | cause}`),
  ];
  assert.deepEqual(
    expected.filter((one) => !reached.has(one)),
    [],
  );
  assert.ok(consoleBytes > 50, `${consoleBytes} bytes on the console`);
});
