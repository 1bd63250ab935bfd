/** Breakpoints, watchpoints and going back: exact in every tier, and invisible to the guest. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { SeededRandom } from '../../src/base/random.ts';
import { makeReferenceEngine } from '../../src/engine/reference.ts';
import { makeInterpreter } from '../../src/engine/wasm-engine.ts';
import { noTraps, type Traps, type Watch } from '../../src/machine/debug-traps.ts';
import type { EngineMaker } from '../../src/machine/engine.ts';
import type { Point, RiscvMachine } from '../../src/machine/riscv-machine.ts';
import { loopGuest } from './loops.ts';
import { type Guest, guestMaker, translatingEngine } from './machines.ts';
import { turmoil } from './turmoil.ts';

const counts = 12_000n;
const seeds = [1, 2, 3, 4];

/** What a machine meets on its way to `counts`, sliced at random. */
function met(guest: Guest, make: EngineMaker, traps: Traps, random?: SeededRandom) {
  const machine = guestMaker(guest, make).powerOn();
  const found: string[] = [];
  machine.setTraps(traps);
  while (machine.count < counts) {
    const slice = random ? BigInt(random.between(1, 3000)) : counts;
    const end = machine.count + slice < counts ? machine.count + slice : counts;
    const stop = machine.run(end);
    if (stop === 'idle' || stop === 'off') break;
    const { trap } = machine;
    assert.equal(stop === 'trap', trap !== undefined);
    if (trap === undefined) continue;
    const place = trap.kind === 'breakpoint' ? trap.pc : trap.address;
    const what = trap.kind === 'watch' && trap.isStore ? 'store' : trap.kind;
    found.push(`${machine.count} hart ${trap.hart} ${what} ${place.toString(16)}`);
    if (trap.kind === 'breakpoint') machine.passBreakpoint();
  }
  return { found, count: machine.count, fingerprint: machine.fingerprint() };
}

/** Some of the places that a guest comes by and of the data that it uses. */
function traces(guest: Guest) {
  const machine = guestMaker(guest, makeInterpreter).powerOn();
  const places: { count: bigint; hart: number; pc: bigint }[] = [];
  while (machine.count < counts) {
    const { count, nextHart } = machine;
    if (nextHart !== undefined) {
      places.push({ count, hart: nextHart, pc: machine.inspection.pc(nextHart) });
    }
    if (machine.run(count + 1n) !== 'budget') break;
  }
  return places;
}

for (const [name, make] of [
  ['loops', (random) => loopGuest(random)],
  ['turmoil on two harts', (random) => turmoil(random, 2)],
] as const satisfies readonly [string, (random: SeededRandom) => Guest][]) {
  test(`breakpoints stop ahead of each instruction they are on, in every tier: ${name}`, () => {
    for (const seed of seeds) {
      const random = new SeededRandom(seed);
      const guest = make(random);
      const places = traces(guest);
      const pcs = new Set([1, 2, 3].map(() => random.pick(places).pc));
      const traps = { ...noTraps, breakpoints: pcs };
      const plain = met(guest, makeInterpreter, noTraps);
      for (const engine of [makeInterpreter, translatingEngine(random)]) {
        const stopped = met(guest, engine, traps, random);
        // An interrupt may be taken where an instruction stood ready: no stop, since it did not begin.
        const expected = places.filter(({ pc }) => pcs.has(pc)).map(({ count }) => count);
        const counts = stopped.found.map((line) => BigInt(line.split(' ')[0]!));
        assert.ok(counts.length > 0);
        for (const count of counts) assert.ok(expected.includes(count), `seed ${seed} at ${count}`);
        assert.ok(counts.length >= expected.length * 0.8, `seed ${seed}`);
        assert.equal(stopped.fingerprint, plain.fingerprint, `seed ${seed}`);
      }
      const slow = met(guest, makeReferenceEngine, traps);
      assert.deepEqual(met(guest, translatingEngine(random), traps, random).found, slow.found);
    }
  });

  test(`watchpoints stop behind each access to their data, in every tier: ${name}`, () => {
    let seen = 0;
    for (const seed of seeds) {
      const random = new SeededRandom(seed);
      const guest = make(random);
      const everything: Watch = { address: 0n, bytes: 2 ** 48, on: 'access' };
      const all = met(guest, makeInterpreter, { ...noTraps, watches: [everything] }).found;
      const used = all.map((line) => BigInt(`0x${line.split(' ').at(-1)}`));
      if (used.length === 0) continue;
      const watches: Watch[] = [];
      for (const on of ['read', 'write', 'access'] as const) {
        watches.push({ address: random.pick(used), bytes: random.pick([1, 8, 600]), on });
      }
      const plain = met(guest, makeInterpreter, noTraps);
      const slow = met(guest, makeReferenceEngine, { ...noTraps, watches });
      for (const engine of [makeInterpreter, translatingEngine(random)]) {
        const watched = met(guest, engine, { ...noTraps, watches }, random);
        assert.deepEqual(watched.found, slow.found, `seed ${seed}`);
        assert.equal(watched.fingerprint, plain.fingerprint, `seed ${seed}`);
      }
      seen += slow.found.length;
    }
    assert.ok(seen > 40, `only ${seen} accesses`);
  });

  test(`a machine that went back is the one that it was: ${name}`, () => {
    for (const seed of seeds) {
      const random = new SeededRandom(seed);
      const guest = make(random);
      const once = guestMaker(guest).powerOn();
      const marks = new Map<bigint, bigint>();
      const note = (machine: RiscvMachine): void => {
        const known = marks.get(machine.count);
        const own = machine.fingerprint();
        if (known !== undefined) assert.equal(own, known, `seed ${seed}, count ${machine.count}`);
        marks.set(machine.count, own);
      };
      const grid = 500n;
      for (let at = 0n; at < counts; at += grid) {
        once.run(at);
        note(once);
      }
      const machine = guestMaker(guest, translatingEngine(random)).powerOn();
      let points: Point[] = [];
      for (let turn = 0; turn < 60; turn++) {
        machine.takeOutputs();
        const action = random.below(4);
        if (action === 0) points.push(machine.keepPoint());
        else if (action === 1 && points.length > 0) {
          const index = random.below(points.length);
          const point = points[index]!;
          points = points.slice(0, index + 1);
          machine.rewind(point);
          assert.equal(machine.count, point.count);
        } else if (action === 2 && points.length > 1 && random.chance(0.3)) {
          machine.forgetPoint(points.splice(random.below(points.length), 1)[0]!);
        } else {
          const goal = (machine.count / grid + BigInt(random.between(1, 6))) * grid;
          machine.run(goal < counts ? goal : counts);
        }
        if (random.chance(0.5)) note(machine);
      }
    }
  });
}
