/**
 * The records of a store in memory, with what a transaction needs to undo or to write down.
 *
 * From: put and remove. To: reads, and the list of changes that the store makes durable.
 */
import { assert } from '../../base/assert.ts';
import { UmbraError } from '../../base/errors.ts';
import { type Table, tables } from './store.ts';

/** `value` undefined: removed. */
export interface Change {
  readonly table: Table;
  readonly key: string;
  readonly value: unknown;
}

export class Tables {
  readonly #records = new Map<Table, Map<string, unknown>>(tables.map((name) => [name, new Map()]));
  /** What was there before, newest last; undefined outside of transactions. */
  #undo: Change[] | undefined;
  #changes: Change[] = [];

  get inTransaction(): boolean {
    return this.#undo !== undefined;
  }

  get<T>(table: Table, key: string): T | undefined {
    return this.#records.get(table)!.get(key) as T | undefined;
  }

  all<T>(table: Table): T[] {
    return [...this.#records.get(table)!.values()] as T[];
  }

  /** Within a transaction. */
  put(table: Table, key: string, value: unknown): void {
    assert(this.#undo !== undefined, 'a change outside of a transaction');
    this.#undo.push({ table, key, value: this.get(table, key) });
    this.#changes.push({ table, key, value });
    this.load({ table, key, value });
  }

  /** What comes from the store itself. */
  load({ table, key, value }: Change): void {
    const records = this.#records.get(table);
    if (value === undefined) records?.delete(key);
    else records?.set(key, value);
  }

  clear(): void {
    for (const records of this.#records.values()) records.clear();
  }

  /**
   * Runs `act` and hands its changes over; if either throws, they are undone.
   * @param onFailure called with anything but a refusal
   */
  transaction<T>(
    act: () => T,
    commit: (changes: readonly Change[]) => void,
    onFailure: (error: unknown) => void,
  ): T {
    assert(this.#undo === undefined, 'a transaction within a transaction');
    this.#undo = [];
    this.#changes = [];
    try {
      const result = act();
      commit(this.#changes);
      return result;
    } catch (error) {
      for (const former of this.#undo.reverse()) this.load(former);
      if (!(error instanceof UmbraError)) onFailure(error);
      throw error;
    } finally {
      this.#undo = undefined;
    }
  }
}
