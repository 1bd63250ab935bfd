/**
 * What a host durably knows about one machine at the arbiter, and what it has promised.
 *
 * From: the asks of its copies and the replies they get, all of which pass through here. To: the
 * registrations in a new epoch, also for copies that have ended. Pure state: the host stores `saved`
 * durably before the ask leaves, and before a reply is given to the copy.
 *
 * Invariant: nothing that was granted to a copy of this host and acted upon is missing from a later
 * registration, and nothing granted before a registration is acted upon after it.
 */
import type { Ask, Member, Reply, VmRecord } from './arbiter.ts';

export interface SavedKnowledge {
  readonly known: VmRecord | undefined;
  /** Whom a copy of this host may have asked to make eligible, not having seen the answer. */
  readonly intent: Member | undefined;
  /** The newest epoch in which this host has registered. */
  readonly promised: number;
}

export class ArbiterKnowledge {
  saved: SavedKnowledge;

  constructor(saved: SavedKnowledge = { known: undefined, intent: undefined, promised: 0 }) {
    this.saved = saved;
  }

  /** @returns the ask to send, once `saved` is stored */
  asking(ask: Ask): Ask {
    const { operation } = ask;
    if (operation.kind === 'makeEligible') {
      this.saved = { ...this.saved, intent: operation.shadow };
    } else if (operation.kind === 'register') {
      this.saved = { ...this.saved, promised: Math.max(this.saved.promised, ask.epoch) };
      const known = newer(this.saved.known, operation.known);
      const intent = operation.intent ?? this.saved.intent;
      return { ...ask, operation: { kind: 'register', known, intent } };
    }
    return ask;
  }

  /** @returns whether to give the reply to the copy, once `saved` is stored */
  replied(reply: Reply): boolean {
    const { record, granted } = reply;
    if (record === undefined) return true;
    if (record.epoch < this.saved.promised) return false;
    if (granted) this.saved = { ...this.saved, known: newer(this.saved.known, record) };
    return true;
  }

  /** For a machine of which no process lives here; undefined if this host knows nothing of it. */
  registration(vm: string, host: string, epoch: number): Ask | undefined {
    const { known } = this.saved;
    if (known === undefined) return undefined;
    const member = { host, process: 'daemon' };
    const claimId = `${host}:register`;
    const operation = { kind: 'register', known, intent: undefined } as const;
    return this.asking({ vm, member, epoch, generation: 0, claimId, operation });
  }
}

function newer(a: VmRecord | undefined, b: VmRecord): VmRecord {
  if (a === undefined || b.epoch > a.epoch) return b;
  return b.epoch === a.epoch && b.generation > a.generation ? b : a;
}
