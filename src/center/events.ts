/**
 * What has happened, for people and scripts: numbered without gaps in meaning (later is larger),
 * kept in the store. Kinds follow the reference's own events (FACTS 3).
 */
import type { EventView } from '../api/views.ts';
import type { Store } from './store.ts';

export type EventKind =
  | 'host-joined'
  | 'host-connected'
  | 'host-not-responding'
  | 'host-removed'
  | 'vm-created'
  | 'vm-deleted'
  | 'vm-powered-on'
  | 'vm-powered-off'
  | 'vm-suspended'
  | 'vm-resumed'
  | 'vm-snapshot-taken'
  | 'vm-snapshot-deleted'
  | 'vm-reverted'
  | 'vm-cloned'
  | 'vm-exported'
  | 'vm-resized'
  | 'vm-reset'
  | 'vm-ended'
  | 'vm-restarted'
  | 'ft-enabled'
  | 'ft-disabled'
  | 'ft-state-changed'
  | 'ft-shadow-added'
  | 'ft-shadow-started'
  | 'ft-shadow-lost'
  | 'ft-primary-failover'
  | 'ft-test-failover'
  | 'ft-divergence'
  | 'ft-report'
  | 'command-failed'
  | 'arbiter-new-epoch';

/** `vm` is the VM's name. */
export type EventData = Readonly<Record<string, unknown>> & { readonly vm?: string };

interface Row {
  readonly sequence: number;
  readonly time: string;
  readonly kind: string;
  readonly text: string;
  readonly data: string;
}

/** Older ones are forgotten; about a year of a busy cluster. */
const keptMax = 100_000;

export class Events {
  readonly #store: Store;
  readonly #listener: (event: EventView) => void;

  constructor(store: Store, listener: (event: EventView) => void = () => {}) {
    this.#store = store;
    this.#listener = listener;
  }

  add(kind: EventKind, text: string, data: EventData = {}): void {
    const time = new Date().toISOString();
    const row = this.#store.get<{ sequence: number }>(
      'INSERT INTO events (time, kind, vm, text, data) VALUES (?, ?, ?, ?, ?) RETURNING sequence',
      time,
      kind,
      data.vm ?? null,
      text,
      JSON.stringify(data),
    )!;
    this.#store.run('DELETE FROM events WHERE sequence <= ?', row.sequence - keptMax);
    this.#listener({ sequence: row.sequence, time, kind, text, data });
  }

  list(after: number, limit: number, vm: string | undefined): EventView[] {
    const rows = this.#store.all<Row>(
      `SELECT sequence, time, kind, text, data FROM events
       WHERE sequence > ?1 AND (?2 IS NULL OR vm = ?2) ORDER BY sequence LIMIT ?3`,
      after,
      vm ?? null,
      limit,
    );
    return rows.map(({ data, ...rest }) => ({
      ...rest,
      data: JSON.parse(data) as Record<string, unknown>,
    }));
  }
}
