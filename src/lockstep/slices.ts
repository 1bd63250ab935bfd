/**
 * How long a slice of execution is: by default about 250 us at the measured speed, so that sockets
 * and disks are looked after in between (DESIGN 4). Its length is invisible to the guest.
 */
import type { Micros } from './ports.ts';

const countsMin = 1_000;
const countsMax = 5_000_000;

export class SliceLength {
  readonly #micros: Micros;
  /** Counts per microsecond, a moving average. */
  #speed = 50;

  constructor(micros: Micros = 250) {
    this.#micros = micros;
  }

  get countsPerMicro(): number {
    return this.#speed;
  }

  get counts(): bigint {
    const counts = Math.round(this.#speed * this.#micros);
    return BigInt(Math.min(countsMax, Math.max(countsMin, counts)));
  }

  /** Learns from a slice. Short ones tell nothing: they end in a wait or a lone instruction. */
  ran(counts: bigint, micros: Micros): void {
    if (counts < BigInt(countsMin) || micros <= 0) return;
    const measured = Number(counts) / micros;
    // A slice that is too long delays everybody, one that is too short costs a little: so believe in
    // slowness at once and in speed only by and by.
    this.#speed += (measured - this.#speed) / (measured < this.#speed ? 2 : 8);
  }
}
