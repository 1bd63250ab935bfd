/**
 * Listens whether the arbiter has lost its memory: reads the record every few seconds, beside
 * lockstep's own asks, which it neither delays nor answers.
 *
 * A new epoch refuses everything until all concerned have registered (docs/decisions/arbiter.md). A
 * pair that wants nothing at the moment would never hear of it, and a failover then would have to
 * wait for the registration of a host that is gone. A reply that says `recovering` makes the copy
 * register; one that says nothing new is dropped.
 */
import type { Member, Reply, VmRecord } from '../../lockstep/arbiter.ts';
import type { ArbiterPort } from '../../lockstep/ports.ts';

const probeMs = 5_000;
/** While the arbiter recovers. */
const recoveringMs = 500;

export class EpochProbe {
  readonly #port: ArbiterPort;
  readonly #vm: string;
  readonly #member: Member;
  readonly #newest: () => Pick<VmRecord, 'epoch' | 'generation'>;
  readonly #recovers: (epoch: number) => void;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param newest that this host has heard of: one later than the arbiter's proves a loss
   * @param recovers the arbiter waits in this epoch for what everybody knows
   */
  constructor(
    port: ArbiterPort,
    vm: string,
    member: Member,
    newest: () => Pick<VmRecord, 'epoch' | 'generation'>,
    recovers: (epoch: number) => void,
  ) {
    this.#port = port;
    this.#vm = vm;
    this.#member = member;
    this.#newest = newest;
    this.#recovers = recovers;
  }

  start(): void {
    this.#again(probeMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** @returns whether the reply was the probe's */
  answers(reply: Reply): boolean {
    if (reply.claimId !== this.#claimId) return false;
    if (reply.refusal === 'recovering' && reply.record !== undefined) {
      this.#recovers(reply.record.epoch);
      if (this.#timer !== undefined) this.#again(recoveringMs);
    }
    return true;
  }

  get #claimId(): string {
    return `${this.#member.process}:probe`;
  }

  #again(afterMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#again(probeMs);
      const [vm, member, claimId] = [this.#vm, this.#member, this.#claimId];
      const operation = { kind: 'read' } as const;
      const { epoch, generation } = this.#newest();
      this.#port.ask({ vm, member, epoch, generation, claimId, operation });
    }, afterMs);
    this.#timer.unref();
  }
}
