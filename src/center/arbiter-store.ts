/**
 * The arbiter on SQLite: one entry per VM, each ask decided and stored in one transaction.
 *
 * From: `POST /arbiter`. To: the reply, after the commit is on the disk. The decision itself is
 * `lockstep/arbiter.ts`. Invariant: a reply that was sent is never forgotten; should the store have
 * forgotten one all the same (it is a restored backup), it begins a new epoch, in which nobody
 * becomes live before the hosts concerned have registered what they know
 * (docs/decisions/center-store.md).
 */
import { assert } from '../base/assert.ts';
import {
  type ArbiterEntry,
  type Ask,
  beginEpoch,
  decide,
  forgetHost,
  newRecord,
  type Reply,
  type VmRecord,
} from '../lockstep/arbiter.ts';
import type { Store } from './store.ts';

/** A decision that changed the record, told after it is durable. */
export interface Decision {
  readonly vm: string;
  readonly ask: Ask;
  readonly before: VmRecord;
  readonly after: VmRecord;
}

export class ArbiterStore {
  readonly #store: Store;
  /** Work that belongs into the transaction of a decision: events, wishes. */
  readonly #onDecision: (decision: Decision) => void;
  /** What is in the database, so that reads need not parse. */
  readonly #entries = new Map<string, ArbiterEntry>();
  #epoch: number;

  /** `isNewCluster`: there has never been a store; nobody can know better. */
  constructor(
    store: Store,
    isNewCluster: boolean,
    onDecision: (decision: Decision) => void = () => {},
  ) {
    this.#store = store;
    this.#onDecision = onDecision;
    for (const row of store.all<{ vm: string; entry: string }>('SELECT vm, entry FROM arbiter')) {
      this.#entries.set(row.vm, JSON.parse(row.entry) as ArbiterEntry);
    }
    this.#epoch = Number(store.meta('epoch') ?? '0');
    if (isNewCluster) store.transaction(() => this.#setEpoch(1));
    else if (store.isRestored) this.newEpoch();
    store.adoptCounter();
  }

  get epoch(): number {
    return this.#epoch;
  }

  entry(vm: string): ArbiterEntry | undefined {
    return this.#entries.get(vm);
  }

  /** The record, unless the arbiter itself is not sure of it. */
  certain(vm: string): VmRecord | undefined {
    const entry = this.#entries.get(vm);
    return entry?.recovery === undefined ? entry?.record : undefined;
  }

  /** Within the transaction that creates the VM. */
  create(vm: string): void {
    this.#put(vm, newRecord(this.#epoch, []));
  }

  /** Within the transaction that deletes it; nothing may be live. */
  remove(vm: string): void {
    this.#store.run('DELETE FROM arbiter WHERE vm = ?', vm);
    this.#entries.delete(vm);
  }

  /** Where a VM that never ran is to start: its empty disks are made there. */
  place(vm: string, host: string): void {
    const entry = this.#entries.get(vm)!;
    assert(isUnused(entry.record), `${vm} has a history: its place is the arbiter's business`);
    const record = { ...entry.record, currentReplicas: [host] };
    this.#store.transaction(() => this.#put(vm, { ...entry, record }));
  }

  ask(ask: Ask): Reply {
    const entry = this.#entries.get(ask.vm);
    if (entry === undefined) {
      const { vm, claimId } = ask;
      return { vm, claimId, granted: false, refusal: 'unknown-vm', record: undefined };
    }
    this.#noticeForgotten(ask, entry.record);
    return this.#decide(ask);
  }

  #decide(ask: Ask): Reply {
    const entry = this.#entries.get(ask.vm)!;
    const { entry: next, reply } = decide(entry, ask);
    if (next === entry) return reply;
    this.#store.transaction(() => {
      this.#put(ask.vm, next);
      this.#store.countDecision();
      if (reply.granted) {
        this.#onDecision({ vm: ask.vm, ask, before: entry.record, after: next.record });
      }
    });
    this.#store.repeatCount();
    return reply;
  }

  /**
   * An asker is told generations by this arbiter alone. One that knows a later one than the record
   * proves that the store has been put back.
   */
  #noticeForgotten(ask: Ask, record: VmRecord): void {
    if (ask.epoch === record.epoch && ask.generation > record.generation) this.newEpoch();
    if (ask.epoch > this.#epoch) this.newEpoch(ask.epoch);
  }

  /** Every record is uncertain until those who may know better have registered. */
  newEpoch(beyond = 0): void {
    const epoch = Math.max(this.#epoch + 1, beyond + 1, epochOfNow());
    this.#store.transaction(() => {
      for (const [vm, entry] of this.#entries) this.#put(vm, beginEpoch(entry, epoch));
      this.#setEpoch(epoch);
    });
  }

  /** The operator says that nothing of this host runs any more, for good. */
  forgetHost(host: string): void {
    this.#store.transaction(() => {
      for (const [vm, entry] of this.#entries) {
        const next = forgetHost(entry, host);
        if (next !== entry) this.#put(vm, next);
      }
    });
  }

  #setEpoch(epoch: number): void {
    this.#store.setMeta('epoch', String(epoch));
    this.#epoch = epoch;
  }

  #put(vm: string, entry: ArbiterEntry): void {
    this.#store.run(
      'INSERT OR REPLACE INTO arbiter (vm, entry) VALUES (?, ?)',
      vm,
      JSON.stringify(entry),
    );
    this.#entries.set(vm, entry);
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
