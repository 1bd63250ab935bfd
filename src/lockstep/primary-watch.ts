/**
 * Is the primary still there? By what the shadow hears, and what it knows of the two wires.
 *
 * From: messages, closings, the host's trunk. To: the moment from which the primary counts as lost.
 * Silence, or a closed log channel alone, waits: the primary goes alone meanwhile if it lives. A log
 * channel and a trunk both closed mean that the host is gone.
 *
 * A process that is killed keeps its sockets until the kernel has taken its memory apart, which for
 * a large machine takes much longer than for the daemon beside it. So when the trunk closes, the
 * primary is asked whether it lives; one that does not answer soon is as good as closed.
 */
import type { Micros } from './ports.ts';
import type { GoLiveCause } from './status.ts';
import { timing } from './timing.ts';

export class PrimaryWatch {
  #heardAt: Micros;
  #closedAt: Micros | undefined;
  #trunkOpen = true;
  /** Since when the trunk is closed and nothing has been heard. */
  #doubtedAt: Micros | undefined;

  constructor(now: Micros) {
    this.#heardAt = now;
  }

  get heardAt(): Micros {
    return this.#heardAt;
  }

  get closed(): boolean {
    return this.#closedAt !== undefined;
  }

  heard(now: Micros): void {
    this.#heardAt = now;
    this.#doubtedAt = undefined;
  }

  /** A new connection counts once the primary has accepted it. */
  welcomed(): void {
    this.#closedAt = undefined;
  }

  linkClosed(now: Micros): void {
    this.#closedAt ??= now;
  }

  /** @returns whether to ask the primary for a sign of life */
  trunk(open: boolean, now: Micros): boolean {
    const closes = this.#trunkOpen && !open;
    this.#trunkOpen = open;
    this.#doubtedAt = closes ? now : undefined;
    return closes;
  }

  /** Why the primary counts as lost, once it does. */
  get cause(): Exclude<GoLiveCause, 'handed-over'> {
    if (this.#closedAt !== undefined && !this.#trunkOpen) return 'closed';
    return this.#closedAt === undefined && this.#doubtedAt !== undefined ? 'doubted' : 'silent';
  }

  get lostAt(): Micros {
    if (this.#closedAt === undefined) {
      const silent = this.#heardAt + timing.primarySilenceMicros;
      if (this.#doubtedAt === undefined) return silent;
      return Math.min(silent, this.#doubtedAt + timing.doubtMicros);
    }
    return this.#trunkOpen ? this.#closedAt + timing.primarySilenceMicros : this.#closedAt;
  }
}
