/**
 * The store of a single center: one SQLite database, and a counter beside it that betrays a restored
 * backup.
 *
 * Invariant: what a commit has made true is on the disk before anybody is told (`synchronous=FULL`,
 * write-ahead log). The database counts the arbiter's decisions; `decisions` beside it repeats the
 * count, written after the commit and before the reply. A database whose count is below the file's,
 * or whose file is not the one it remembers (another inode: the folder was copied), has forgotten
 * decisions, and a new epoch begins (docs/decisions/center-store.md).
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import type { EventView } from '../../api/views.ts';
import { UmbraError } from '../../base/errors.ts';
import type { ArbiterEntry } from '../../lockstep/arbiter.ts';
import { DecisionCounter } from './decision-counter.ts';
import { Records } from './records.ts';
import type { ArbiterRecords, EventDraft, EventQuery, Store } from './store.ts';
import type { Change } from './tables.ts';

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
  `CREATE TABLE records (
     "table" TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY ("table", key)
   ) STRICT;
   INSERT INTO records SELECT 'meta', name, json_quote(value) FROM meta;
   INSERT INTO records
     SELECT 'joinTokens', hash, json_object('made', made, 'usedBy', used_by) FROM join_tokens;
   INSERT INTO records SELECT 'apiTokens', hash, json_object('role', role) FROM api_tokens;
   INSERT INTO records SELECT 'daemons', id, entry FROM daemons;
   INSERT INTO records SELECT 'vms', id, entry FROM vms ORDER BY number;
   INSERT INTO records SELECT 'arbiterSeen', vm, json_extract(entry, '$.record') FROM arbiter;
   DROP TABLE meta; DROP TABLE join_tokens; DROP TABLE api_tokens; DROP TABLE daemons;
   DROP TABLE vms;`,
];

/** Older events are forgotten; about a year of a busy cluster. */
const eventsMax = 100_000;

interface EventRow {
  readonly sequence: number;
  readonly time: string;
  readonly kind: string;
  readonly text: string;
  readonly data: string;
}

export class EmbeddedStore extends Records implements Store, ArbiterRecords {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #counter: DecisionCounter;
  readonly #onFailure: (error: unknown) => void;
  readonly #entries = new Map<string, ArbiterEntry>();
  onChange: (vm: string) => void = () => {};

  /**
   * Opens or creates. `onFailure`: the disk has failed in the middle of a change, and what is in
   * memory cannot be believed any more: the process must end.
   */
  constructor(directory: string, onFailure: (error: unknown) => void = () => {}) {
    super();
    this.#onFailure = onFailure;
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      this.#counter = new DecisionCounter(join(directory, 'decisions'));
      this.#database = new DatabaseSync(join(directory, 'center.db'));
      this.#database.exec(
        `PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         PRAGMA foreign_keys=ON;`,
      );
      this.#migrate();
      this.#load();
      // A crash between the commit and the file.
      if (!this.mayHaveForgotten) this.#repeatCount();
    } catch (cause) {
      throw openError(directory, cause as Error);
    }
  }

  // --- records

  transaction<T>(act: () => T): T {
    if (this.tables.inTransaction) return act();
    this.#database.exec('BEGIN IMMEDIATE');
    const commit = (changes: readonly Change[]) => {
      for (const change of changes) this.#write(change);
      this.#database.exec('COMMIT');
    };
    try {
      return this.tables.transaction(act, commit, this.#onFailure);
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  /** A transaction that has returned is on the disk. */
  async settled(): Promise<void> {}

  #write({ table, key, value }: Change): void {
    if (value === undefined) {
      this.#run('DELETE FROM records WHERE "table" = ? AND key = ?', table, key);
      return;
    }
    this.#run(
      `INSERT INTO records ("table", key, value) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET value = excluded.value`,
      table,
      key,
      JSON.stringify(value),
    );
  }

  // --- events

  appendEvent(event: EventDraft): EventView {
    return this.transaction(() => {
      const { time, kind, text, data } = event;
      const row = this.#prepare(
        'INSERT INTO events (time, kind, vm, text, data) VALUES (?, ?, ?, ?, ?) RETURNING sequence',
      ).get(time, kind, (data['vm'] as string | undefined) ?? null, text, JSON.stringify(data));
      const { sequence } = row as { sequence: number };
      this.#run('DELETE FROM events WHERE sequence <= ?', sequence - eventsMax);
      return { ...event, sequence };
    });
  }

  events({ after, before, limit, vm, last }: EventQuery): readonly EventView[] {
    const rows = this.#prepare(
      `SELECT sequence, time, kind, text, data FROM events
       WHERE sequence > ?1 AND sequence < ?4 AND (?2 IS NULL OR vm = ?2)
       ORDER BY sequence ${last ? 'DESC' : 'ASC'} LIMIT ?3`,
    ).all(after, vm ?? null, limit, before ?? Number.MAX_SAFE_INTEGER) as unknown as EventRow[];
    if (last) rows.reverse();
    return rows.map(({ data, ...rest }) => ({
      ...rest,
      data: JSON.parse(data) as Record<string, unknown>,
    }));
  }

  // --- the arbiter

  get arbiter(): ArbiterRecords {
    return this;
  }

  entry(vm: string): ArbiterEntry | undefined {
    return this.#entries.get(vm);
  }

  vms(): readonly string[] {
    return [...this.#entries.keys()];
  }

  async read(vm: string): Promise<ArbiterEntry | undefined> {
    return this.#entries.get(vm);
  }

  async change(
    vm: string,
    before: ArbiterEntry | undefined,
    after: ArbiterEntry | undefined,
  ): Promise<boolean> {
    if (this.#entries.get(vm) !== before) return false;
    this.transaction(() => {
      this.#putEntry(vm, after);
      this.next('decisions');
    });
    this.#repeatCount();
    if (after === undefined) this.#entries.delete(vm);
    else this.#entries.set(vm, after);
    this.onChange(vm);
    return true;
  }

  #putEntry(vm: string, entry: ArbiterEntry | undefined): void {
    if (entry === undefined) this.#run('DELETE FROM arbiter WHERE vm = ?', vm);
    else {
      const text = JSON.stringify(entry);
      this.#run('INSERT OR REPLACE INTO arbiter (vm, entry) VALUES (?, ?)', vm, text);
    }
  }

  get epoch(): number {
    return Number(this.get<string>('meta', 'epoch') ?? '0');
  }

  get mayHaveForgotten(): boolean {
    const known = this.get<string>('meta', 'decisions');
    if (known === undefined) return true;
    const isOwn = this.get('meta', 'counter-file') === this.#counter.identity;
    return !isOwn || Number(known) < this.#counter.value;
  }

  /** What may have been forgotten is the new epoch's business: the file is the database's own now. */
  async beginEpoch(epoch: number): Promise<void> {
    this.transaction(() => {
      this.put('meta', 'epoch', String(epoch));
      this.put('meta', 'counter-file', this.#counter.identity);
      this.next('decisions');
    });
    this.#repeatCount();
  }

  #repeatCount(): void {
    this.#counter.write(Number(this.get<string>('meta', 'decisions')));
  }

  backup(file: string): void {
    this.#database.prepare('VACUUM INTO ?').run(file);
  }

  /** There is no other center on it: the database is locked. */
  readonly leads = true;
  readonly leaderUrl = undefined;
  readonly centerUrls: readonly string[] = [];

  async close(): Promise<void> {
    this.#database.close();
    this.#counter.close();
  }

  // --- SQL

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#prepare(sql).run(...values);
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #load(): void {
    const records = this.#database.prepare(
      'SELECT "table", key, value FROM records ORDER BY rowid',
    );
    for (const row of records.all() as unknown as (Change & { value: string })[]) {
      this.tables.load({ ...row, value: JSON.parse(row.value) });
    }
    const entries = this.#database.prepare('SELECT vm, entry FROM arbiter');
    for (const { vm, entry } of entries.all() as unknown as { vm: string; entry: string }[]) {
      this.#entries.set(vm, JSON.parse(entry) as ArbiterEntry);
    }
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
