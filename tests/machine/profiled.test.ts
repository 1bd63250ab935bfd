/** A guest cannot tell that it is looked at: outputs and fingerprints are the same as without. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { virtMachineMaker } from '../../src/board/virt.ts';
import { eagerEngine, makeWasmEngine, wasmEngine } from '../../src/engine/wasm-engine.ts';
import { Profile } from '../../src/host/local/profile.ts';
import { ProfiledMachine } from '../../src/host/local/profiled-machine.ts';
import { SymbolTable } from '../../src/host/local/symbols.ts';
import { drive, type Event, guestMaker, seen } from './machines.ts';
import { agree, plain, scenario } from './scenarios.ts';
import { tinyConfiguration, tinyMissing } from './tiny.ts';

const nameless = new SymbolTable([]);

test('turmoil is the same under a profiler, on one hart and on several', () => {
  const frames = new Set<string>();
  for (let seed = 0; seed < 9; seed++) {
    const hartCount = 1 + (seed % 3);
    const run = scenario(seed, hartCount, 60, 400);
    const profile = new Profile(hartCount, nameless);
    const eager = eagerEngine(1, { codeBytesPerModule: 0, observe: profile });
    const machine = new ProfiledMachine(guestMaker(run.guest, eager).powerOn(), profile);
    agree(seed, 'under a profiler', plain(run), drive(machine, run.events));
    for (const path of profile.paths) for (const frame of path) frames.add(frame);
  }
  for (const frame of ['hart 1', 'user', 'supervisor', 'machine', 'translate', 'compile']) {
    assert.ok(frames.has(frame), `nothing of ${frame} was seen`);
  }
});

const missing = await tinyMissing();

test("so is Debian's kernel", missing ? { skip: missing } : {}, async () => {
  const configuration = await tinyConfiguration();
  const events: Event[] = [1n, 2n, 3n].map((part) => ({ count: part * 20_000_000n }));
  const profile = new Profile(1, nameless);
  const watched = virtMachineMaker(configuration, wasmEngine({ observe: profile }));
  const unwatched = virtMachineMaker(configuration, makeWasmEngine);
  const machine = new ProfiledMachine(watched.powerOn(), profile);
  assert.deepEqual(seen(drive(machine, events)), seen(drive(unwatched.powerOn(), events)));
  assert.ok(profile.samples.length > 300, `${profile.samples.length} samples`);
});
