/**
 * How much of the recent past a copy has been at work for: what is older than a while counts less and
 * less. Of the host's own time, and so for speed alone: nothing that a guest computes depends on it.
 */

const memoryMicros = 50_000;

export class Occupation {
  #share = 0;
  #until = Number.NEGATIVE_INFINITY;

  /** From one time to another, in microseconds; each begins where the last one ended, or later. */
  worked(began: number, ended: number): void {
    this.#pass(began, 0);
    this.#pass(ended, 1);
  }

  /** @returns 0 to 1; it falls by a quarter within 14 ms without work */
  share(now: number): number {
    this.#pass(now, 0);
    return this.#share;
  }

  #pass(until: number, working: 0 | 1): void {
    const kept = Math.exp((this.#until - until) / memoryMicros);
    this.#share = working + (this.#share - working) * kept;
    this.#until = until;
  }
}
