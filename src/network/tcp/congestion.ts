/**
 * How much may be in flight: slow start, congestion avoidance, fast recovery (RFC 5681, RFC 6582).
 * Bytes throughout.
 */
const INITIAL_SEGMENTS = 10; // RFC 6928
const WINDOW_BYTES_MAX = 16 << 20;

export class Congestion {
  window: number;
  #threshold = WINDOW_BYTES_MAX;
  readonly #mss: number;
  /** Bytes acknowledged since the window last grew in congestion avoidance (RFC 3465). */
  #acknowledged = 0;

  constructor(mss: number) {
    this.#mss = mss;
    this.window = INITIAL_SEGMENTS * mss;
  }

  get isSlowStart(): boolean {
    return this.window < this.#threshold;
  }

  /** @param limited whether the window, not the application, held back the sender (RFC 7661) */
  onAcknowledged(bytes: number, limited: boolean): void {
    if (!limited) return;
    if (this.window < this.#threshold) {
      this.window += Math.min(bytes, 2 * this.#mss);
    } else {
      this.#acknowledged += bytes;
      if (this.#acknowledged >= this.window) {
        this.#acknowledged -= this.window;
        this.window += this.#mss;
      }
    }
    this.window = Math.min(this.window, WINDOW_BYTES_MAX);
  }

  enterRecovery(flight: number): void {
    this.#threshold = Math.max(flight >> 1, 2 * this.#mss);
    this.window = this.#threshold;
    this.#acknowledged = 0;
  }

  /** Another path from here on: what was lost on the old one says nothing about it. */
  onMoved(): void {
    this.window = Math.max(this.window, INITIAL_SEGMENTS * this.#mss);
    this.#threshold = WINDOW_BYTES_MAX;
  }

  onTimeout(flight: number): void {
    this.enterRecovery(flight);
    this.window = this.#mss;
  }
}
