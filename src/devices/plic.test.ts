import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Plic, plicSources } from './plic.ts';
import { assertRestoredRunsAlike, TestMachine } from './testing.ts';

const enable = (context: number): number => 0x2000 + 0x80 * context;
const threshold = (context: number): number => 0x20_0000 + 0x1000 * context;
const claim = (context: number): number => threshold(context) + 4;

function make(): { machine: TestMachine; plic: Plic } {
  const machine = new TestMachine();
  const plic = new Plic(machine);
  return { machine, plic };
}

test('contexts are machine and supervisor of each hart in turn', () => {
  const { machine, plic } = make();
  plic.write(4 * 10, 4, 1);
  plic.setLevel(10, true);
  for (const [context, line] of [
    [0, () => machine.external.machine[0]],
    [1, () => machine.external.supervisor[0]],
    [2, () => machine.external.machine[1]],
    [3, () => machine.external.supervisor[1]],
  ] as const) {
    assert.equal(line(), false);
    plic.write(enable(context), 4, 1 << 10);
    assert.equal(line(), true);
  }
});

test('claims follow priority, then number; the threshold masks', () => {
  const { machine, plic } = make();
  for (const [source, priority] of [
    [3, 2],
    [40, 5],
    [41, 5],
    [96, 1],
  ] as const) {
    plic.write(4 * source, 4, priority);
    plic.setLevel(source, true);
  }
  for (let word = 0; word < 4; word++) plic.write(enable(1) + 4 * word, 4, 0xffff_ffff);
  plic.write(threshold(1), 4, 1);
  assert.deepEqual(
    Array.from({ length: 4 }, () => plic.read(claim(1), 4)),
    [40, 41, 3, 0],
  );
  assert.equal(machine.external.supervisor[0], false);
  plic.write(threshold(1), 4, 0);
  assert.equal(plic.read(claim(1), 4), 96);
});

test('the gateway: a request stays until claimed, and the next waits for completion', () => {
  const { machine, plic } = make();
  const line = (): boolean => machine.external.machine[0]!;
  const pending = (): number => plic.read(0x1000, 4);
  plic.write(4, 4, 7);
  plic.write(enable(0), 4, 2);
  plic.setLevel(1, true);
  plic.setLevel(1, false);
  assert.deepEqual([line(), pending()], [true, 2]);
  assert.equal(plic.read(claim(0), 4), 1);
  plic.setLevel(1, true);
  assert.deepEqual([line(), pending()], [false, 0]);
  plic.write(claim(0), 4, 1);
  assert.deepEqual([line(), pending()], [true, 2]);
  assert.equal(plic.read(claim(0), 4), 1);
  plic.setLevel(1, false);
  plic.write(claim(0), 4, 1);
  assert.deepEqual([line(), pending()], [false, 0]);
});

test('a restored PLIC cannot be told from the original', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) =>
      assertRestoredRunsAlike(
        {
          make: (machine) => new Plic(machine),
          prepare: () => {},
          acts: 200,
          act: (plic, random) => {
            const source = random.between(1, plicSources);
            const context = random.below(5);
            switch (random.below(8)) {
              case 0:
              case 1:
                return plic.setLevel(source, random.chance(0.6));
              case 2:
                return plic.write(4 * source, 4, random.u32());
              case 3:
                return plic.write(enable(context) + 4 * random.below(5), 4, random.u32());
              case 4:
                return plic.write(threshold(context), 4, random.below(9));
              case 5:
                return plic.write(claim(context), 4, random.below(100));
              case 6:
                return plic.read(random.below(0x20_8000) & ~3, 4);
              default:
                return plic.read(claim(context), 4);
            }
          },
        },
        seed,
      ),
    ),
    { numRuns: 30 },
  );
});
