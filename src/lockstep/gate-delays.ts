/**
 * How long the output gate has held what it let out lately: the last so many outputs, none older
 * than ten seconds. For people alone; nothing is decided by it.
 *
 * From: output-gate.ts, in microseconds of the host's clock. To: status.ts.
 */
import type { Micros } from './ports.ts';

const keptMax = 512;
const windowMicros: Micros = 10_000_000;

export interface DelaySummary {
  readonly medianMicros: Micros;
  /** 99th percentile. */
  readonly p99Micros: Micros;
}

export class GateDelays {
  /** A ring of pairs. */
  readonly #delays = new Float64Array(keptMax);
  readonly #leftAt = new Float64Array(keptMax);
  #count = 0;

  left(heldAt: Micros, now: Micros): void {
    const at = this.#count++ % keptMax;
    this.#delays[at] = now - heldAt;
    this.#leftAt[at] = now;
  }

  /** @returns undefined where nothing has left lately */
  summary(now: Micros): DelaySummary | undefined {
    const known = Math.min(this.#count, keptMax);
    const recent = this.#delays
      .subarray(0, known)
      .filter((_, at) => now - this.#leftAt[at]! <= windowMicros)
      .sort();
    const { length } = recent;
    if (length === 0) return undefined;
    const rank = (part: number): number => recent[Math.min(length - 1, Math.floor(length * part))]!;
    return { medianMicros: rank(0.5), p99Micros: rank(0.99) };
  }
}
