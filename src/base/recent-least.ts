/**
 * The least of what was measured lately: of one to two windows, so that it follows what changes and
 * forgets no value that is newer than a window. The least round trip is that of the link; greater
 * ones are those of whoever was busy at its ends. Where nothing is measured, the last value stays.
 */
export class RecentLeast {
  readonly #window: number;
  #beganAt = Number.NEGATIVE_INFINITY;
  #former = Number.POSITIVE_INFINITY;
  #latest = Number.POSITIVE_INFINITY;

  /** @param window in the unit of `now` */
  constructor(window: number) {
    this.#window = window;
  }

  add(value: number, now: number): void {
    const age = now - this.#beganAt;
    if (age >= this.#window) {
      this.#former = age < 2 * this.#window ? this.#latest : Number.POSITIVE_INFINITY;
      this.#latest = Number.POSITIVE_INFINITY;
      this.#beganAt = now;
    }
    this.#latest = Math.min(this.#latest, value);
  }

  /** Undefined before the first measurement. */
  get value(): number | undefined {
    const least = Math.min(this.#former, this.#latest);
    return Number.isFinite(least) ? least : undefined;
  }
}
