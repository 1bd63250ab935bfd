/**
 * Rates from successive statuses of a process: log sent, CPU used.
 *
 * A process tells totals five times a second, at moments of its own; a rate is taken between the
 * newest status and one that is at least a second older, so that it does not jump. A total that has
 * become smaller (another shadow: its log begins anew) begins anew, too.
 */
import type { VmStatus } from '../api/agent.ts';

export interface CopyRates {
  /** null: not known yet. */
  readonly logMbitPerSecond: number | null;
  /** Of one core. */
  readonly cpuPercent: number | null;
}

interface Sample {
  /** Milliseconds of a monotonic clock. */
  readonly at: number;
  readonly logBytes: number;
  readonly cpuMicros: number | undefined;
}

const windowMs = 1_000;
/** A process that says nothing any more is forgotten. */
const forgetMs = 60_000;

export class Rates {
  /** By process, oldest first; the first one is the one that rates are taken from. */
  readonly #samples = new Map<string, Sample[]>();

  learn({ process, logBytesSent, cpuMicros }: VmStatus, now: number): void {
    if (process === '') return;
    const sample = { at: now, logBytes: logBytesSent, cpuMicros };
    const kept = this.#samples.get(process) ?? [];
    const isNew = (kept.at(-1)?.logBytes ?? 0) > logBytesSent;
    const samples = isNew ? [sample] : [...kept, sample];
    while (samples.length > 2 && now - samples[1]!.at >= windowMs) samples.shift();
    this.#samples.set(process, samples);
  }

  of(process: string): CopyRates {
    const samples = this.#samples.get(process) ?? [];
    const [from, to] = [samples[0], samples.at(-1)];
    if (from === undefined || to === undefined || to.at - from.at < windowMs / 2) {
      return { logMbitPerSecond: null, cpuPercent: null };
    }
    const ms = to.at - from.at;
    const cpu =
      from.cpuMicros === undefined || to.cpuMicros === undefined
        ? null
        : round((to.cpuMicros - from.cpuMicros) / ms / 10);
    return {
      logMbitPerSecond: round(((to.logBytes - from.logBytes) * 8) / ms / 1_000),
      cpuPercent: cpu,
    };
  }

  tidy(now: number): void {
    for (const [process, samples] of this.#samples) {
      if (now - (samples.at(-1)?.at ?? 0) > forgetMs) this.#samples.delete(process);
    }
  }
}

const round = (value: number): number => Math.round(value * 1_000) / 1_000;
