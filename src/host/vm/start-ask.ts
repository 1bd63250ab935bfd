/**
 * What a process settles with the arbiter before there is a copy: that it may start the VM, or what
 * the record says. One operation at a time, asked until it is answered.
 *
 * An arbiter whose store is new or restored says `recovering`: then this host registers what it
 * knows, as the copies do that run (lockstep/membership.ts), and asks again.
 */
import { randomBytes } from 'node:crypto';
import { UmbraError } from '../../base/errors.ts';
import type { Member, Operation, Reply, VmRecord } from '../../lockstep/arbiter.ts';
import type { ArbiterPort } from '../../lockstep/ports.ts';

const askAgainMs = 250;

/** What a process knows that has heard nothing; its host may know more, and adds it. */
export const unheard: VmRecord = {
  epoch: 0,
  generation: 0,
  state: 'stopped',
  live: undefined,
  eligibleShadow: undefined,
  currentReplicas: [],
  claimId: '',
};

export interface StartOrder {
  readonly fenced: boolean;
  readonly acceptStale: boolean;
  readonly discardState?: boolean;
  /** The saved state from which the machine has been read. */
  readonly restore?: string;
  /** Of a VM on a datastore: see `Operation`. */
  readonly disks?: string | undefined;
  readonly leaseMs?: number | undefined;
  readonly lapsed?: string | undefined;
}

export class StartAsk {
  readonly #port: ArbiterPort;
  readonly #vm: string;
  readonly #member: Member;
  #waiting: ((reply: Reply) => void) | undefined;

  constructor(port: ArbiterPort, vm: string, member: Member) {
    this.#port = port;
    this.#vm = vm;
    this.#member = member;
  }

  read(): Promise<VmRecord> {
    return this.#settle(unheard, { kind: 'read' });
  }

  /**
   * @param record what `read` has told
   * @throws start-already-live, start-stale-replica and the like
   */
  start(record: VmRecord, order: StartOrder): Promise<VmRecord> {
    return this.#settle(record, { kind: 'start', ...order });
  }

  /** The VM is what has been put into this saved state. @throws revert-already-live and the like */
  async revert(saved: string, fenced: boolean, lapsed?: string): Promise<VmRecord> {
    return this.#settle(await this.read(), { kind: 'revert', saved, fenced, lapsed });
  }

  replied(reply: Reply): void {
    this.#waiting?.(reply);
  }

  /** The claim has a name of its own, which no other ask of this process repeats. */
  #settle({ epoch, generation }: VmRecord, operation: Operation): Promise<VmRecord> {
    const [vm, member] = [this.#vm, this.#member];
    const claimId = randomBytes(16).toString('hex');
    const ask = { vm, member, epoch, generation, claimId, operation };
    return new Promise((resolve, reject) => {
      const again = setInterval(() => this.#port.ask(ask), askAgainMs);
      this.#waiting = (reply) => {
        if (reply.claimId !== claimId) return;
        if (reply.refusal === 'recovering') return this.#register(reply.record);
        clearInterval(again);
        this.#waiting = undefined;
        if (reply.granted && reply.record !== undefined) resolve(reply.record);
        else reject(refused(operation.kind, reply.refusal ?? 'refused', reply.record));
      };
      this.#port.ask(ask);
    });
  }

  #register(recovering: VmRecord | undefined): void {
    const { epoch, generation } = recovering ?? unheard;
    const [vm, member] = [this.#vm, this.#member];
    const claimId = `${member.process}:register`;
    const operation = { kind: 'register', known: unheard, intent: undefined } as const;
    this.#port.ask({ vm, member, epoch, generation, claimId, operation });
  }
}

function refused(what: string, refusal: string, record: VmRecord | undefined): UmbraError {
  const live = record?.live?.host ?? 'another host';
  const texts: Record<string, [message: string, remedy: string]> = {
    'already-live': [
      `The VM is live on ${live} already.`,
      'Stop it there first; a VM never runs twice.',
    ],
    'stale-replica': [
      "This host's disks lack writes that the world was told of.",
      `Start the VM on ${record?.currentReplicas.join(' or ')}, or accept stale disks.`,
    ],
    'saved-state': [
      `The VM is suspended, and its saved state is on ${record?.saved?.host ?? 'another host'}.`,
      'Start it there, or give up what is saved: umbra vm start NAME --discard-state.',
    ],
    'lease-renewed': [
      `The copy of the VM on ${live} has renewed its lease meanwhile.`,
      'Nothing is to be done: the VM runs there.',
    ],
    'not-ordered': ['The center has given this up meanwhile.', 'See umbra task list.'],
  };
  const [message, remedy] = texts[refusal] ?? [
    `The arbiter refused the ${what}: ${refusal}.`,
    'Look at the events of the VM.',
  ];
  return new UmbraError(`${what}-${refusal}`, message, remedy);
}
