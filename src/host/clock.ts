/**
 * The daemons' clock and their only timer: what the pure parts are told is microseconds of Node's
 * monotonic clock, and whoever wants to be called later holds an `Alarm`.
 */

export const nowUs = (): number => Math.floor(performance.now() * 1000);

/**
 * One moment to be woken at; setting it again replaces it. Never early, a millisecond late. A moment
 * that only moves on, as a connection's does with every frame, touches no timer.
 */
export class Alarm {
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #at = Number.POSITIVE_INFINITY;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** @param at in microseconds of `nowUs`; Infinity: not at all */
  set(at: number): void {
    this.#at = at;
    if (at < this.#timerAt) this.#arm();
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#at = Number.POSITIVE_INFINITY;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timerAt = this.#at;
    const milliseconds = Math.max(0, Math.ceil((this.#at - nowUs()) / 1000));
    this.#timer = setTimeout(() => this.#wake(), milliseconds);
  }

  #wake(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    if (this.#at === Number.POSITIVE_INFINITY) return;
    if (nowUs() < this.#at) {
      this.#arm();
      return;
    }
    this.#at = Number.POSITIVE_INFINITY;
    this.#ring();
  }
}
