/**
 * Which leases have certainly ended: the center's count of what hosts may still hold.
 *
 * From: the arbiter's record of a VM, whenever it is looked at, and the center's own clock. To: the
 * plan, which starts the VM elsewhere (lockstep/lease.ts is the holder's count). A lease is counted
 * from the moment at which *this* center first saw it under its present name, however long ago it was
 * granted, by whichever center: so a center that has just started, or has just begun to lead, waits
 * for a whole one. Invariant: who is told that a lease has ended is told its name, and the arbiter
 * grants the start only if no renewal has given it another one since.
 */
import { leaseOf, type VmRecord } from '../lockstep/arbiter.ts';
import { lapseMicros } from '../lockstep/lease.ts';

interface Seen {
  readonly lease: string;
  /** Microseconds of the clock. */
  readonly at: number;
}

export class Leases {
  readonly #now: () => number;
  readonly #seen = new Map<string, Seen>();

  /** @param now microseconds of a clock that never goes back */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** @returns when the VM's lease will have ended, on the clock; undefined: there is none to end */
  endsAt(vm: string, record: VmRecord | undefined): number | undefined {
    const lease = record === undefined ? undefined : leaseOf(record);
    if (record === undefined || lease === undefined) {
      this.#seen.delete(vm);
      return undefined;
    }
    let seen = this.#seen.get(vm);
    if (seen?.lease !== lease) {
      seen = { lease, at: this.#now() };
      this.#seen.set(vm, seen);
    }
    return seen.at + lapseMicros(record.shared!.leaseMs!);
  }

  /** Whether the VM's live copy has certainly ended by its lease. */
  hasEnded(vm: string, record: VmRecord | undefined): boolean {
    const at = this.endsAt(vm, record);
    return at !== undefined && this.#now() > at;
  }

  forget(vm: string): void {
    this.#seen.delete(vm);
  }

  /** What was seen may have changed unseen. */
  clear(): void {
    this.#seen.clear();
  }
}
