/**
 * The guest's clock follows the host's: when to take a sample, and which (DESIGN 4, "Time").
 *
 * From: the host's monotonic clock. To: `ClockInput`s in the log. A sample is taken at the start of
 * a slice when the guest is more than 1 ms off, and when an idle guest is due to wake; an idle guest
 * costs no log. Its rate aims to meet the host's clock 4 ms later at the measured speed; its span
 * ends where the guest, were it arbitrarily fast, would be 2 ms ahead. Never backwards.
 */
import type { ClockInput, Ticks } from '../machine/effects.ts';
import type { Machine } from '../machine/machine.ts';
import type { Micros } from './ports.ts';

/** 10 MHz. */
const ticksPerMicro = 10;
const errorTicksMax = 1_000 * ticksPerMicro;
const aimMicros = 4_000;
const leadTicksMax = 2_000 * ticksPerMicro;
const rateOne = 2 ** 24;
const u32Max = 0xffff_ffff;

/** The host's clock in the guest's ticks: some offset to the monotonic clock. */
export class HostClock {
  readonly #ticksAtZero: bigint;

  /** @param ticks what the guest's clock should read at the host's `now` */
  constructor(ticks: Ticks, now: Micros) {
    this.#ticksAtZero = ticks - BigInt(Math.floor(now * ticksPerMicro));
  }

  ticksAt(now: Micros): Ticks {
    return this.#ticksAtZero + BigInt(Math.floor(now * ticksPerMicro));
  }

  /** The first moment at which the clock reads at least `ticks`. */
  whenAt(ticks: Ticks): Micros {
    return Math.ceil(Number(ticks - this.#ticksAtZero) / ticksPerMicro);
  }
}

/**
 * The sample that a machine about to run needs, if any.
 * @param idle all harts wait: only a sample at or after `wakeTime` helps
 * @param countsPerMicro the measured speed
 */
export function sampleDue(
  machine: Machine,
  host: Ticks,
  idle: boolean,
  countsPerMicro: number,
): ClockInput | undefined {
  const guest = machine.time;
  if (idle) {
    const wake = machine.wakeTime;
    if (wake === undefined || host < wake) return undefined;
  } else {
    const error = guest > host ? guest - host : host - guest;
    if (error <= BigInt(errorTicksMax)) return undefined;
  }
  return sample(guest, host, countsPerMicro);
}

export function sample(guest: Ticks, host: Ticks, countsPerMicro: number): ClockInput {
  const time = guest > host ? guest : host;
  const lead = Number(time - host);
  const counts = Math.max(1, Math.round(countsPerMicro * aimMicros));
  const aim = Math.max(0, aimMicros * ticksPerMicro - lead);
  const rate = clamp(Math.floor((aim / counts) * rateOne), 1, u32Max);
  const room = Math.max(0, leadTicksMax - lead);
  const span = clamp(Math.floor((room / rate) * rateOne), 0, u32Max);
  return { kind: 'clock', time, rate, span };
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
