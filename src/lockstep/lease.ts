/**
 * The lease of a live copy whose disks are shared and that has no shadow: until when it may release
 * anything. What makes it safe to start the machine elsewhere when its host is not heard of any more
 * (docs/decisions/ha.md).
 *
 * From: the clock, and the arbiter's replies to `renew`. To: the primary, which asks `holds` before
 * every release, and waits while it does not. Counted from *before* the renewal was sent that was
 * granted, whereas whoever wants to start the machine elsewhere counts from after it saw the grant;
 * so neither clock has to be right, and both only have to run at nearly the same rate. The clock must
 * not stand still while the host sleeps.
 *
 * A lease that has run out is no end: nothing has been released since, and a renewal that is granted
 * proves that nobody has been started in this copy's place. So an arbiter that was away for a while
 * costs a pause, and no memory. Invariant: behind `validUntil` this copy releases nothing.
 */
import type { Ask, Member, Reply, VmRecord } from './arbiter.ts';
import { sameMember } from './arbiter.ts';
import type { ArbiterPort, Clock, Micros } from './ports.ts';
import { timing } from './timing.ts';

/** Of the length: so much before its end the holder is silent already. */
const marginShare = 10;
/** Renewed so often within its length. */
const renewalsPerLength = 3;
/** Unanswered renewals whose answers are still of use. */
const outstandingMax = 64;

/** How long somebody else has to wait, from the moment at which it saw the lease granted. */
export const lapseMicros = (leaseMs: number): Micros => leaseMs * 1000 * 1.01;

export class Lease {
  readonly #port: ArbiterPort;
  readonly #vm: string;
  readonly #member: Member;
  /** Counts also while the host is suspended. */
  readonly #clock: Clock;
  /** What this copy knows of the record. */
  readonly #record: () => VmRecord;
  readonly #sent = new Map<string, Micros>();
  #names = 0;
  #validUntil: Micros = Number.NEGATIVE_INFINITY;
  /** On the clock by which the copy is called again. */
  #askAt: Micros = Number.NEGATIVE_INFINITY;
  #renewAt: Micros = Number.NEGATIVE_INFINITY;
  /** Heard of in replies: an ask of this copy may have been granted unseen. */
  #newest = { epoch: 0, generation: 0 };

  constructor(port: ArbiterPort, vm: string, member: Member, clock: Clock, record: () => VmRecord) {
    this.#port = port;
    this.#vm = vm;
    this.#member = member;
    this.#clock = clock;
    this.#record = record;
  }

  /** Whether anything may be released now. Asked right before, each time. */
  get holds(): boolean {
    return this.#length === undefined || this.#clock.now() < this.#validUntil;
  }

  /** In milliseconds; undefined while this copy needs no lease. */
  get #length(): number | undefined {
    const { shared, eligibleShadow } = this.#record();
    return eligibleShadow === undefined ? shared?.leaseMs : undefined;
  }

  /** Sends what is due. @returns when to be called again, on the clock of `now` */
  tick(now: Micros): Micros {
    const length = this.#length;
    if (length === undefined) {
      // With the shadow the lease goes; without it there must be a new one before anything leaves.
      this.#validUntil = this.#renewAt = Number.NEGATIVE_INFINITY;
      return Number.POSITIVE_INFINITY;
    }
    const due = Math.max(this.#renewAt, this.#askAt);
    if (now < due) return due;
    this.#askAt = now + timing.askAgainMicros;
    this.#ask();
    return this.#askAt;
  }

  #ask(): void {
    const { epoch, generation } = this.#latest();
    const claimId = `${this.#member.process}:renew:${this.#names++}`;
    this.#sent.set(claimId, this.#clock.now());
    for (const name of this.#sent.keys()) {
      if (this.#sent.size <= outstandingMax) break;
      this.#sent.delete(name);
    }
    const operation = { kind: 'renew' } as const;
    const [vm, member] = [this.#vm, this.#member];
    const ask: Ask = { vm, member, epoch, generation, claimId, operation };
    this.#port.ask(ask);
  }

  #latest(): { readonly epoch: number; readonly generation: number } {
    const record = this.#record();
    return isNewer(this.#newest, record) ? this.#newest : record;
  }

  /**
   * A reply of the arbiter, of whatever ask.
   * @param now on the clock of `tick`
   * @returns what follows, if the reply was to a renewal; `lost`: another copy is live
   */
  receive(reply: Reply, now: Micros): 'renewed' | 'lost' | 'recovering' | 'other' | undefined {
    const sentAt = this.#sent.get(reply.claimId);
    if (sentAt === undefined) return undefined;
    this.#sent.delete(reply.claimId);
    const { record } = reply;
    if (reply.refusal === 'recovering') return 'recovering';
    if (record === undefined || record.epoch < this.#record().epoch) return 'other';
    if (isNewer(record, this.#newest)) {
      this.#newest = { epoch: record.epoch, generation: record.generation };
    }
    if (reply.granted) {
      const length = record.shared?.leaseMs ?? 0;
      const until = sentAt + length * 1000 * (1 - 1 / marginShare);
      this.#validUntil = Math.max(this.#validUntil, until);
      this.#renewAt = now + (length * 1000) / renewalsPerLength;
      return 'renewed';
    }
    // An ask of this very copy was first, or only the epoch is new: again at once.
    if (record.state === 'live' && sameMember(record.live, this.#member)) {
      this.#askAt = now;
      return 'other';
    }
    // Its own stop has been granted, and it will hear so.
    const isOwn = record.claimId.startsWith(`${this.#member.process}:`);
    return isOwn || reply.refusal === 'unknown-vm' ? 'other' : 'lost';
  }
}

type Place = { readonly epoch: number; readonly generation: number };

const isNewer = (a: Place, b: Place): boolean =>
  a.epoch > b.epoch || (a.epoch === b.epoch && a.generation > b.generation);
