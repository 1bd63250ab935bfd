/**
 * One copy's dealings with the arbiter: one ask at a time, repeated until it is answered.
 *
 * From: the primary and the shadow. To: the arbiter's port, which may lose asks and replies. An ask
 * once made cannot be taken back: the next one waits for its answer, because until then nobody
 * knows the record. The owner decides what an answer means; this file only makes it certain.
 */
import { assert } from '../base/assert.ts';
import {
  type Ask,
  type Member,
  type Operation,
  type Refusal,
  type Reply,
  sameMember,
  type VmRecord,
} from './arbiter.ts';
import type { ArbiterPort, Micros } from './ports.ts';
import { timing } from './timing.ts';

export interface Settled {
  readonly operation: Operation;
  readonly granted: boolean;
  readonly refusal: Refusal | undefined;
}

const nothingKnown: VmRecord = {
  epoch: 0,
  generation: 0,
  state: 'stopped',
  live: undefined,
  eligibleShadow: undefined,
  currentReplicas: [],
  claimId: '',
};

/** Refusals that say nothing about the ask: the arbiter is not ready, or only the epoch is new. */
const askAgain: readonly (Refusal | undefined)[] = ['recovering', 'epoch', 'unknown-vm'];

export class Membership {
  readonly member: Member;
  readonly #port: ArbiterPort;
  readonly #vm: string;
  #record: VmRecord;
  /**
   * The last record that this copy has from the arbiter while it was certain. A record that does not
   * name this copy is hearsay: the center may have read it from an arbiter that is recovering.
   */
  #known: VmRecord;
  #asks = 0;
  #pending: Ask | undefined;
  #intent: Member | undefined;
  #askedFirst: Micros = 0;
  #askAt: Micros = Number.POSITIVE_INFINITY;
  #mustRegister = false;
  /** The newest epoch heard of; registering in it is a promise to act on no older grant. */
  #epoch: number;

  constructor(port: ArbiterPort, vm: string, member: Member, record: VmRecord) {
    this.#port = port;
    this.#vm = vm;
    this.member = member;
    this.#record = record;
    this.#epoch = record.epoch;
    const named = sameMember(record.live, member) || sameMember(record.eligibleShadow, member);
    this.#known = named ? record : nothingKnown;
  }

  /** The last record that the arbiter is known to have had. */
  get record(): VmRecord {
    return this.#record;
  }

  get pending(): Operation | undefined {
    return this.#pending?.operation;
  }

  /** For how long the present ask has had no answer. */
  silentFor(now: Micros): Micros | undefined {
    return this.#pending === undefined ? undefined : now - this.#askedFirst;
  }

  /** A record heard from the primary, by a shadow: it has it from the arbiter. */
  learn(record: VmRecord): void {
    if (record.epoch < this.#epoch) return;
    this.#record = record;
    this.#known = record;
    this.#epoch = record.epoch;
  }

  /** The arbiter begins a new epoch and wants to hear what everybody knows. */
  recover(epoch: number): void {
    if (epoch < this.#epoch) return;
    this.#epoch = epoch;
    this.#port.ask(this.#registration());
  }

  ask(operation: Operation, now: Micros): void {
    assert(
      this.#pending === undefined,
      `${operation.kind} asked before ${this.pending?.kind} ended`,
    );
    if (operation.kind === 'makeEligible') this.#intent = operation.shadow;
    this.#asks++;
    const { epoch, generation } = this.#record;
    const claimId = `${this.member.process}:${this.#asks}`;
    const { member } = this;
    this.#pending = { vm: this.#vm, member, epoch, generation, claimId, operation };
    this.#askedFirst = now;
    this.#askAt = now;
    this.tick(now);
  }

  /** Sends what is due. @returns when to be called again */
  tick(now: Micros): Micros {
    if (this.#pending === undefined) return Number.POSITIVE_INFINITY;
    if (now < this.#askAt) return this.#askAt;
    this.#askAt = now + timing.askAgainMicros;
    if (this.#mustRegister) this.#port.ask(this.#registration());
    this.#port.ask(this.#pending);
    return this.#askAt;
  }

  /** An answer of the arbiter. @returns what has become certain, if anything has */
  receive(reply: Reply): Settled | undefined {
    const pending = this.#pending;
    if (reply.record !== undefined) {
      if (reply.record.epoch < this.#epoch) return undefined;
      this.#epoch = reply.record.epoch;
    }
    if (pending === undefined || reply.claimId !== pending.claimId) return undefined;
    if (!reply.granted && askAgain.includes(reply.refusal)) {
      this.#mustRegister = reply.refusal !== 'epoch';
      // Only the epoch is taken over, never the generation: whether that still holds is the question.
      if (reply.record !== undefined && !this.#mustRegister) {
        this.#pending = { ...pending, epoch: reply.record.epoch };
      }
      return undefined;
    }
    this.#mustRegister = false;
    this.#pending = undefined;
    this.#askAt = Number.POSITIVE_INFINITY;
    if (reply.record !== undefined) this.#record = this.#known = reply.record;
    if (pending.operation.kind !== 'read') this.#intent = undefined;
    return { operation: pending.operation, granted: reply.granted, refusal: reply.refusal };
  }

  /** Twin of the arbiter's `register`: all that this copy knows. */
  #registration(): Ask {
    const claimId = `${this.member.process}:register`;
    const operation = { kind: 'register', known: this.#known, intent: this.#intent } as const;
    const { member } = this;
    return { vm: this.#vm, member, epoch: this.#epoch, generation: 0, claimId, operation };
  }
}
