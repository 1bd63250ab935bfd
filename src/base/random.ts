/**
 * Seeded random numbers for simulation and tests: PCG32 (O'Neill 2014), the same on every platform.
 * Never used where a guest could see it: entropy is an input.
 */
import { assert } from './assert.ts';

const multiplier = 6364136223846793005n;
const mask64 = (1n << 64n) - 1n;

export class SeededRandom {
  #state: bigint;
  readonly #increment: bigint;

  /** Generators of the same seed and different streams are independent of each other. */
  constructor(seed: number | bigint, stream = 0) {
    this.#increment = ((BigInt(stream) << 1n) | 1n) & mask64;
    this.#state = (BigInt(seed) + this.#increment) & mask64;
    this.u32();
  }

  u32(): number {
    const old = this.#state;
    this.#state = (old * multiplier + this.#increment) & mask64;
    const shifted = Number(((old >> 18n) ^ old) >> 27n) >>> 0;
    const rotation = Number(old >> 59n);
    return ((shifted >>> rotation) | (shifted << (-rotation & 31))) >>> 0;
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    assert(Number.isInteger(limit) && limit > 0 && limit <= 2 ** 32, `no range: ${limit}`);
    return Math.floor((this.u32() / 2 ** 32) * limit);
  }

  /** An integer in [from, to]. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  chance(probability: number): boolean {
    return this.u32() / 2 ** 32 < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.u32() & 0xff);
  }
}
