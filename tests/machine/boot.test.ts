/**
 * The properties of turmoil.test.ts on a real kernel: Debian boots for a hundred million counts, cut
 * into slices at random, and through checkpoints taken while it runs on; every fingerprint agrees.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { SeededRandom } from '../../src/base/random.ts';
import { virtMachineMaker } from '../../src/board/virt.ts';
import type { Machine, MachineMaker } from '../../src/machine/machine.ts';
import { drive, type Event, seen, sliced, throughCheckpoint } from './machines.ts';
import { tinyConfiguration, tinyMissing } from './tiny.ts';

const skip = await tinyMissing();

/** Clock samples, entropy and typing at counts that have nothing to do with each other. */
function bootEvents(random: SeededRandom, countMax: bigint): Event[] {
  const events: Event[] = [];
  for (let count = 0n; count < countMax; count += BigInt(random.between(1, 6_000_000))) {
    const rate = random.between(80_000, 400_000);
    const ahead = BigInt(random.below(2000));
    events.push({
      count,
      input: random.chance(0.2)
        ? () => ({ kind: 'console', bytes: Uint8Array.of(13) })
        : ({ time }) => ({ kind: 'clock', time: time + ahead, rate, span: 30_000_000 }),
    });
  }
  return events;
}

async function maker(hartCount: number): Promise<MachineMaker> {
  return virtMachineMaker(await tinyConfiguration({ hartCount }));
}

for (const hartCount of [1, 3]) {
  test(`Debian on ${hartCount} harts: slices and checkpoints do not show`, { skip }, async () => {
    const make = await maker(hartCount);
    const random = new SeededRandom(hartCount);
    const events = bootEvents(random, 100_000_000n);
    const whole = seen(drive(make.powerOn(), events));
    assert.equal(whole.marks.length, events.length);

    const cut = drive(make.powerOn(), events, { slicer: sliced(random, 40_011) });
    assert.deepEqual(seen(cut), whole, 'cut into slices');

    const moved = drive(make.powerOn(), events, {
      slicer: sliced(random, 4_000_000),
      between: (machine) => (random.chance(0.1) ? movedWhileRunning(make, machine) : machine),
    });
    assert.deepEqual(seen(moved), whole, 'saved and restored');
  });
}

/** The restored machine; the original has run on a little meanwhile, which must not show in it. */
function movedWhileRunning(make: MachineMaker, machine: Machine): Machine {
  const before = machine.fingerprint();
  const restored = throughCheckpoint(make, machine, 2 << 20, () => {
    machine.run(machine.count + 20_000n);
  });
  assert.equal(restored.fingerprint(), before, 'restored to what was saved');
  return restored;
}
