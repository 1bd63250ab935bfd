/**
 * The loop of a VM process: one thread, on which the machine, the log and the sockets take turns.
 *
 * A copy says when it wants to be called again; whatever arrives before then calls it sooner. While
 * there is something to execute, a slice of a quarter of a millisecond alternates with Node's event
 * loop; a copy that waits costs nothing. Only a shadow that is behind a busy primary stays awake for
 * the next of its log.
 */
import type { Copy } from '../../lockstep/copy.ts';
import { nowUs } from '../clock.ts';
import { Occupation } from './occupation.ts';

/**
 * A shadow at work for this much of its time does not sleep out the rest. A guest that computes is
 * logged every fifteen milliseconds, so its shadow would fall asleep and be woken that often for the
 * sake of a millisecond each, and is held up by that; the primary waits for a shadow that is
 * slower (docs/decisions/cost-of-protection.md).
 */
const watchfulShare = 0.75;
/**
 * It looks for the next of its log so often. Nothing but looking wrote thirty megabytes a second of
 * small objects all over its cache.
 */
const lookMicros = 50;

type Driven = Pick<Copy, 'step' | 'shadow'>;

export class Driver {
  readonly #copy: Driven;
  readonly #afterStep: (micros: number) => void;
  readonly #now: () => number;
  readonly #occupation = new Occupation();
  /** The next step, as soon as the event loop comes round. */
  #immediate: NodeJS.Immediate | undefined;
  /** Or later, awake until then or asleep. */
  #watch: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #paused = false;

  /**
   * @param afterStep called behind every step, for what depends on the copy's state, with its time
   * @param now the clock by which the copy says when it wants to be called
   */
  constructor(copy: Driven, afterStep: (micros: number) => void, now: () => number = nowUs) {
    this.#copy = copy;
    this.#now = now;
    this.#afterStep = afterStep;
  }

  /** Something has arrived: step as soon as the present event has been dealt with. */
  readonly wake = (): void => {
    if (this.#immediate !== undefined || this.#stopped || this.#paused) return;
    this.#clear();
    this.#stepNext();
  };

  /** No more steps until `resume`; what arrives meanwhile waits. For debuggers. */
  pause(): void {
    this.#paused = true;
    this.#clear();
  }

  resume(): void {
    this.#paused = false;
    this.wake();
  }

  stop(): void {
    this.#stopped = true;
    this.#clear();
  }

  #clear(): void {
    clearImmediate(this.#immediate);
    clearImmediate(this.#watch);
    clearTimeout(this.#timer);
    this.#immediate = undefined;
    this.#watch = undefined;
    this.#timer = undefined;
  }

  #stepNext(): void {
    this.#immediate = setImmediate(() => this.#step());
  }

  #step(): void {
    this.#immediate = undefined;
    const began = this.#now();
    const due = this.#copy.step();
    const ended = this.#now();
    this.#occupation.worked(began, ended);
    this.#afterStep(ended - began);
    // The step itself may have made something due at once.
    if (this.#stopped || this.#paused || this.#immediate !== undefined) return;
    this.#awaitDue(due);
  }

  #awaitDue(due: number): void {
    const now = this.#now();
    const wait = due - now;
    if (wait <= 0) this.#stepNext();
    else if (this.#isWatchful(now)) this.#watchUntil(due, now);
    else if (Number.isFinite(due)) {
      this.#timer = setTimeout(() => this.#step(), Math.min(wait / 1000, 2 ** 30));
    }
  }

  #watchUntil(due: number, now: number): void {
    for (const next = Math.min(due, now + lookMicros); this.#now() < next; );
    this.#watch = setImmediate(() => this.#awaitDue(due));
  }

  #isWatchful(now: number): boolean {
    return this.#copy.shadow !== undefined && this.#occupation.share(now) >= watchfulShare;
  }
}
