import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../base/random.ts';
import type { Machine } from '../machine/machine.ts';
import { HostClock, sample, sampleDue } from './clock.ts';
import { SliceLength } from './slices.ts';

/** The clock of a machine and nothing else of it (machine/effects.ts, `ClockInput`). */
class Clockwork {
  count = 0n;
  wakeTime: bigint | undefined;
  #sample = { time: 0n, rate: 1, span: 0, count: 0n };

  get time(): bigint {
    const { time, rate, span, count } = this.#sample;
    const counts = this.count - count;
    const inside = counts < BigInt(span) ? counts : BigInt(span);
    return time + (((inside * 16n + counts - inside) * BigInt(rate)) >> 28n);
  }

  apply(input: { time: bigint; rate: number; span: number }): void {
    assert.ok(input.time >= this.time, 'backwards');
    this.#sample = { ...input, count: this.count };
  }
}

test('a busy guest stays within 5 ms of the host, 99.9 % of the time, at changing speeds', () => {
  const random = new SeededRandom(5);
  const clockwork = new Clockwork();
  const machine = clockwork as unknown as Machine;
  const host = new HostClock(0n, 0);
  const slices = new SliceLength();
  clockwork.apply(sample(0n, 0n, slices.countsPerMicro));
  let speed = 50;
  let samples = 0;
  let [turns, off] = [0, 0];
  for (let now = 0; now < 10_000_000; ) {
    if (random.chance(0.001)) speed = random.pick([50, 100, 300, 1000, 3000]);
    const due = sampleDue(machine, host.ticksAt(now), false, slices.countsPerMicro);
    if (due !== undefined) {
      clockwork.apply(due);
      samples++;
    }
    const before = clockwork.time;
    const { counts } = slices;
    const micros = Number(counts) / speed;
    clockwork.count += counts;
    slices.ran(counts, micros);
    now += micros;
    assert.ok(clockwork.time >= before, 'backwards');
    turns++;
    if (Math.abs(Number(clockwork.time - host.ticksAt(now))) > 50_000) off++;
  }
  assert.ok(off <= turns / 1000, `${off} of ${turns} off`);
  assert.ok(samples < 5_000, `${samples} samples`);
});

test('an idle guest takes a sample only to wake', () => {
  const clockwork = new Clockwork();
  const machine = clockwork as unknown as Machine;
  const host = new HostClock(0n, 0);
  assert.equal(sampleDue(machine, host.ticksAt(3_600_000_000), true, 50), undefined);
  clockwork.wakeTime = 5_000_000n;
  assert.equal(host.whenAt(5_000_000n), 500_000);
  assert.equal(sampleDue(machine, host.ticksAt(499_999), true, 50), undefined);
  assert.equal(sampleDue(machine, host.ticksAt(500_000), true, 50)?.time, 5_000_000n);
});

test('a guest that is ahead is never set back, and gets no more lead than 2 ms', () => {
  const ahead = sample(130_000n, 100_000n, 50);
  assert.equal(ahead.time, 130_000n);
  assert.equal(ahead.span, 0);
  const level = sample(0n, 100_000n, 50);
  assert.equal(level.time, 100_000n);
  const gained = (BigInt(level.span) * BigInt(level.rate)) >> 24n;
  assert.ok(gained <= 20_000n && gained > 19_000n, `${gained}`);
});
