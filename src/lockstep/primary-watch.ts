/**
 * Is the primary still there? By what the shadow hears, and what it knows of the two wires.
 *
 * From: messages, closings, the host's trunk. To: the moment from which the primary counts as lost.
 * Silence, or a closed log channel alone, waits: the primary goes alone meanwhile if it lives. A log
 * channel and a trunk both closed mean that the host is gone.
 */
import type { Micros } from './ports.ts';
import { timing } from './timing.ts';

export class PrimaryWatch {
  #heardAt: Micros;
  #closedAt: Micros | undefined;
  #trunkOpen = true;

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
  }

  /** A new connection counts once the primary has accepted it. */
  welcomed(): void {
    this.#closedAt = undefined;
  }

  linkClosed(now: Micros): void {
    this.#closedAt ??= now;
  }

  trunk(open: boolean): void {
    this.#trunkOpen = open;
  }

  get lostAt(): Micros {
    if (this.#closedAt === undefined) return this.#heardAt + timing.primarySilenceMicros;
    return this.#trunkOpen ? this.#closedAt + timing.primarySilenceMicros : this.#closedAt;
  }
}
