/**
 * The loop of a VM process: one thread, on which the machine, the log and the sockets take turns.
 *
 * A copy says when it wants to be called again; whatever arrives before then calls it sooner. While
 * there is something to execute, a slice of a quarter of a millisecond alternates with Node's event
 * loop; a copy that waits costs nothing.
 */
import type { Copy } from '../../lockstep/copy.ts';
import { nowUs } from '../clock.ts';

export class Driver {
  readonly #copy: Copy;
  readonly #afterStep: (micros: number) => void;
  readonly #now: () => number;
  #immediate: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #paused = false;

  /**
   * @param afterStep called behind every step, for what depends on the copy's state, with its time
   * @param now the clock by which the copy says when it wants to be called
   */
  constructor(copy: Copy, afterStep: (micros: number) => void, now: () => number = nowUs) {
    this.#copy = copy;
    this.#now = now;
    this.#afterStep = afterStep;
  }

  /** Something has arrived: step as soon as the present event has been dealt with. */
  readonly wake = (): void => {
    if (this.#immediate !== undefined || this.#stopped || this.#paused) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#immediate = setImmediate(() => this.#step());
  };

  /** No more steps until `resume`; what arrives meanwhile waits. For debuggers. */
  pause(): void {
    this.#paused = true;
    clearImmediate(this.#immediate);
    clearTimeout(this.#timer);
    this.#immediate = undefined;
    this.#timer = undefined;
  }

  resume(): void {
    this.#paused = false;
    this.wake();
  }

  stop(): void {
    this.#stopped = true;
    clearImmediate(this.#immediate);
    clearTimeout(this.#timer);
  }

  #step(): void {
    this.#immediate = undefined;
    const began = this.#now();
    const due = this.#copy.step();
    this.#afterStep(this.#now() - began);
    // The step itself may have made something due at once.
    if (this.#stopped || this.#paused || this.#immediate !== undefined) return;
    const wait = due - this.#now();
    if (wait <= 0) this.#immediate = setImmediate(() => this.#step());
    else if (Number.isFinite(due)) {
      this.#timer = setTimeout(() => this.#step(), Math.min(wait / 1000, 2 ** 30));
    }
  }
}
