/**
 * What charts show: measurements that the center has kept, and each that comes after them, in columns
 * of one length. Where nothing was measured for a while there is one moment without values, so that a
 * line ends there and does not cross it. Knows neither React nor the DOM.
 */
import type { VmFigures } from '../../../../../api/live.ts';
import {
  type Measured,
  type Measurement,
  type MeasurementsView,
  measuredNames,
  measuredSeconds,
} from '../../../../../api/measurements.ts';

/** Two messages may come at once when something happens. */
const apartMsMin = 500;
const gapMs = 6_000;

export const nothingMeasured = Object.fromEntries(
  measuredNames.map((name) => [name, null]),
) as Measurement;

/** @returns undefined if the VM does not run */
export function measurementOf(figures: VmFigures | undefined): Measurement | undefined {
  if (figures?.primary == null) return undefined;
  const { primary, shadow, lagMs, gate } = figures;
  const { receivedMbitPerSecond, sentMbitPerSecond, logMbitPerSecond } = figures;
  const { readBytesPerSecond, writtenBytesPerSecond } = figures;
  return {
    ...{ cpuPercent: primary.cpuPercent, memoryBytes: primary.memoryBytes },
    shadowCpuPercent: shadow?.cpuPercent ?? null,
    shadowMemoryBytes: shadow?.memoryBytes ?? null,
    ...{ receivedMbitPerSecond, sentMbitPerSecond, readBytesPerSecond, writtenBytesPerSecond },
    logMbitPerSecond: shadow === null ? null : logMbitPerSecond,
    lagMs: shadow === null ? null : lagMs,
    gateMs: gate?.medianMs ?? null,
  };
}

export class MeasurementLog {
  /** Unix milliseconds by the center's clock, ascending. */
  readonly times: number[] = [];
  readonly #columns = Object.fromEntries(
    measuredNames.map((name) => [name, [] as (number | null)[]]),
  ) as Record<Measured, (number | null)[]>;

  constructor(kept?: Pick<MeasurementsView, 'times' | Measured>) {
    for (const [at, time] of (kept?.times ?? []).entries()) {
      const values = measuredNames.map((name) => [name, kept![name][at] ?? null]);
      this.#put(time, Object.fromEntries(values) as Measurement);
    }
  }

  column(name: Measured): readonly (number | null)[] {
    return this.#columns[name];
  }

  /** @returns whether it is shown; what comes too soon after another one is not */
  add(unixMs: number, measurement: Measurement): boolean {
    if (unixMs - (this.times.at(-1) ?? Number.NEGATIVE_INFINITY) < apartMsMin) return false;
    this.#put(unixMs, measurement);
    let old = 0;
    while (this.times[old]! < unixMs - measuredSeconds * 1_000) old += 1;
    if (old > 0) {
      this.times.splice(0, old);
      for (const name of measuredNames) this.#columns[name].splice(0, old);
    }
    return true;
  }

  #put(time: number, measurement: Measurement): void {
    const last = this.times.at(-1);
    if (last !== undefined && time - last > gapMs) this.#push(last + 1, nothingMeasured);
    this.#push(time, measurement);
  }

  #push(time: number, measurement: Measurement): void {
    this.times.push(time);
    for (const name of measuredNames) this.#columns[name].push(measurement[name]);
  }
}
