/**
 * A go-live has to replay the shadow's lag, so a primary that runs away from its shadow is slowed:
 * smoothly above 20 ms, to a stop at 1 s (FACTS 1.8; DESIGN 6).
 *
 * From: the lag that acknowledgements tell. To: the share of time in which the primary may run. An
 * integrating loop finds the share that the shadow can follow; a ceiling that falls with the lag
 * itself bounds it while the loop still learns.
 */
import type { Micros } from './ports.ts';

const targetMicros = 20_000;
const hardMicros = 1_000_000;
/** Share gained or lost per second for each multiple of the target. */
const gainPerSecond = 0.5;
const shareMin = 0.02;

export class FlowControl {
  #share = 1;
  #updatedAt: Micros | undefined;
  #restUntil: Micros = 0;

  /** The share of time in which the primary runs, 0 to 1. */
  get share(): number {
    return this.#share;
  }

  /** @param floor a share to keep in any case: a shadow that starts must not stop the machine */
  update(lag: Micros, now: Micros, floor = 0): void {
    const elapsed = Math.min(now - (this.#updatedAt ?? now), 100_000);
    this.#updatedAt = now;
    const error = Math.max(-2, Math.min(4, (lag - targetMicros) / targetMicros));
    const learned = this.#share - ((gainPerSecond * elapsed) / 1_000_000) * error;
    const ceiling = 1 - Math.max(0, lag - 5 * targetMicros) / (hardMicros - 5 * targetMicros);
    const least = Math.max(floor, Math.min(shareMin, ceiling));
    this.#share = Math.max(least, Math.min(1, learned, ceiling));
  }

  /** No shadow to wait for. */
  reset(): void {
    this.#share = 1;
    this.#updatedAt = undefined;
    this.#restUntil = 0;
  }

  /** A slice has taken from `started` to `ended`; rests for the part of time that is not ours. */
  ran(started: Micros, ended: Micros): void {
    if (this.#share >= 1) return;
    const rest = ((ended - started) * (1 - this.#share)) / Math.max(this.#share, shareMin);
    this.#restUntil = ended + Math.min(rest, 50_000);
  }

  /** Until when the primary rests; anything in the past means that it may run. */
  restUntil(now: Micros): Micros {
    return this.#share <= 0 ? now + 10_000 : this.#restUntil;
  }
}
