/** What all stores have alike: records in memory, changed within transactions. */
import type { Table } from './store.ts';
import { Tables } from './tables.ts';

export abstract class Records {
  protected readonly tables = new Tables();

  abstract transaction<T>(act: () => T): T;

  get<T>(table: Table, key: string): T | undefined {
    return this.tables.get(table, key);
  }

  all<T>(table: Table): readonly T[] {
    return this.tables.all(table);
  }

  put(table: Table, key: string, value: unknown): void {
    this.transaction(() => this.tables.put(table, key, value));
  }

  remove(table: Table, key: string): boolean {
    if (this.tables.get(table, key) === undefined) return false;
    this.transaction(() => this.tables.put(table, key, undefined));
    return true;
  }

  next(counter: string): number {
    return this.transaction(() => {
      const value = Number(this.get<string>('meta', counter) ?? '0') + 1;
      this.tables.put('meta', counter, String(value));
      return value;
    });
  }
}
