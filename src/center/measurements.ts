/**
 * The last quarter of an hour of every VM that runs: a measurement every two seconds, from the newest
 * statuses of its copies and the rates between them, in memory only.
 *
 * A ring of numbers for each VM, made when it first runs: 450 moments of eleven values and their time
 * are 42 KiB, so a thousand VMs are 41 MiB. NaN is what was not known.
 */
import {
  type Measured,
  type Measurement,
  type MeasurementsView,
  measuredNames,
  measuredSeconds,
  measurementStepMs,
} from '../api/measurements.ts';
import type { Cluster } from './cluster.ts';
import { noRates } from './rates.ts';

const moments = (measuredSeconds * 1_000) / measurementStepMs;

class Ring {
  readonly #times = new Float64Array(moments);
  readonly #values = new Float64Array(moments * measuredNames.length);
  /** How many were ever put in. */
  #count = 0;

  put(unixMs: number, measurement: Measurement): void {
    const at = this.#count++ % moments;
    this.#times[at] = unixMs;
    for (const [index, name] of measuredNames.entries()) {
      this.#values[at * measuredNames.length + index] = measurement[name] ?? Number.NaN;
    }
  }

  /** Oldest first. @param since Unix milliseconds */
  read(since: number): Pick<MeasurementsView, 'times' | Measured> {
    const kept = Math.min(this.#count, moments);
    const places = Array.from(
      { length: kept },
      (_, index) => (this.#count - kept + index) % moments,
    ).filter((at) => this.#times[at]! >= since);
    const column = (index: number) =>
      places.map((at) => {
        const value = this.#values[at * measuredNames.length + index]!;
        return Number.isNaN(value) ? null : value;
      });
    const columns = measuredNames.map((name, index) => [name, column(index)] as const);
    return {
      times: places.map((at) => this.#times[at]!),
      ...(Object.fromEntries(columns) as Record<Measured, (number | null)[]>),
    };
  }
}

export class Measurements {
  readonly #cluster: Cluster;
  readonly #rings = new Map<string, Ring>();
  #takenAt = Number.NEGATIVE_INFINITY;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Called often; takes one when it is time. @param now milliseconds of a monotonic clock */
  look(now: number): void {
    if (now - this.#takenAt < measurementStepMs) return;
    // In step with the beat, however late this call is; after a pause it begins anew.
    const isLate = now - this.#takenAt >= 2 * measurementStepMs;
    this.#takenAt = isLate ? now : this.#takenAt + measurementStepMs;
    const unixMs = Date.now();
    const there = new Set<string>();
    for (const { spec, shadowHost } of this.#cluster.inventory.vms) {
      there.add(spec.id);
      const measurement = this.#measure(spec.id, shadowHost);
      if (measurement !== undefined) this.#ringOf(spec.id).put(unixMs, measurement);
    }
    for (const id of this.#rings.keys()) if (!there.has(id)) this.#rings.delete(id);
  }

  /** @param id of a VM */
  of(id: string, seconds = measuredSeconds): Omit<MeasurementsView, 'vm'> {
    const since = Date.now() - seconds * 1_000;
    return { stepMs: measurementStepMs, ...(this.#rings.get(id) ?? new Ring()).read(since) };
  }

  /** Another center leads: it measures by itself. */
  clear(): void {
    this.#rings.clear();
  }

  #ringOf(id: string): Ring {
    const ring = this.#rings.get(id) ?? new Ring();
    this.#rings.set(id, ring);
    return ring;
  }

  /** @returns undefined if it does not run, as far as its host tells */
  #measure(id: string, shadowHost: string | undefined): Measurement | undefined {
    const { agents, arbiter, ratesOf } = this.#cluster;
    const record = arbiter.entry(id)?.record;
    const host = record?.state === 'live' ? record.live?.host : undefined;
    const status = host === undefined ? undefined : agents.get(host)?.copies.get(id);
    if (status === undefined) return undefined;
    const { cpuPercent, ...rates } = ratesOf(status.process);
    const shadow = shadowHost === undefined ? undefined : agents.get(shadowHost)?.copies.get(id);
    const hasShadow = shadow !== undefined && shadow.process !== status.process;
    const { cpuPercent: shadowCpuPercent } = hasShadow ? ratesOf(shadow.process) : noRates;
    return {
      ...rates,
      cpuPercent,
      shadowCpuPercent,
      memoryBytes: status.residentBytes ?? null,
      shadowMemoryBytes: hasShadow ? (shadow.residentBytes ?? null) : null,
      lagMs: hasShadow ? status.lagMs : null,
      logMbitPerSecond: hasShadow ? rates.logMbitPerSecond : null,
      gateMs: status.gate?.medianMs ?? null,
    };
  }
}
