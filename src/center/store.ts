/**
 * The center's store: one SQLite database, and a counter beside it that betrays a restored backup.
 *
 * Invariant: what a commit has made true is on the disk before anybody is told (`synchronous=FULL`,
 * write-ahead log). The database counts its arbiter decisions; `decisions` beside it repeats the
 * count, written after the commit and before the reply. A database whose count is below the file's,
 * or whose file is not the one it remembers (another inode: the folder was copied), has forgotten
 * decisions, and a new epoch begins (docs/decisions/center-store.md).
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { assert } from '../base/assert.ts';
import { UmbraError } from '../base/errors.ts';

/** Each string brings the schema one version further; `user_version` says how far it is. */
const migrations = [
  `CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
   CREATE TABLE join_tokens (
     hash TEXT PRIMARY KEY, made TEXT NOT NULL, used_by TEXT
   ) STRICT;
   CREATE TABLE api_tokens (hash TEXT PRIMARY KEY, role TEXT NOT NULL) STRICT;
   CREATE TABLE daemons (
     id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, entry TEXT NOT NULL
   ) STRICT;
   CREATE TABLE vms (
     id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, number INTEGER NOT NULL UNIQUE,
     entry TEXT NOT NULL
   ) STRICT;
   CREATE TABLE arbiter (vm TEXT PRIMARY KEY, entry TEXT NOT NULL) STRICT;
   CREATE TABLE events (
     sequence INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, kind TEXT NOT NULL,
     vm TEXT, text TEXT NOT NULL, data TEXT NOT NULL
   ) STRICT;
   CREATE INDEX events_of_vm ON events (vm, sequence);`,
];

export class Store {
  readonly directory: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #counter: DecisionCounter;
  readonly #onFailure: (error: unknown) => void;
  #inTransaction = false;

  /**
   * Opens or creates. `isRestored` tells whether decisions may have been forgotten.
   * `onFailure`: the disk has failed in the middle of a change, and what is in memory cannot be
   * believed any more: the process must end.
   */
  constructor(directory: string, onFailure: (error: unknown) => void = () => {}) {
    this.directory = directory;
    this.#onFailure = onFailure;
    const file = join(directory, 'center.db');
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      this.#counter = new DecisionCounter(join(directory, 'decisions'));
      this.#database = new DatabaseSync(file);
      this.#database.exec(
        `PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         PRAGMA foreign_keys=ON;`,
      );
      this.#migrate();
    } catch (cause) {
      throw openError(directory, cause as Error);
    }
  }

  all<Row>(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#prepare(sql).all(...values) as Row[];
  }

  get<Row>(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#prepare(sql).get(...values) as Row | undefined;
  }

  /** @returns how many rows were changed */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#prepare(sql).run(...values).changes);
  }

  /**
   * All of it or nothing; on the disk when this returns. `act` may refuse with an `UmbraError`,
   * before it has changed anything.
   */
  transaction<T>(act: () => T): T {
    if (this.#inTransaction) return act();
    this.#database.exec('BEGIN IMMEDIATE');
    this.#inTransaction = true;
    try {
      const result = act();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      if (!(error instanceof UmbraError)) this.#onFailure(error);
      this.#database.exec('ROLLBACK');
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  /** A number that is never given twice, from 1. */
  next(name: string): number {
    const value = Number(this.meta(name) ?? '0') + 1;
    this.setMeta(name, String(value));
    return value;
  }

  meta(name: string): string | undefined {
    return this.get<{ value: string }>('SELECT value FROM meta WHERE name = ?', name)?.value;
  }

  setMeta(name: string, value: string): void {
    this.run('INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)', name, value);
  }

  /** Within the transaction of a decision. */
  countDecision(): void {
    assert(this.#inTransaction, 'a decision outside a transaction');
    this.next('decisions');
  }

  /** After that transaction and before anybody learns of it. */
  repeatCount(): void {
    this.#counter.write(Number(this.meta('decisions') ?? '0'));
  }

  /** Whether this is a new store or one that may have forgotten decisions. */
  get isRestored(): boolean {
    const known = this.meta('decisions');
    if (known === undefined) return true;
    return (
      this.meta('counter-file') !== this.#counter.identity || Number(known) < this.#counter.value
    );
  }

  /** From now on this file is the database's own. */
  adoptCounter(): void {
    this.transaction(() => {
      this.setMeta('counter-file', this.#counter.identity);
      this.setMeta('decisions', this.meta('decisions') ?? '0');
    });
    this.repeatCount();
  }

  close(): void {
    this.#database.close();
    this.#counter.close();
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #migrate(): void {
    const row = this.#database.prepare('PRAGMA user_version').get() as { user_version: number };
    if (row.user_version > migrations.length) {
      throw new UmbraError(
        'store-newer',
        `the store was written by a newer version of Umbra (schema ${row.user_version})`,
        'Start that version, or a newer one.',
      );
    }
    for (const [index, sql] of migrations.entries()) {
      if (index < row.user_version) continue;
      this.#database.exec(`BEGIN; ${sql} PRAGMA user_version = ${index + 1}; COMMIT;`);
    }
  }
}

/** A decimal number in one place of one file, overwritten in place and synced. */
class DecisionCounter {
  readonly #descriptor: number;
  readonly identity: string;
  value: number;

  constructor(file: string) {
    this.#descriptor = openSync(file, existsSync(file) ? 'r+' : 'w+', 0o600);
    const { dev, ino, birthtimeNs } = fstatSync(this.#descriptor, { bigint: true });
    this.identity = `${dev}:${ino}:${birthtimeNs}`;
    const bytes = Buffer.alloc(20);
    const read = readSync(this.#descriptor, bytes, 0, 20, 0);
    this.value = Number(bytes.toString('latin1', 0, read));
    // Unreadable is as good as foreign: the worst case is a new epoch that was not needed.
    if (!Number.isSafeInteger(this.value)) this.value = Number.MAX_SAFE_INTEGER;
  }

  write(value: number): void {
    if (value === this.value) return;
    writeSync(this.#descriptor, Buffer.from(String(value).padStart(20, '0')), 0, 20, 0);
    fdatasyncSync(this.#descriptor);
    this.value = value;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

function openError(directory: string, cause: Error & { code?: string }): UmbraError {
  if (cause instanceof UmbraError) return cause;
  if (/locked|busy/i.test(cause.message)) {
    return new UmbraError(
      'store-in-use',
      `another center is running on ${directory}`,
      'Stop it first, or give another folder with --data.',
      { cause },
    );
  }
  if (cause.code === 'ERR_SQLITE_ERROR' && !/unable to open|readonly/i.test(cause.message)) {
    return new UmbraError(
      'store-damaged',
      `the store in ${directory} cannot be read: ${cause.message}`,
      'Restore center.db from a backup; the center will notice and ask the hosts what they know.',
      { cause },
    );
  }
  return new UmbraError(
    'directory-unwritable',
    `the folder ${directory} cannot be used: ${cause.message}`,
    'Give a folder that this user may write, with --data.',
    { cause },
  );
}
