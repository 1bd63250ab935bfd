/**
 * The retransmission time-out (RFC 6298). All times in microseconds. One segment is timed at a time,
 * never a retransmitted one (Karn's algorithm).
 */
import { advance, isBefore, type Sequence } from './sequence.ts';

export interface RoundTripOptions {
  readonly initialUs: number;
  readonly minUs: number;
  readonly maxUs: number;
}

/** Linux's floor rather than the RFC's second: the guest is one switch away. */
export const ROUND_TRIP: RoundTripOptions = {
  initialUs: 1_000_000,
  minUs: 200_000,
  maxUs: 60_000_000,
};

export class RoundTrip {
  readonly #options: RoundTripOptions;
  #smoothed = 0;
  #variation = 0;
  #timeout: number;
  #backoff = 1;
  #timing = false;
  #timedEnd: Sequence = 0;
  #timedAt = 0;

  constructor(options: RoundTripOptions) {
    this.#options = options;
    this.#timeout = options.initialUs;
  }

  get timeoutUs(): number {
    return Math.min(this.#timeout * this.#backoff, this.#options.maxUs);
  }

  /** The smoothed round trip; 0 before the first sample. */
  get smoothedUs(): number {
    return this.#smoothed;
  }

  /** A segment that was never sent before leaves now. */
  sent(sequence: Sequence, length: number, now: number): void {
    if (this.#timing) return;
    this.#timing = true;
    this.#timedEnd = advance(sequence, length);
    this.#timedAt = now;
  }

  /** Something was sent again: what is being timed can no longer be told from it. */
  retransmitted(): void {
    this.#timing = false;
  }

  acknowledged(acknowledgement: Sequence, now: number): void {
    this.#backoff = 1;
    if (!this.#timing || isBefore(acknowledgement, this.#timedEnd)) return;
    this.#timing = false;
    const sample = now - this.#timedAt;
    if (this.#smoothed === 0) {
      this.#smoothed = sample;
      this.#variation = sample / 2;
    } else {
      this.#variation += (Math.abs(this.#smoothed - sample) - this.#variation) / 4;
      this.#smoothed += (sample - this.#smoothed) / 8;
    }
    const timeout = this.#smoothed + Math.max(1000, 4 * this.#variation);
    this.#timeout = Math.min(Math.max(timeout, this.#options.minUs), this.#options.maxUs);
  }

  backOff(): void {
    this.#backoff = Math.min(this.#backoff * 2, 1 << 16);
  }

  resetBackoff(): void {
    this.#backoff = 1;
  }
}
