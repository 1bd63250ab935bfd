/**
 * The devices of RISC-V boards against QEMU's, register by register: the same random accesses go to
 * both, and every value read and every line must agree. Where we differ by intent, the test says so
 * beside the act that would show it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import test from 'node:test';
import { SeededRandom } from '../../src/base/random.ts';
import { restoreInto, saved, TestMachine } from '../../src/devices/testing.ts';
import { Uart } from '../../src/devices/uart.ts';
import { virtMap } from '../../src/devices/virt-map.ts';
import { Both, lastSource, options, plicPath, protocol, qemu, skip } from './qtest.ts';

const seeds = [1, 2, 3, 4];

test('PLIC: random lines, registers, claims and completions', { skip }, async () => {
  const { base } = virtMap.plic;
  for (const seed of seeds) {
    const random = new SeededRandom(seed);
    const both = new Both();
    const levels = new Array<boolean>(lastSource + 1).fill(false);
    const claimed = new Uint32Array(3);
    const thresholds = [0, 0, 0, 0];
    const isClaimed = (source: number): boolean =>
      ((claimed[source >>> 5]! >>> (source & 31)) & 1) === 1;
    const move = (source: number, level: boolean): void => {
      levels[source] = level;
      both.plic.setLevel(source, level);
      both.send(`set_irq_in ${plicPath} unnamed-gpio-in ${source} ${level ? 1 : 0}`);
    };
    for (let act = 0; act < 3_000; act++) {
      const source = random.between(12, lastSource); // Below are the lines of real devices.
      const context = random.below(4);
      const word = random.below(3);
      const contextBase = base + 0x20_0000 + 0x1000 * context;
      switch (random.below(10)) {
        case 0:
        case 1:
          // QEMU takes note of a line that rises during a claim, we look on completion.
          if (!isClaimed(source) || levels[source]) move(source, !levels[source]);
          break;
        case 2:
          both.write(base + 4 * source, random.u32());
          both.read(base + 4 * source);
          break;
        case 3: {
          const enable = base + 0x2000 + 0x80 * context + 4 * word;
          both.write(enable, random.u32());
          both.read(enable);
          // QEMU looks at the outputs again only when another register is written.
          both.send(`writel ${contextBase} ${thresholds[context]}`);
          break;
        }
        case 4:
          thresholds[context] = random.below(4);
          both.write(contextBase, thresholds[context]! + 8 * random.below(3));
          both.read(contextBase);
          break;
        case 5:
          both.read(base + 0x1000 + 4 * word);
          break;
        case 6:
        case 7: {
          const got = both.read(contextBase + 4);
          if (got !== 0) claimed[got >>> 5]! |= 1 << (got & 31);
          break;
        }
        default: {
          const claims = [...levels.keys()].filter(isClaimed);
          const done = random.pick([0, source, 200, ...claims, ...claims]);
          both.write(contextBase + 4, done);
          if (done > lastSource) break;
          claimed[done >>> 5]! &= ~(1 << (done & 31));
          // QEMU does not look at a line that has stayed high; devices there move it again.
          if (levels[done]) move(done, true);
        }
      }
    }
    await both.compare();
  }
});

test('PLIC: its outputs follow', { skip }, async () => {
  const { base } = virtMap.plic;
  const random = new SeededRandom(7);
  const both = new Both();
  for (let act = 0; act < 400; act++) {
    const source = random.between(12, lastSource);
    both.plic.setLevel(source, act % 3 !== 0);
    both.send(`set_irq_in ${plicPath} unnamed-gpio-in ${source} ${act % 3 !== 0 ? 1 : 0}`);
    both.write(base + 4 * source, random.below(8));
    const context = random.below(4);
    const enable = base + 0x2000 + 0x80 * context + 4 * (source >>> 5);
    both.write(enable, random.u32());
    both.write(base + 0x20_0000 + 0x1000 * context, random.below(4));
    // A context's line is high exactly when a claim would find something.
    const { machine, supervisor } = both.machine.external;
    const lines = [machine[0], supervisor[0], machine[1], supervisor[1]];
    const line = lines[context];
    const found = both.read(base + 0x20_0004 + 0x1000 * context);
    assert.equal(found !== 0, line);
    if (found === 0) continue;
    both.plic.setLevel(found, false);
    both.send(`set_irq_in ${plicPath} unnamed-gpio-in ${found} 0`);
    both.write(base + 0x20_0004 + 0x1000 * context, found);
  }
  await both.compare();
});

test('UART: random registers, in and out of loop-back', { skip }, async () => {
  const { base } = virtMap.uart;
  for (const seed of seeds) {
    const random = new SeededRandom(seed);
    const both = new Both();
    both.enableLines();
    /** Without the side effects of a read. */
    const peek = (register: number): number => {
      const copy = new Uart(new TestMachine());
      restoreInto(copy, saved(both.uart));
      return copy.read(register, 1);
    };
    for (let act = 0; act < 2_000; act++) {
      switch (random.below(8)) {
        case 0:
          both.write(base + 4, random.pick([0x10, 0x10, 0x1f, 0x0b]), 1);
          break;
        case 1: // The trigger level stays 1: QEMU's time stands still, and no timeout would come.
          both.write(base + 2, random.below(0x40), 1);
          break;
        case 2:
          both.write(base + 3, random.pick([0x03, 0x83, 0x1b]), 1);
          break;
        case 3:
          both.write(base + 1, random.below(256), 1);
          break;
        case 4:
        case 5:
          both.write(base, random.below(256), 1);
          break;
        case 6:
          both.write(base + 7, random.below(256), 1);
          break;
        default: {
          const register = random.below(8);
          // Without FIFOs, an empty register shows its last byte in QEMU, and 0 here.
          const empty = register === 0 && (peek(3) & 0x80) === 0 && (peek(5) & 1) === 0;
          both.read(base + register, 1, empty ? 0 : 0xff);
        }
      }
      both.checkLines();
    }
    await both.compare();
  }
});

test('CLINT: software interrupts and compare registers, by halves and whole', {
  skip,
}, async () => {
  const { base } = virtMap.clint;
  const random = new SeededRandom(5);
  const both = new Both();
  for (let act = 0; act < 500; act++) {
    const hart = random.below(2);
    const compare = base + 0x4000 + 8 * hart;
    const half = 4 * random.below(2);
    if (random.chance(0.3)) both.write(base + 4 * hart, random.u32());
    if (random.chance(0.3)) both.write(compare + half, random.u32());
    if (random.chance(0.3)) both.write64(compare, random.u64());
    both.read(base + 4 * hart);
    both.read(compare + half);
    both.read(base + 0xbff8 + half);
  }
  await both.compare();
});

test('RTC: time, alarms and their interrupt', { skip }, async () => {
  const { base } = virtMap.rtc;
  for (const seed of seeds) {
    const random = new SeededRandom(seed);
    const both = new Both();
    both.enableLines();
    for (let act = 0; act < 1_000; act++) {
      const register = base + 4 * random.below(9);
      if (random.chance(0.5))
        both.write(register, random.chance(0.5) ? random.u32() : random.below(2));
      else both.read(register);
      both.checkLines();
    }
    await both.compare();
  }
});

test('syscon: reads as nothing, ends the machine with a code', { skip }, async () => {
  const { base } = virtMap.syscon;
  const both = new Both();
  both.read(base);
  both.write(base, 0x1234);
  both.write(base + 4, 0x5555);
  await both.compare();
  assert.deepEqual(both.machine.outputs, []);
  for (const [value, action, code] of [
    [0x5555, 'off', 0],
    [0x0007_3333, 'failed', 7],
  ] as const) {
    const { status } = spawnSync(qemu, [...options, ...protocol], {
      input: `writel ${base} ${value}\n`,
    });
    assert.equal(status, code);
    both.bus.write(base, 4, value);
    assert.deepEqual(both.machine.outputs.splice(0), [{ kind: 'power', action }]);
  }
});
