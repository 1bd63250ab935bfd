/**
 * What happened in a recording over the guest's time, in buckets of equal length: for pictures.
 *
 * From: the log alone (`logActivity`), which has all that came to the guest and how its clock ran;
 * what the guest itself emitted only a replay tells (`add`). Times are ticks of the guest's clock.
 * Invariant: the sum over a series is exact; only the bucket of what happened between two readings
 * of the clock is as good as those readings are near.
 */
import type { Entry } from '../lockstep/entries.ts';
import type { Log } from '../lockstep/recording-replay.ts';
import type { Ticks } from '../machine/effects.ts';
import { type ClockSample, countOf, timeOf } from '../machine/guest-clock.ts';
import { entriesFrom } from './search.ts';

/** Bytes, but for the instructions. The last three are known to a replay alone. */
export const activitySeries = [
  ...(['instructions', 'received', 'read', 'typed'] as const),
  ...(['sent', 'written', 'shown'] as const),
] as const;
export type ActivitySeries = (typeof activitySeries)[number];

export interface ActivityPlace {
  readonly count: bigint;
  readonly time: Ticks;
}

export interface ActivitySpan {
  /** `position`: the first entry behind it. */
  readonly from: ActivityPlace & { readonly position: number };
  readonly to: ActivityPlace;
}

export class Activity {
  readonly span: ActivitySpan;
  readonly series: Readonly<Record<ActivitySeries, number[]>>;
  /** The count at the beginning of each bucket, and at the end of the last one. */
  readonly counts: bigint[] = [];
  readonly #buckets: number;
  readonly #begin: number;
  readonly #ticks: number;

  constructor(span: ActivitySpan, buckets: number) {
    this.span = span;
    this.#buckets = buckets;
    this.#begin = Number(span.from.time);
    this.#ticks = Math.max(1, Number(span.to.time) - this.#begin);
    const zeros = activitySeries.map((name) => [name, new Array<number>(buckets).fill(0)]);
    this.series = Object.fromEntries(zeros) as Record<ActivitySeries, number[]>;
  }

  /** Of the guest's clock, for each bucket. */
  get bucketTicks(): number {
    return this.#ticks / this.#buckets;
  }

  add(name: ActivitySeries, at: Ticks, amount: number): void {
    const bucket = this.#bucketOf(Number(at));
    this.series[name][bucket]! += amount;
  }

  /** An amount that fell evenly on a stretch of time. */
  spread(name: ActivitySeries, from: Ticks, to: Ticks, amount: number): void {
    const [begin, end] = [Number(from), Number(to)];
    const [first, last] = [this.#bucketOf(begin), this.#bucketOf(end)];
    let rest = amount;
    for (let bucket = first; bucket < last; bucket++) {
      const reaches = this.#begin + (bucket + 1) * this.bucketTicks;
      const begins = Math.max(begin, reaches - this.bucketTicks);
      const part = Math.round((amount * (reaches - begins)) / (end - begin));
      this.series[name][bucket]! += Math.min(part, rest);
      rest -= Math.min(part, rest);
    }
    this.series[name][last]! += rest;
  }

  /** The bounds of buckets up to this time, all of them behind the last one that has its count. */
  reach(time: Ticks, countAt: (bound: Ticks) => bigint): void {
    while (this.counts.length <= this.#buckets) {
      const bound = BigInt(Math.round(this.#begin + this.counts.length * this.bucketTicks));
      if (bound >= time) return;
      this.counts.push(countAt(bound));
    }
  }

  finish(): void {
    while (this.counts.length <= this.#buckets) this.counts.push(this.span.to.count);
  }

  #bucketOf(at: number): number {
    const bucket = Math.floor(((at - this.#begin) / this.#ticks) * this.#buckets);
    return Math.min(this.#buckets - 1, Math.max(0, bucket));
  }
}

/** @returns a machine's clock by the samples of the log; before the first one it stands at `from` */
export function clockOf(from: ActivityPlace): {
  readonly timeAt: (count: bigint) => Ticks;
  readonly countAt: (time: Ticks) => bigint;
  readonly learn: (entry: Entry) => void;
} {
  let sample: ClockSample | undefined;
  return {
    timeAt: (count) => (sample === undefined ? from.time : timeOf(sample, count)),
    countAt: (time) => (sample === undefined ? from.count : countOf(sample, time)),
    learn({ count, event }) {
      if (event.kind !== 'clock') return;
      const { time, rate, span } = event;
      sample = { count, time, rate: BigInt(rate), span: BigInt(span) };
    },
  };
}

/** What the log says without anything being executed. */
export function logActivity(log: Log, span: ActivitySpan, buckets: number): Activity {
  const activity = new Activity(span, buckets);
  const clock = clockOf(span.from);
  let last: ActivityPlace = span.from;
  /** The guest has executed up to this count since `last`. */
  const passed = (count: bigint): void => {
    const time = clock.timeAt(count);
    if (count > last.count) {
      activity.spread('instructions', last.time, time, Number(count - last.count));
    }
    activity.reach(time, (bound) => {
      const reached = clock.countAt(bound);
      return reached < count ? reached : count;
    });
    last = { count, time };
  };
  for (const { entry } of entriesFrom(log, span.from.position)) {
    const { count, event } = entry;
    if (event.kind === 'clock') {
      passed(count);
      // A guest that waits executes nothing: its time goes on alone.
      activity.reach(event.time, () => count);
      clock.learn(entry);
      last = { count, time: event.time };
    } else if (event.kind === 'frame') {
      activity.add('received', clock.timeAt(count), event.frame.length);
    } else if (event.kind === 'disk') {
      activity.add('read', clock.timeAt(count), event.data?.length ?? 0);
    } else if (event.kind === 'console') {
      activity.add('typed', clock.timeAt(count), event.bytes.length);
    }
  }
  passed(span.to.count);
  activity.finish();
  return activity;
}
