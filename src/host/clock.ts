/**
 * The daemons' clock and their only timer: what the pure parts are told is microseconds of Node's
 * monotonic clock, and whoever wants to be called later holds an `Alarm`.
 */

export const nowUs = (): number => Math.floor(performance.now() * 1000);

/** One moment to be woken at; setting it again replaces it. Never early, a millisecond late. */
export class Alarm {
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | undefined;
  #at = Number.POSITIVE_INFINITY;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** @param at in microseconds of `nowUs`; Infinity: not at all */
  set(at: number): void {
    if (at === this.#at) return;
    clearTimeout(this.#timer);
    this.#at = at;
    if (at === Number.POSITIVE_INFINITY) return;
    const milliseconds = Math.max(0, Math.ceil((at - nowUs()) / 1000));
    this.#timer = setTimeout(() => {
      this.#at = Number.POSITIVE_INFINITY;
      this.#ring();
    }, milliseconds);
  }

  clear(): void {
    this.set(Number.POSITIVE_INFINITY);
  }
}
