/**
 * Rates from successive statuses of a process: log sent, CPU used, frames, disk requests.
 *
 * A process tells totals five times a second, at moments of its own; a rate is taken between the
 * newest status and one that is at least a second older, so that it does not jump. A log total that
 * has become smaller (another shadow: its log begins anew) begins anew, too.
 */
import type { VmStatus } from '../api/agent.ts';

/** null: not known yet, or not told by an older host. */
export interface CopyRates {
  readonly logMbitPerSecond: number | null;
  /** Of one core. */
  readonly cpuPercent: number | null;
  readonly receivedMbitPerSecond: number | null;
  readonly sentMbitPerSecond: number | null;
  readonly readBytesPerSecond: number | null;
  readonly writtenBytesPerSecond: number | null;
}

export const noRates: CopyRates = {
  ...{ logMbitPerSecond: null, cpuPercent: null, receivedMbitPerSecond: null },
  ...{ sentMbitPerSecond: null, readBytesPerSecond: null, writtenBytesPerSecond: null },
};

interface Sample {
  /** Milliseconds of a monotonic clock. */
  readonly at: number;
  readonly totals: Pick<VmStatus, 'logBytesSent' | 'cpuMicros' | 'network' | 'disk'>;
}

const windowMs = 1_000;
const bytesPerMegabit = 1e6 / 8;
/** A process that says nothing any more is forgotten. */
const forgetMs = 60_000;

export class Rates {
  /** By process, oldest first; the first one is the one that rates are taken from. */
  readonly #samples = new Map<string, Sample[]>();

  learn({ process, logBytesSent, cpuMicros, network, disk }: VmStatus, now: number): void {
    if (process === '') return;
    const totals = {
      logBytesSent,
      ...(cpuMicros !== undefined && { cpuMicros }),
      ...(network !== undefined && { network }),
      ...(disk !== undefined && { disk }),
    };
    const sample = { at: now, totals };
    const kept = this.#samples.get(process) ?? [];
    const isNew = (kept.at(-1)?.totals.logBytesSent ?? 0) > logBytesSent;
    const samples = isNew ? [sample] : [...kept, sample];
    while (samples.length > 2 && now - samples[1]!.at >= windowMs) samples.shift();
    this.#samples.set(process, samples);
  }

  of(process: string): CopyRates {
    const samples = this.#samples.get(process) ?? [];
    const [from, to] = [samples[0], samples.at(-1)];
    if (from === undefined || to === undefined || to.at - from.at < windowMs / 2) return noRates;
    const seconds = (to.at - from.at) / 1_000;
    const perSecond = (total: (of: Sample['totals']) => number | undefined, unit: number) => {
      const [before, after] = [total(from.totals), total(to.totals)];
      if (before === undefined || after === undefined) return null;
      return round((after - before) / seconds / unit);
    };
    return {
      logMbitPerSecond: perSecond(({ logBytesSent }) => logBytesSent, bytesPerMegabit),
      cpuPercent: perSecond(({ cpuMicros }) => cpuMicros, 10_000),
      receivedMbitPerSecond: perSecond(({ network }) => network?.bytesReceived, bytesPerMegabit),
      sentMbitPerSecond: perSecond(({ network }) => network?.bytesSent, bytesPerMegabit),
      readBytesPerSecond: perSecond(({ disk }) => disk?.bytesRead, 1),
      writtenBytesPerSecond: perSecond(({ disk }) => disk?.bytesWritten, 1),
    };
  }

  tidy(now: number): void {
    for (const [process, samples] of this.#samples) {
      if (now - (samples.at(-1)?.at ?? 0) > forgetMs) this.#samples.delete(process);
    }
  }
}

const round = (value: number): number => Math.round(value * 1_000) / 1_000;
