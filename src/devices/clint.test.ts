import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Clint } from './clint.ts';
import { assertRestoredRunsAlike, TestMachine } from './testing.ts';

test('msip drives the software interrupt of its hart and no other', () => {
  const machine = new TestMachine();
  const clint = new Clint(machine, machine);
  clint.write(4, 4, 0xffff_ffff);
  assert.deepEqual(machine.machineSoftware, [false, true]);
  assert.deepEqual([clint.read(0, 4), clint.read(4, 4), clint.read(8, 4)], [0, 1, 0]);
});

test('mtimecmp is written and read by halves', () => {
  const machine = new TestMachine();
  const clint = new Clint(machine, machine);
  clint.write(0x4008, 4, 0xdead_beef);
  clint.write(0x400c, 4, 0x0123_4567);
  assert.deepEqual(machine.timeCompare, [0n, 0x0123_4567_dead_beefn]);
  assert.deepEqual([clint.read(0x4008, 4), clint.read(0x400c, 4)], [0xdead_beef, 0x0123_4567]);
});

test('mtime is the clock, and cannot be set', () => {
  const machine = new TestMachine();
  const clint = new Clint(machine, machine);
  machine.time = 0x9_8765_4321n;
  clint.write(0xbff8, 4, 0);
  assert.deepEqual([clint.read(0xbff8, 4), clint.read(0xbffc, 4)], [0x8765_4321, 9]);
});

test('a restored CLINT cannot be told from the original', () => {
  const offsets = [0, 4, 8, 0x4000, 0x4004, 0x4008, 0x400c, 0x4010, 0xbff8, 0xbffc];
  fc.assert(
    fc.property(fc.integer(), (seed) =>
      assertRestoredRunsAlike(
        {
          make: (machine) => new Clint(machine, machine),
          prepare: () => {},
          acts: 60,
          act: (clint, random, machine) => {
            machine.time += BigInt(random.u32());
            if (random.chance(0.02)) return clint.reset();
            const offset = random.pick(offsets);
            return random.chance(0.5)
              ? clint.read(offset, 4)
              : clint.write(offset, 4, random.u32());
          },
        },
        seed,
      ),
    ),
    { numRuns: 30 },
  );
});
