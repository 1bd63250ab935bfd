/**
 * A go-live has to replay the shadow's lag, so a primary that runs away from its shadow is slowed:
 * smoothly above 20 ms, to a stop at 1 s (FACTS 1.8; DESIGN 6).
 *
 * Two hosts are slow at different moments. A primary that waited for each hiccup of its shadow
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
const hiccupMicros = 100_000;
const tightMicros = 800_000;
const hardMicros = 1_000_000;
/** Of two reports of a shadow that lags, or more: shorter ones would measure those. */
const windowMicros = 50_000;
/** One that falls behind has a window in which it does not lag yet. */
const windowsToTrust = 2;
/** For so many, two seconds, a shadow that lags is taken to be able to do what it did before. */
const windowsForgiven = 40;
/** Then the mean of so many tells: batches end within a window as it happens. */
const windowsMax = 20;
/** How much more a slowed primary's shadow is given after each window in which it keeps up. */
const growth = 1.25;
/** A lag of so much above the target would be worked off at the cost of all execution. */
const patienceMicros = { usual: 4_000_000, hurried: 400_000 } as const;
/** What a shadow that is waited for is given of what it can do. */
const hurriedShare = 0.5;
const shareMin = 0.02;
/**
 * What the machine keeps while a shadow starts: enough at first that clients hardly notice, and less
 * for one that takes longer than most. With more, a slow one never comes near a busy guest.
 */
const whileStarting = { first: 0.3, later: 0.15, firstMicros: 2_500_000 } as const;
/**
 * A timer is a millisecond and more late. Rest behind each slice of a quarter of one would make any
 * share a fifth, so rest is owed until it is worth a timer.
 */
const restMinMicros = 3_000;
const restMaxMicros = 50_000;

export interface FlowSituation {
  /** The shadow is not yet one: it comes near, and must not stop the machine meanwhile. */
  readonly isStarting?: boolean;
  /** The machine is to be frozen as soon as the shadow is near. */
  readonly isNearing?: boolean;
}

interface Window {
  readonly at: Micros;
  /** Where its measure begins: what has been executed is told in steps, this is the first of it. */
  from: { readonly at: Micros; readonly executed: Micros } | undefined;
  leastLag: Micros;
}

export class FlowControl {
  #share = 1;
  /** Work that the shadow has shown to do in a microsecond, in the last windows in which it lagged. */
  #shown: number[] = [];
  /** It has kept up with a primary that was not slowed, no longer ago than is forgiven. */
  #didAll = false;
  #windowsKeptUp = 0;
  /** What it can do, or is given to find that out; of one that has just come nothing is known. */
  #ability = 1;
  #window: Window | undefined;
  #told: Micros = 0;
  #work: Micros = 0;
  #restUntil: Micros = 0;
  /** Rest that the execution so far is to be followed by; negative: taken in advance. */
  #owed: Micros = 0;
  #ranUntil: Micros | undefined;
  #startingSince: Micros | undefined;

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
   */
  update(
    lag: Micros,
    executed: Micros,
    now: Micros,
    { isStarting = false, isNearing = false }: FlowSituation = {},
  ): void {
    this.#measure(lag, executed, now);
    const least = this.#least(isStarting, now);
    const hurried = isStarting || isNearing;
    const excess = Math.max(0, lag - targetMicros);
    const patience = hurried ? patienceMicros.hurried : patienceMicros.usual;
    const catchingUp = Math.min(hurried ? hurriedShare : 1, Math.max(0, 1 - excess / patience));
    const ceiling = 1 - Math.max(0, lag - hiccupMicros) / (tightMicros - hiccupMicros);
    const lowest = lag < hardMicros ? Math.max(least, shareMin) : least;
    this.#share = Math.max(lowest, Math.min(this.#ability * catchingUp, ceiling));
  }

  #least(isStarting: boolean, now: Micros): number {
    this.#startingSince = isStarting ? (this.#startingSince ?? now) : undefined;
    if (this.#startingSince === undefined) return 0;
    const { first, later, firstMicros } = whileStarting;
    return now - this.#startingSince < firstMicros ? first : later;
  }

  #measure(lag: Micros, executed: Micros, now: Micros): void {
    const isStep = executed !== this.#told;
    this.#told = executed;
    // From step to step, but of a shadow of which nothing is known a first idea cannot wait for one.
    const counts = isStep || !this.#isKnown;
    const point = counts ? { at: now, executed } : undefined;
    if (this.#window === undefined || now - this.#window.at > 10 * windowMicros) {
      this.#window = { at: now, from: point, leastLag: lag };
    }
    const window = this.#window;
    window.from ??= point;
    window.leastLag = Math.min(window.leastLag, lag);
    if (window.leastLag <= targetMicros) {
      if (now - window.at < windowMicros) return;
      this.#keepsUp();
    } else {
      const { from } = window;
      if (!counts || from === undefined || now - from.at < windowMicros) return;
      this.#show((executed - from.executed) / (now - from.at));
    }
    this.#window = { at: now, from: point, leastLag: lag };
  }

  get #isKnown(): boolean {
    return this.#didAll || this.#shown.length > 0;
  }

  /** It did what it was given, which was all there was, or may be less than it can do. */
  #keepsUp(): void {
    this.#ability = Math.min(1, Math.max(this.#ability, this.#share * growth));
    if (this.#share < 1 || ++this.#windowsKeptUp < windowsToTrust) return;
    this.#didAll = true;
    this.#shown = [];
  }

  #show(speed: number): void {
    const shown = this.#shown;
    shown.push(speed);
    this.#windowsKeptUp = 0;
    if (this.#didAll && shown.length < windowsForgiven) return;
    this.#didAll = false;
    if (shown.length > windowsMax) shown.splice(0, shown.length - windowsMax);
    this.#ability = Math.min(1, Math.max(shareMin, mean(shown)));
  }

  /** No shadow to wait for. */
  reset(): void {
    this.#share = 1;
    this.#shown = [];
    this.#didAll = false;
    this.#windowsKeptUp = 0;
    this.#ability = 1;
    this.#window = undefined;
    this.#startingSince = undefined;
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

function mean(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0) / values.length;
}
