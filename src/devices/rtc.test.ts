import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Rtc } from './rtc.ts';
import { assertRestoredRunsAlike, TestMachine } from './testing.ts';

const epochOffset = 1_700_000_000_123_456_789n;

function make(): { machine: TestMachine; rtc: Rtc; read64: (offset: number) => bigint } {
  const machine = new TestMachine();
  const rtc = new Rtc({ epochOffset }, machine);
  const read64 = (offset: number): bigint =>
    BigInt(rtc.read(offset, 4)) | (BigInt(rtc.read(offset + 4, 4)) << 32n);
  return { machine, rtc, read64 };
}

test('wall-clock time is the epoch offset plus 100 ns a tick', () => {
  const { machine, rtc, read64 } = make();
  assert.equal(read64(0), epochOffset);
  machine.time = 12_345n;
  assert.equal(rtc.read(0, 4), Number(BigInt.asUintN(32, epochOffset + 1_234_500n)));
  machine.time = 2n ** 50n; // The high half stays latched.
  assert.equal(rtc.read(4, 4), Number((epochOffset + 1_234_500n) >> 32n));
});

test('what the guest sets stays set, and goes on', () => {
  const { machine, rtc, read64 } = make();
  rtc.write(4, 4, 0x1111_1111);
  rtc.write(0, 4, 0x2222_2222);
  machine.time = 3n;
  assert.equal(read64(0), 0x1111_1111_2222_2222n + 300n);
  rtc.reset();
  assert.equal(read64(0), 0x1111_1111_2222_2222n + 300n);
});

test('an alarm fires at the first tick at or after it', () => {
  const { machine, rtc } = make();
  const at = epochOffset + 1_001n;
  rtc.write(0x10, 4, 1);
  rtc.write(0x0c, 4, Number(at >> 32n));
  rtc.write(0x08, 4, Number(BigInt.asUintN(32, at)));
  assert.equal(rtc.wakeTime, 11n);
  machine.time = 10n;
  rtc.tick();
  assert.deepEqual([machine.interrupt, rtc.read(0x18, 4)], [false, 1]);
  machine.time = 11n;
  rtc.tick();
  assert.deepEqual([machine.interrupt, rtc.read(0x18, 4)], [true, 0]);
  assert.equal(rtc.wakeTime, undefined);
  rtc.write(0x1c, 4, 1);
  assert.equal(machine.interrupt, false);
});

test('an alarm in the past fires at once', () => {
  const { machine, rtc } = make();
  rtc.write(0x10, 4, 1);
  rtc.write(0x08, 4, 5);
  assert.equal(machine.interrupt, true);
});

test('a restored clock cannot be told from the original', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) =>
      assertRestoredRunsAlike(
        {
          make: (machine) => new Rtc({ epochOffset }, machine),
          prepare: () => {},
          acts: 100,
          act: (rtc, random, machine) => {
            machine.time += BigInt(random.below(1_000_000));
            if (random.chance(0.3)) rtc.tick();
            if (random.chance(0.02)) rtc.reset();
            const offset = 4 * random.below(9);
            if (random.chance(0.5)) rtc.write(offset, 4, random.u32());
            return `${rtc.read(offset, 4)} ${rtc.wakeTime}`;
          },
        },
        seed,
      ),
    ),
    { numRuns: 30 },
  );
});
