/**
 * A go-live has to replay the shadow's lag, so a primary that runs away from its shadow is slowed:
 * smoothly above 20 ms, to a stop at 1 s (FACTS 1.8; DESIGN 6).
 *
 * Two hosts are never slow at the same moments. A primary that waited for each hiccup of its shadow
 * would have the speed of whichever is slower at the time, and never make up for it; so a hiccup makes
 * a lag, which the shadow works off when it is the faster one again. Only what a shadow has not been
 * able to do for two seconds is not asked of it.
 *
 * From: the lag and the work that acknowledgements tell; work is time for which the primary has
 * executed. To: the share of time in which the primary may run. While the shadow lags, what it gets
 * done is its speed; while it does not, its speed can only be found by giving it more. A ceiling that
 * falls with the lag itself bounds what estimates may do.
 */
import type { Micros } from './ports.ts';

const targetMicros = 20_000;
/** The lag of a hiccup. What is above is the worse of two evils, and gets ever less of the time. */
const hiccupMicros = 200_000;
const tightMicros = 800_000;
const hardMicros = 1_000_000;
/** Acknowledgements come every fifteen milliseconds, so shorter windows would measure those. */
const windowMicros = 50_000;
/** The best of so many windows is what the shadow can do: two seconds. */
const windowsMax = 40;
/** How much more a slowed primary's shadow is given after each window in which it keeps up. */
const growth = 1.25;
/** A lag of so much above the target would be worked off at the cost of all execution. */
const patienceMicros = 4_000_000;
const shareMin = 0.02;
/**
 * A timer is a millisecond and more late. Rest behind each slice of a quarter of one would make any
 * share a fifth, so rest is owed until it is worth a timer.
 */
const restMinMicros = 3_000;
const restMaxMicros = 50_000;

interface Window {
  readonly at: Micros;
  /** At its beginning, and as it was told last. */
  readonly executed: Micros;
  told: Micros;
  leastLag: Micros;
  mostLag: Micros;
}

export class FlowControl {
  #share = 1;
  /** Work that the shadow has shown to do in a microsecond, in the last windows. */
  #shown: number[] = [];
  /** What it is given to find out whether it can do more than it has shown. */
  #probe = 0;
  /** What it can do, as far as is known; of one that has just come nothing is. */
  #ability = 1;
  #window: Window | undefined;
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
   * @param bounds of the share in any case
   */
  update(lag: Micros, executed: Micros, now: Micros, { least = 0, most = 1 } = {}): void {
    this.#measure(lag, executed, now);
    const catchingUp = this.#ability * (1 - Math.max(0, lag - targetMicros) / patienceMicros);
    const ceiling = 1 - Math.max(0, lag - hiccupMicros) / (tightMicros - hiccupMicros);
    const lowest = lag < hardMicros ? Math.max(least, shareMin) : least;
    this.#share = Math.max(lowest, Math.min(most, catchingUp, ceiling));
  }

  #measure(lag: Micros, executed: Micros, now: Micros): void {
    const window = this.#window;
    if (window === undefined || now - window.at > 10 * windowMicros) {
      this.#window = { at: now, executed, told: executed, leastLag: lag, mostLag: lag };
      return;
    }
    // What has been executed is told in steps: from one of them to another.
    const isStep = executed !== window.told;
    window.told = executed;
    window.leastLag = Math.min(window.leastLag, lag);
    window.mostLag = Math.max(window.mostLag, lag);
    const micros = now - window.at;
    if (micros < windowMicros || (!isStep && window.leastLag > targetMicros)) return;
    this.#learn(window, (executed - window.executed) / micros);
    this.#window = { at: now, executed, told: executed, leastLag: lag, mostLag: lag };
  }

  #learn({ leastLag, mostLag }: Window, speed: number): void {
    if (leastLag > targetMicros) this.#show(Math.min(1, Math.max(shareMin, speed)));
    else if (mostLag > targetMicros) this.#probe = 0;
    // It did what it was given, which was all there was, or may be less than it can do.
    else if (this.#share >= 1) this.#show(1);
    else this.#probe = Math.min(1, this.#share * growth);
    if (this.#shown.length > 0) this.#ability = Math.max(this.#probe, ...this.#shown);
  }

  #show(speed: number): void {
    this.#shown.push(speed);
    if (this.#shown.length > windowsMax) this.#shown.shift();
    this.#probe = 0;
  }

  /** No shadow to wait for. */
  reset(): void {
    this.#share = 1;
    this.#shown = [];
    this.#probe = 0;
    this.#ability = 1;
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
