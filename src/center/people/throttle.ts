/**
 * Logins that fail are answered ever more slowly: after some failures, each further one doubles the
 * time in which no password is looked at, for the user's name and for the caller's address.
 *
 * A name's time stays short, so that nobody can lock somebody else out for long; an address's grows
 * longer. Names that no user has are counted alike. Forgotten after an hour of quiet.
 */
export interface ThrottleRule {
  readonly freeFailures: number;
  readonly firstDelayMs: number;
  readonly delayMsMax: number;
}

export const userRule: ThrottleRule = { freeFailures: 5, firstDelayMs: 1_000, delayMsMax: 60_000 };
export const addressRule: ThrottleRule = {
  freeFailures: 20,
  firstDelayMs: 1_000,
  delayMsMax: 900_000,
};

const memoryMs = 60 * 60 * 1000;
const entriesMax = 10_000;

interface Entry {
  failures: number;
  /** On the process's monotonic clock. */
  lastAt: number;
}

export class Throttle {
  readonly #rule: ThrottleRule;
  /** Least lately touched first. */
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;

  constructor(rule: ThrottleRule, now: () => number = () => performance.now()) {
    this.#rule = rule;
    this.#now = now;
  }

  /** Milliseconds in which nothing is looked at; 0: go on. */
  delayMs(key: string): number {
    const entry = this.#entries.get(key);
    if (entry === undefined) return 0;
    const { freeFailures, firstDelayMs, delayMsMax } = this.#rule;
    const excess = entry.failures - freeFailures;
    if (excess < 0) return 0;
    const delay = Math.min(delayMsMax, firstDelayMs * 2 ** Math.min(excess, 30));
    return Math.max(0, entry.lastAt + delay - this.#now());
  }

  /** Counted before the password is looked at, so that many at once do not slip through. */
  attempt(key: string): void {
    const now = this.#now();
    const known = this.#entries.get(key);
    const failures = known !== undefined && now - known.lastAt < memoryMs ? known.failures : 0;
    this.#entries.delete(key);
    this.#entries.set(key, { failures: failures + 1, lastAt: now });
    if (this.#entries.size <= entriesMax) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  /** It was right: this attempt, and what came before it, is forgiven. */
  forgive(key: string): void {
    this.#entries.delete(key);
  }

  /** It was right, but says nothing of what came before: only this attempt is taken back. */
  takeBack(key: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.failures -= 1;
  }
}
