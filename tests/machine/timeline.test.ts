/** Moving about in a recording: the state at a count is the same however it was reached. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { SeededRandom } from '../../src/base/random.ts';
import { Timeline } from '../../src/debug/timeline.ts';
import { makeInterpreter } from '../../src/engine/wasm-engine.ts';
import { RecordingReplay } from '../../src/lockstep/recording-replay.ts';
import { noTraps, type Traps } from '../../src/machine/debug-traps.ts';
import { translatingEngine } from './machines.ts';
import { RunInMemory } from './recorded-run.ts';
import { turmoil, turmoilEvents } from './turmoil.ts';

const seeds = [1, 2, 3];

/** What really happened, one count at a time, without any of what is tested. */
function history(run: RunInMemory) {
  const { machine } = run.machineBefore(0n);
  const plain = new RecordingReplay(run, machine, 1);
  const seen: { hart: number; pc: bigint; count: bigint }[] = [];
  const marks = new Map<bigint, bigint>();
  for (;;) {
    const end = plain.step(machine.count);
    assert.notEqual(end?.kind, 'diverged');
    machine.takeOutputs();
    if (end === undefined) continue;
    if (machine.count % 37n === 0n) marks.set(machine.count, machine.fingerprint());
    const hart = machine.nextHart;
    if (hart !== undefined) {
      seen.push({ hart, pc: machine.inspection.pc(hart), count: machine.count });
    }
    if (end.kind === 'end') return { seen, marks };
    plain.step(machine.count + 1n);
  }
}

function moving(seed: number, snapshotEvery: number) {
  const random = new SeededRandom(seed);
  const guest = turmoil(random, 2);
  const events = turmoilEvents(new SeededRandom(seed, 1), 60, 300);
  const plain = new RunInMemory(guest, events, makeInterpreter, 0);
  const run = new RunInMemory(guest, events, translatingEngine(random), snapshotEvery);
  let now = 0;
  const timeline = new Timeline(run, {
    // Points at random distances.
    now: () => (now += random.between(0, 9000)),
    historyBytesMax: random.pick([100_000, 1 << 30]),
  });
  return { random, run, timeline, ...history(plain) };
}

for (const [name, snapshotEvery] of [
  ['points alone', 0],
  ['points and snapshots', 7],
] as const) {
  test(`seeking anywhere gives the state of that count: ${name}`, async () => {
    for (const seed of seeds) {
      const { marks, random, timeline } = moving(seed, snapshotEvery);
      const counts = [...marks.keys()];
      assert.ok(counts.length > 50, `${counts.length} marks`);
      for (let turn = 0; turn < 60; turn++) {
        const count = random.pick(counts);
        const landing = await timeline.seek(count);
        assert.equal(landing.kind, 'until');
        assert.equal(timeline.count, count);
        assert.equal(timeline.machine.fingerprint(), marks.get(count), `seed ${seed} at ${count}`);
      }
    }
  });

  test(`back to breakpoints, watchpoints and single instructions: ${name}`, async () => {
    for (const seed of seeds) {
      const { random, seen, timeline } = moving(seed, snapshotEvery);
      for (let turn = 0; turn < 12; turn++) {
        const start = random.pick(seen);
        await timeline.seek(start.count);
        const { pc } = random.pick(seen);
        const traps: Traps = { ...noTraps, breakpoints: new Set([pc]) };
        const hit = await timeline.runBack(traps);
        const expected = seen.findLast((each) => each.pc === pc && each.count < start.count);
        if (expected === undefined) {
          assert.equal(hit, undefined);
          assert.equal(timeline.count, 0n);
          continue;
        }
        assert.ok(hit !== undefined && hit !== 'interrupted', `seed ${seed} from ${start.count}`);
        // An interrupt may have been taken where the instruction stood ready.
        assert.ok(timeline.count <= expected.count);
        assert.equal(timeline.machine.inspection.pc(hit.hart), pc);
        // Forward again, it is met at the very same place, or an earlier one again.
        const here = timeline.count;
        await timeline.seek(here > 500n ? here - 500n : 0n);
        let landing = await timeline.run(here + 1n, traps);
        while (landing.kind === 'trap' && timeline.count < here) {
          landing = await timeline.run(here + 1n, traps);
        }
        assert.equal(timeline.count, here);
      }
    }
  });

  test(`a step back undoes a step of the same hart: ${name}`, async () => {
    for (const seed of seeds) {
      const { random, seen, timeline } = moving(seed, snapshotEvery);
      for (let turn = 0; turn < 25; turn++) {
        const { count, hart } = random.pick(seen);
        await timeline.seek(count);
        const back = await timeline.stepBack(hart);
        const expected = seen.findLast((each) => each.hart === hart && each.count < count);
        assert.equal(back, expected !== undefined);
        assert.equal(timeline.count, expected?.count ?? 0n, `seed ${seed} from ${count}`);
        if (expected === undefined) continue;
        const other = 1 - hart;
        await timeline.stepHart(other);
        const next = seen.find((each) => each.hart === other && each.count >= expected.count);
        if (next !== undefined) assert.equal(timeline.count, next.count + 1n);
      }
    }
  });
}

test('a seek outside of the recording is refused, and changes nothing', async () => {
  const { timeline } = moving(1, 7);
  await timeline.seek(100n);
  await assert.rejects(() => timeline.seek(timeline.lastCount + 1n), { code: 'outside-recording' });
  assert.equal(timeline.count, 100n);
});
