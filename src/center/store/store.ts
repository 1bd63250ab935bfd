/**
 * What the center remembers: records by table and key, events, and the arbiter's entries.
 *
 * Records are plain data, read from memory and never changed in place. One center writes them, the
 * one that leads; with several centers on one store (etcd-store.ts) the others follow what it
 * writes. The arbiter's entries are different: every center decides asks, each change by
 * compare-and-swap, so that no failover waits for a leader.
 */
import type { EventView } from '../../api/views.ts';
import type { ArbiterEntry } from '../../lockstep/arbiter.ts';

export const tables = [
  'meta',
  'joinTokens',
  'apiTokens',
  'daemons',
  'vms',
  'arbiterSeen',
  'revoked',
  'alarms',
  'users',
  'sessions',
  'audit',
  'tasks',
  'replies',
] as const;
export type Table = (typeof tables)[number];

export type EventDraft = Omit<EventView, 'sequence'>;

export interface EventQuery {
  /** Only events with a larger sequence number. */
  readonly after: number;
  /** Only events with a smaller one. */
  readonly before?: number;
  readonly limit: number;
  /** The last ones of them instead of the first ones. */
  readonly last?: boolean;
  /** Only events of the VM of this name. */
  readonly vm?: string;
}

export interface Store {
  get<T>(table: Table, key: string): T | undefined;
  /** All records of a table, in the order in which their keys came first. */
  all<T>(table: Table): readonly T[];
  put(table: Table, key: string, value: unknown): void;
  /** @returns whether there was one */
  remove(table: Table, key: string): boolean;
  /** A number that is never given twice, from 1. */
  next(counter: string): number;

  appendEvent(event: EventDraft): EventView;
  /** Oldest first. */
  events(query: EventQuery): readonly EventView[];

  /**
   * All changes of `act` or none. Those of an `act` that throws are undone; only an `UmbraError` is
   * a reason, anything else is a failure of the store or a bug.
   */
  transaction<T>(act: () => T): T;
  /**
   * Resolves when everything that transactions have changed so far would survive this process.
   * Nobody may be told before. Rejects if it never will: this center leads no more.
   */
  settled(): Promise<void>;

  readonly arbiter: ArbiterRecords;

  /** A copy of everything as it is now, as one file. Refused where the store has its own ways. */
  backup(file: string): void;

  /** Whether this center may change records. */
  readonly leads: boolean;
  /** Where the center that leads is reached, if there is one and it is another one. */
  readonly leaderUrl: string | undefined;
  /** Of all centers on this store, if there are several. */
  readonly centerUrls: readonly string[];
  close(): Promise<void>;
}

export interface ArbiterRecords {
  /** As this center knows it; another may have changed it a moment ago. */
  entry(vm: string): ArbiterEntry | undefined;
  vms(): readonly string[];
  /** As it certainly is between the call and its answer; `epoch` as well. */
  read(vm: string): Promise<ArbiterEntry | undefined>;
  /**
   * Puts `after` in the place of `before`, the very object that was read, if it still is there;
   * durable then. undefined: no entry. @returns false if somebody else was first
   */
  change(
    vm: string,
    before: ArbiterEntry | undefined,
    after: ArbiterEntry | undefined,
  ): Promise<boolean>;
  /** 0: a new store that has not begun one. */
  readonly epoch: number;
  /** The epoch of the store from now on. */
  beginEpoch(epoch: number): Promise<void>;
  /** Whether decisions may have been forgotten: this is a restored backup, or a copy. */
  readonly mayHaveForgotten: boolean;
  /** Told after a change, by whichever center, before its asker hears of it. */
  onChange: (vm: string) => void;
}
