/**
 * The arbiter at the center: one entry per VM in the store, each ask decided by compare-and-swap.
 *
 * From: `POST /arbiter`, at any center. To: the reply, after the decision is durable. The decision
 * itself is `lockstep/arbiter.ts`. Invariant: a reply that was sent is never forgotten; should the
 * store have forgotten one all the same (it is a restored backup), it begins a new epoch, in which
 * nobody becomes live before the hosts concerned have registered what they know
 * (docs/decisions/center-store.md).
 */
import {
  type ArbiterEntry,
  type Ask,
  beginEpoch,
  decide,
  forgetHost,
  newRecord,
  type Reply,
  type SharedDisks,
  type VmRecord,
} from '../lockstep/arbiter.ts';
import type { ArbiterRecords } from './store/store.ts';

export class Arbiter {
  readonly #records: ArbiterRecords;
  readonly #hosts: () => readonly string[];

  /** @param hosts all that there are, by id */
  constructor(records: ArbiterRecords, hosts: () => readonly string[] = () => []) {
    this.#records = records;
    this.#hosts = hosts;
  }

  /** Before the first ask. `isNewCluster`: there has never been a store; nobody can know better. */
  async open(isNewCluster: boolean): Promise<void> {
    if (isNewCluster) await this.#records.beginEpoch(1);
    else if (this.#records.mayHaveForgotten) await this.newEpoch();
  }

  get epoch(): number {
    return this.#records.epoch;
  }

  entry(vm: string): ArbiterEntry | undefined {
    return this.#records.entry(vm);
  }

  /** The record, unless the arbiter itself is not sure of it. */
  certain(vm: string): VmRecord | undefined {
    const entry = this.#records.entry(vm);
    return entry?.recovery === undefined ? entry?.record : undefined;
  }

  /**
   * Before anybody can know of the VM. `currentReplicas`: where disks of it are already; `shared`:
   * they are on a datastore, there already if they have a name.
   */
  async create(
    vm: string,
    currentReplicas: readonly string[] = [],
    shared?: SharedDisks,
  ): Promise<void> {
    await this.#change(vm, () => newRecord(this.epoch, currentReplicas, shared));
  }

  /** @returns false if it is live */
  async remove(vm: string): Promise<boolean> {
    const last = await this.#change(vm, (entry) =>
      entry?.record.state === 'live' ? entry : undefined,
    );
    return last === undefined;
  }

  async ask(ask: Ask): Promise<Reply> {
    for (;;) {
      // A reply may rest on nothing that another center has changed meanwhile.
      const before = await this.#records.read(ask.vm);
      if (before === undefined) {
        const { vm, claimId } = ask;
        return { vm, claimId, granted: false, refusal: 'unknown-vm', record: undefined };
      }
      if (await this.#noticeForgotten(ask, before.record)) continue;
      const { entry: after, reply } = decide(before, ask);
      if (after === before) return reply;
      if (await this.#records.change(ask.vm, before, after)) return reply;
    }
  }

  /**
   * An asker is told generations by this arbiter alone. One that knows a later one than the record
   * proves that the store has been put back. @returns whether a new epoch has begun
   */
  async #noticeForgotten(ask: Ask, record: VmRecord): Promise<boolean> {
    const isLater = ask.epoch === record.epoch && ask.generation > record.generation;
    if (!isLater && ask.epoch <= this.epoch) return false;
    await this.newEpoch(ask.epoch > this.epoch ? ask.epoch : 0);
    return true;
  }

  /**
   * Every record is uncertain until those who may know better have registered. The store's own
   * epoch comes last: whoever is interrupted begins again.
   */
  async newEpoch(beyond = 0): Promise<void> {
    const epoch = Math.max(this.epoch + 1, beyond + 1, epochOfNow());
    const hosts = this.#hosts();
    for (const vm of this.#records.vms()) {
      await this.#change(vm, (entry) =>
        entry === undefined || entry.record.epoch >= epoch
          ? entry
          : beginEpoch(entry, epoch, hosts),
      );
    }
    await this.#records.beginEpoch(epoch);
  }

  /** The operator says that nothing of this host runs any more, for good. */
  async forgetHost(host: string): Promise<void> {
    for (const vm of this.#records.vms()) {
      await this.#change(vm, (entry) => entry && forgetHost(entry, host));
    }
  }

  async #change(
    vm: string,
    next: (entry: ArbiterEntry | undefined) => ArbiterEntry | undefined,
  ): Promise<ArbiterEntry | undefined> {
    for (;;) {
      const before = await this.#records.read(vm);
      const after = next(before);
      if (after === before || (await this.#records.change(vm, before, after))) return after;
    }
  }
}

/** Nothing of the VM was ever powered on. */
export const isUnused = (record: VmRecord): boolean => record.generation === 0;

/**
 * Two restores of one backup must not begin the same epoch twice, so epochs jump ahead to the
 * number of ten-minute steps since 2026. Safety needs only that they differ; switches give an
 * epoch 21 bits (network/switch.ts), enough for forty years.
 */
function epochOfNow(): number {
  return Math.max(0, Math.floor((Date.now() - Date.UTC(2026)) / 600_000));
}
