/**
 * Which bytes behind the first hole the peer already has, from its SACK blocks (RFC 2018).
 * Ranges are sorted, disjoint and lie within what was sent; their number is bounded.
 */
import { advance, distance, isAfter, isBefore, type Sequence } from './sequence.ts';

const RANGES_MAX = 256;

interface Range {
  left: Sequence;
  right: Sequence;
}

export class Scoreboard {
  #ranges: Range[] = [];
  /** Bytes that the ranges cover. */
  total = 0;

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  /** The highest sequence number known to have arrived; only if not empty. */
  get highest(): Sequence {
    return this.#ranges[this.#ranges.length - 1]!.right;
  }

  /** @returns whether the block said anything new; blocks outside (una, max] are ignored */
  add(left: Sequence, right: Sequence, una: Sequence, max: Sequence): boolean {
    if (!isAfter(left, una) || isAfter(right, max) || !isBefore(left, right)) return false;
    const ranges = this.#ranges;
    let first = 0;
    while (first < ranges.length && isBefore(ranges[first]!.right, left)) first++;
    let end = first;
    let covered = 0;
    for (; end < ranges.length && !isAfter(ranges[end]!.left, right); end++) {
      const range = ranges[end]!;
      covered += distance(range.right, range.left);
      if (isBefore(range.left, left)) left = range.left;
      if (isAfter(range.right, right)) right = range.right;
    }
    const gained = distance(right, left) - covered;
    if (gained === 0 || (end === first && ranges.length >= RANGES_MAX)) return false;
    ranges.splice(first, end - first, { left, right });
    this.total += gained;
    return true;
  }

  dropBefore(una: Sequence): void {
    const ranges = this.#ranges;
    let gone = 0;
    while (gone < ranges.length && !isAfter(ranges[gone]!.right, una)) {
      this.total -= distance(ranges[gone]!.right, ranges[gone]!.left);
      gone++;
    }
    if (gone > 0) ranges.splice(0, gone);
    const first = ranges[0];
    if (first !== undefined && isBefore(first.left, una)) {
      this.total -= distance(una, first.left);
      first.left = una;
    }
  }

  clear(): void {
    this.#ranges = [];
    this.total = 0;
  }

  /** The first byte at or after `from` that is missing below `highest`, or undefined. */
  holeAt(from: Sequence): Sequence | undefined {
    for (const { left, right } of this.#ranges) {
      if (isBefore(from, left)) return from;
      if (isBefore(from, right)) from = right;
    }
    return undefined;
  }

  /** How long the hole at `start` is, up to `most`. */
  holeLength(start: Sequence, most: number): number {
    for (const { left } of this.#ranges) {
      if (isAfter(left, start)) return Math.min(most, distance(left, start));
    }
    return most;
  }

  /** Bytes missing in [una, end). */
  missing(una: Sequence, end: Sequence): number {
    let bytes = distance(end, una);
    for (const { left, right } of this.#ranges) {
      if (!isBefore(left, end)) break;
      bytes -= distance(isAfter(right, end) ? end : right, left);
    }
    return Math.max(0, bytes);
  }

  /** For assertions in tests: sorted, disjoint, and `total` is their sum. */
  isConsistent(): boolean {
    let sum = 0;
    return (
      this.#ranges.every(({ left, right }, index) => {
        sum += distance(right, left);
        const next = this.#ranges[index + 1];
        return isBefore(left, right) && (next === undefined || isBefore(right, next.left));
      }) && sum === this.total
    );
  }

  /** The ranges, for tests. */
  ranges(): readonly [Sequence, Sequence][] {
    return this.#ranges.map(({ left, right }) => [advance(left, 0), advance(right, 0)]);
  }
}
