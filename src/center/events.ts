/**
 * What has happened, for people and scripts: numbered without gaps in meaning (later is larger),
 * kept in the store. Kinds follow the reference's own events (FACTS 3).
 */
import type { EventView } from '../api/views.ts';
import type { EventQuery, Store } from './store/store.ts';

export type EventKind =
  | 'center-joined'
  | 'center-leads'
  | 'center-backed-up'
  | 'host-joined'
  | 'host-connected'
  | 'host-not-responding'
  | 'host-removed'
  | 'host-revoked'
  | 'certificate-ended'
  | 'vm-created'
  | 'vm-deleted'
  | 'vm-powered-on'
  | 'vm-powered-off'
  | 'vm-suspended'
  | 'vm-resumed'
  | 'vm-snapshot-taken'
  | 'vm-snapshot-deleted'
  | 'vm-reverted'
  | 'vm-rewound'
  | 'vm-rewind-failed'
  | 'vm-cloned'
  | 'vm-made-of-recording'
  | 'vm-exported'
  | 'vm-flight-set'
  | 'vm-incident'
  | 'vm-recording-started'
  | 'vm-recording-continues'
  | 'vm-recording-ended'
  | 'vm-recording-deleted'
  | 'vm-recording-exported'
  | 'vm-resized'
  | 'vm-reset'
  | 'vm-ended'
  | 'vm-restarted'
  | 'host-maintenance-started'
  | 'host-maintenance-entered'
  | 'host-maintenance-left'
  | 'vm-migration-started'
  | 'vm-migrated'
  | 'vm-migration-failed'
  | 'ft-enabled'
  | 'ft-disabled'
  | 'ft-disabled-by-system'
  | 'ft-turned-off'
  | 'ft-failed-to-start'
  | 'ft-terminated'
  | 'ft-migrate-shadow'
  | 'ft-restart-shadow'
  | 'alarm-raised'
  | 'alarm-cleared'
  | 'alarm-acknowledged'
  | 'ft-state-changed'
  | 'ft-shadow-added'
  | 'ft-shadow-started'
  | 'ft-shadow-lost'
  | 'ft-need-shadow'
  | 'ft-primary-failover'
  | 'ft-test-failover'
  | 'ft-went-live'
  | 'ft-divergence'
  | 'ft-report'
  | 'ha-host-failed'
  | 'ha-vm-restarted'
  | 'ha-vm-held'
  | 'ha-vm-released'
  | 'ha-vm-reset'
  | 'ha-vm-reset-failed'
  | 'ha-reconfigured'
  | 'command-failed'
  | 'arbiter-new-epoch'
  | 'task-ended';

/** `vm` is the VM's name. */
export type EventData = Readonly<Record<string, unknown>> & { readonly vm?: string };

export class Events {
  readonly #store: Store;
  readonly #listener: (event: EventView) => void;
  readonly #watchers = new Set<() => void>();
  /** Since the start of this center, for the metrics. */
  readonly counts = new Map<EventKind, number>();

  constructor(store: Store, listener: (event: EventView) => void = () => {}) {
    this.#store = store;
    this.#listener = listener;
  }

  add(kind: EventKind, text: string, data: EventData = {}): void {
    const time = new Date().toISOString();
    this.#listener(this.#store.appendEvent({ time, kind, text, data }));
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    for (const watcher of this.#watchers) watcher();
  }

  /** Told that there may be something new; what it is, the store knows. @returns how to stop */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  list(after: number, limit: number, vm?: string): readonly EventView[] {
    return this.query({ after, limit, ...(vm !== undefined && { vm }) });
  }

  /** Oldest first. */
  query(query: EventQuery): readonly EventView[] {
    return this.#store.events(query);
  }
}
