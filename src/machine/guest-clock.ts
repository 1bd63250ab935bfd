/**
 * The guest's clock: a function of the count, by the last clock sample (see ClockInput), and its
 * inverse, which says at what count a timer fires. The engine computes the same function where the
 * guest reads `time`; a property test holds the two together.
 */
import type { ClockInput, Ticks } from './effects.ts';
import { run } from './layout.ts';

const rateShift = 24n;
/** Behind its span a sample goes on at a sixteenth of its rate, so the clock never stands still. */
const slowShift = 4n;

/** A clock sample and the count from which it holds. */
export interface ClockSample {
  readonly count: bigint;
  readonly time: bigint;
  readonly rate: bigint;
  readonly span: bigint;
}

/** What the clock reads at a count not before the sample's. */
export function timeOf(sample: ClockSample, count: bigint): Ticks {
  const elapsed = count - sample.count;
  const scaled = (counts: bigint): bigint => (counts * sample.rate) >> rateShift;
  if (elapsed <= sample.span) return sample.time + scaled(elapsed);
  const beyond = scaled(elapsed - sample.span) >> slowShift;
  return sample.time + scaled(sample.span) + beyond;
}

/** The first count, not before the sample's, at which the clock reads `time` or later. */
export function countOf(sample: ClockSample, time: Ticks): bigint {
  const wanted = time - sample.time;
  if (wanted <= 0n) return sample.count;
  const within = ceilDivide(wanted << rateShift, sample.rate);
  if (within <= sample.span) return sample.count + within;
  const missing = wanted - ((sample.span * sample.rate) >> rateShift);
  const beyond = ceilDivide(missing << (rateShift + slowShift), sample.rate);
  return sample.count + sample.span + beyond;
}

export class GuestClock {
  readonly #view: DataView;

  constructor(memory: Uint8Array) {
    this.#view = new DataView(memory.buffer, memory.byteOffset);
  }

  get sample(): ClockSample {
    const read = (field: { at: number }): bigint => this.#view.getBigUint64(field.at, true);
    return {
      count: read(run.clockCount),
      time: read(run.clockTime),
      rate: read(run.clockRate),
      span: read(run.clockSpan),
    };
  }

  set(count: bigint, sample: Pick<ClockInput, 'time' | 'rate' | 'span'>): void {
    this.#view.setBigUint64(run.clockCount.at, count, true);
    this.#view.setBigUint64(run.clockTime.at, sample.time, true);
    this.#view.setBigUint64(run.clockRate.at, BigInt(sample.rate), true);
    this.#view.setBigUint64(run.clockSpan.at, BigInt(sample.span), true);
  }

  timeAt(count: bigint): Ticks {
    return timeOf(this.sample, count);
  }

  /** The first count, not before the sample's, at which the clock reads `time` or later. */
  countAt(time: Ticks): bigint {
    return countOf(this.sample, time);
  }
}

const ceilDivide = (a: bigint, b: bigint): bigint => (a + b - 1n) / b;
