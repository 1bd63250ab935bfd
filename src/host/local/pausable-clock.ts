/** The host's clock as a VM is shown it that a debugger stops now and then: it stops with the VM. */
import type { Clock } from '../../lockstep/ports.ts';
import { nowUs } from '../clock.ts';

export class PausableClock implements Clock {
  #lost = 0;
  #pausedAt: number | undefined;

  readonly now = (): number => (this.#pausedAt ?? nowUs()) - this.#lost;

  pause(): void {
    this.#pausedAt ??= nowUs();
  }

  goOn(): void {
    if (this.#pausedAt !== undefined) this.#lost += nowUs() - this.#pausedAt;
    this.#pausedAt = undefined;
  }
}
