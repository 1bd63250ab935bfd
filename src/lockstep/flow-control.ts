/**
 * A go-live has to replay the shadow's lag, so a primary that runs away from its shadow is slowed:
 * smoothly above 20 ms, to a stop at 1 s (FACTS 1.8; DESIGN 6).
 *
 * From: the lag and the work that acknowledgements tell; work is time for which the primary has
 * executed. To: the share of time in which the primary may run. While the shadow lags, what it gets
 * done is its speed: a share just below lets it catch up. While it does not, its speed can only be
 * found by giving it more. A ceiling that falls with the lag itself bounds what estimates may do.
 */
import type { Micros } from './ports.ts';

const targetMicros = 20_000;
const hardMicros = 1_000_000;
/** Acknowledgements come every ten milliseconds, so shorter windows would measure those. */
const windowMicros = 50_000;
/** A hiccup of the shadow lies in one window or two; the best of so many is what it can do. */
const windowsMax = 3;
/** How much more a shadow that keeps up is given after each window. */
const growth = 1.25;
/** A lag this far above the target is worked off at the cost of all execution, a nearer one in part. */
const urgentMicros = 400_000;
const shareMin = 0.02;
/**
 * A timer is a millisecond and more late. Rest behind each slice of a quarter of one would make any
 * share a fifth, so rest is owed until it is worth a timer.
 */
const restMinMicros = 3_000;
const restMaxMicros = 50_000;

export class FlowControl {
  #share = 1;
  /** Work that the shadow did in a microsecond, in the last windows. */
  #speeds: number[] = [];
  #window: { readonly at: Micros; readonly executed: Micros; lagging: boolean } | undefined;
  #work: Micros = 0;
  #restUntil: Micros = 0;
  /** Rest that the execution so far is to be followed by; negative: taken in advance. */
  #owed: Micros = 0;
  #ranUntil: Micros | undefined;

  /** The share of time in which the primary runs, 0 to 1. */
  get share(): number {
    return this.#share;
  }

  /** For how long the primary has executed in all. */
  get work(): Micros {
    return this.#work;
  }

  /**
   * @param lag the age of the oldest entry that the shadow has not executed
   * @param executed `work` as it was when the last entry that the shadow has executed was sent
   * @param floor a share to keep in any case: a shadow that starts must not stop the machine
   */
  update(lag: Micros, executed: Micros, now: Micros, floor = 0): void {
    this.#measure(lag, executed, now);
    const excess = Math.max(0, lag - targetMicros) / urgentMicros;
    const catchingUp = this.#speed() * Math.max(0, 1 - excess);
    const ceiling = 1 - Math.max(0, lag - 5 * targetMicros) / (hardMicros - 5 * targetMicros);
    const least = Math.max(floor, Math.min(shareMin, ceiling));
    this.#share = Math.max(least, Math.min(1, catchingUp, ceiling));
  }

  #measure(lag: Micros, executed: Micros, now: Micros): void {
    const lagging = lag > targetMicros;
    const window = this.#window;
    if (window === undefined || now - window.at > 10 * windowMicros) {
      this.#window = { at: now, executed, lagging };
      return;
    }
    window.lagging &&= lagging;
    if (now - window.at < windowMicros) return;
    // While it keeps up, it did what it was given: it may be able to do more.
    const speed = window.lagging
      ? Math.max(shareMin, (executed - window.executed) / (now - window.at))
      : this.#speed() * growth;
    this.#speeds.push(Math.min(1, speed));
    if (this.#speeds.length > windowsMax) this.#speeds.shift();
    this.#window = { at: now, executed, lagging };
  }

  /** What the shadow can do; of one that has just come it is not known. */
  #speed(): number {
    return this.#speeds.length === 0 ? 1 : Math.max(...this.#speeds);
  }

  /** No shadow to wait for. */
  reset(): void {
    this.#share = 1;
    this.#speeds = [];
    this.#window = undefined;
    this.#settle();
  }

  /** The machine has executed from `started` to `ended`; it owes rest for the share that is not its. */
  ran(started: Micros, ended: Micros): void {
    this.#work += ended - started;
    if (this.#share >= 1) return this.#settle();
    // Whatever kept it from executing was rest: a timer that came late, a guest that waited.
    if (this.#ranUntil !== undefined) this.#owed -= started - this.#ranUntil;
    this.#owed = Math.max(this.#owed, -restMinMicros);
    this.#owed += ((ended - started) * (1 - this.#share)) / Math.max(this.#share, shareMin);
    this.#ranUntil = ended;
    if (this.#owed < restMinMicros) return;
    this.#restUntil = ended + Math.min(this.#owed, restMaxMicros);
  }

  /** Until when the primary rests; anything in the past means that it may run. */
  restUntil(now: Micros): Micros {
    return this.#share <= 0 ? now + 10_000 : this.#restUntil;
  }

  #settle(): void {
    this.#owed = 0;
    this.#ranUntil = undefined;
    this.#restUntil = 0;
  }
}
