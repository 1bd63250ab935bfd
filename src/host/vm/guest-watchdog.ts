/**
 * Whether the guest still responds, seen from outside: a timer interrupt that it has asked for, has
 * enabled, and has not dealt with for a long time, though it was running.
 *
 * From: the machine's state, once a second. To: a reset, by the log like any other input, so that a
 * shadow is reset at the same count. Nothing of this is state of the machine: the same condition
 * holds for whichever copy is live (docs/decisions/ha.md says why this and not silence, nor traps).
 *
 * Only time counts in which the machine ran: neither a host that stood still nor a VM that was held
 * is the guest's fault.
 */
import type { Micros } from '../../lockstep/ports.ts';
import type { Machine, UnservedTimer } from '../../machine/machine.ts';

export const watchdogLookMs = 1_000;
/** A guest that hangs again and again is not helped by more of the same. */
const resetsMax = 3;
const resetsWithinMicros = 3_600_000_000;

interface Look extends UnservedTimer {
  readonly count: bigint;
  readonly at: Micros;
}

export type Verdict =
  | 'responds'
  /** To be reset now. */
  | 'reset'
  /** It would be reset if it had not been so often. Said once for each time. */
  | 'given-up';

export class GuestWatchdog {
  /** undefined: off. */
  seconds: number | undefined;
  #last: Look | undefined;
  #unserved: Micros = 0;
  #isGivenUp = false;
  #resets: Micros[] = [];

  look(machine: Pick<Machine, 'count' | 'unservedTimer'>, now: Micros): Verdict {
    const last = this.#last;
    const found = this.seconds === undefined ? undefined : machine.unservedTimer;
    this.#last = found && { ...found, count: machine.count, at: now };
    const isSame = last?.hart === found?.hart && last?.deadline === found?.deadline;
    if (found === undefined || last === undefined || !isSame) {
      this.#unserved = 0;
      this.#isGivenUp = false;
      return 'responds';
    }
    const elapsed = Math.min(now - last.at, 2 * watchdogLookMs * 1000);
    if (machine.count > last.count) this.#unserved += elapsed;
    if (this.#isGivenUp || this.#unserved < this.seconds! * 1_000_000) return 'responds';
    this.#resets = this.#resets.filter((at) => now - at < resetsWithinMicros);
    if (this.#resets.length >= resetsMax) {
      this.#isGivenUp = true;
      return 'given-up';
    }
    this.#resets.push(now);
    this.#last = undefined;
    this.#unserved = 0;
    return 'reset';
  }
}
