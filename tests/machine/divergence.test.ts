/** A replay that goes wrong at one instruction is told by that instruction. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { SeededRandom } from '../../src/base/random.ts';
import { locate } from '../../src/debug/divergence.ts';
import { Timeline } from '../../src/debug/timeline.ts';
import { makeInterpreter, wasmEngine } from '../../src/engine/wasm-engine.ts';
import { xAt } from '../../src/isa/hart-state.ts';
import type { EngineMaker } from '../../src/machine/engine.ts';
import { run as control } from '../../src/machine/layout.ts';
import { RunInMemory } from './recorded-run.ts';
import { turmoil, turmoilEvents } from './turmoil.ts';

/** An engine that computes a bit of s11 wrongly in the instruction before this count. */
function wrongAt(count: bigint): EngineMaker {
  const make = wasmEngine({});
  return (layout, host) => {
    const engine = make(layout, host);
    const view = new DataView(engine.memory.buffer);
    const right = engine.run.bind(engine);
    return Object.assign(engine, {
      run(budget: number): number {
        const end = view.getBigUint64(control.end.at, true);
        const start = end - BigInt(budget);
        if (count <= start || count > end) return right(budget);
        view.setBigUint64(control.end.at, count, true);
        const left = right(Number(count - start));
        if (left > 0) return left + Number(end - count);
        const s11 = xAt + 27 * 8;
        view.setBigUint64(s11, view.getBigUint64(s11, true) ^ 0x100n, true);
        view.setBigUint64(control.end.at, end, true);
        return end > count ? right(Number(end - count)) : 0;
      },
    });
  };
}

const never = { now: () => 0, snapshotBetween: () => undefined };

for (const seed of [1, 2, 3]) {
  test(`the wrong instruction is found, with what it left behind: seed ${seed}`, async () => {
    const random = new SeededRandom(seed);
    const guest = turmoil(random, 2);
    const events = turmoilEvents(new SeededRandom(seed, 1), 60, 300);
    const right = new RunInMemory(guest, events, makeInterpreter, 9);
    const prints = right.entries.filter(({ event }) => event.kind === 'fingerprint');
    const [good, bad] = [prints[4]!.count, prints[5]!.count];
    const wrong = good + (bad - good) / 3n;
    const broken = new RunInMemory(guest, events, wrongAt(wrong), 0);
    const timeline = new Timeline(broken, { now: () => 0 });
    const landing = await timeline.run(right.end.count);
    assert.ok(landing.kind === 'diverged', landing.kind);
    assert.equal(landing.divergence.count, bad);
    const { instruction } = await locate(broken, right, landing.divergence, good, never);
    assert.ok(instruction !== undefined);
    assert.equal(instruction.count, wrong - 1n);
    assert.match(instruction.text, /^0x[0-9a-f]+: \w/);
    assert.match(instruction.differences[0]!.what, new RegExp(`hart ${instruction.hart} s11`));
  });
}

test('where both ways differ from the recording, its snapshot is held against the replay', async () => {
  const guest = turmoil(new SeededRandom(1), 2);
  const events = turmoilEvents(new SeededRandom(1, 1), 60, 300);
  const recorded = new RunInMemory(guest, events, makeInterpreter, 9);
  const prints = recorded.entries.filter(({ event }) => event.kind === 'fingerprint');
  const [good, bad] = [prints[4]!.count, prints[5]!.count];
  const wrong = good + 1n;
  const both = [wrongAt(wrong), wrongAt(wrong)].map(
    (engine) => new RunInMemory(guest, events, engine, 0),
  );
  const landing = await new Timeline(both[0]!, { now: () => 0 }).run(recorded.end.count);
  assert.ok(landing.kind === 'diverged');
  const located = await locate(both[0]!, both[1]!, landing.divergence, good, {
    now: () => 0,
    snapshotBetween: () => {
      const timeline = recorded.machineBefore(bad).machine;
      return timeline.count > good ? timeline : undefined;
    },
  });
  assert.equal(located.instruction, undefined);
});
