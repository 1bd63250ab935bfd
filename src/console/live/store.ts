/**
 * The cluster as this page knows it: views by table, figures beside them, kept up to date by the
 * messages of one WebSocket (api/live.ts, connection.ts). Knows neither React nor the DOM.
 *
 * A view is replaced when the center sends another one and stays the same object until then, so
 * whoever watches one VM is told of that VM alone. Lists are made anew when one of their views
 * changes; figures have lists of their own, which nothing but charts and cells watch.
 */
import type { AlarmView } from '../../api/lifecycle-views.ts';
import {
  type CapacityView,
  type HostFigures,
  type LiveMessage,
  type LiveTable,
  liveTables,
  type VmFigures,
} from '../../api/live.ts';
import type { TaskView } from '../../api/tasks.ts';
import type { HostView, VmView } from '../../api/views.ts';
import { Observed } from './observed.ts';

export interface Rows {
  readonly hosts: HostView;
  readonly vms: VmView;
  readonly alarms: AlarmView;
  readonly tasks: TaskView;
}

export interface Center {
  readonly version: string;
  readonly epoch: number;
}

export class LiveStore {
  /** undefined until the first message. */
  readonly center = new Observed<Center | undefined>(undefined);
  /** The center's clock at its last message, Unix milliseconds; one comes every second (topic `beat`). */
  unixMs = 0;
  readonly capacity = new Observed<CapacityView>({ shortage: null });
  readonly #byId: { readonly [T in LiveTable]: Map<string, Rows[T]> } = {
    hosts: new Map(),
    vms: new Map(),
    alarms: new Map(),
    tasks: new Map(),
  };
  readonly #lists: { [T in LiveTable]: readonly Rows[T][] } = {
    ...{ hosts: [], vms: [], alarms: [], tasks: [] },
  };
  readonly #vmFigures = new Map<string, VmFigures>();
  readonly #hostFigures = new Map<string, HostFigures>();
  readonly #watchers = new Map<string, Set<() => void>>();

  /** In the order of names; alarms and tasks oldest first. */
  list<T extends LiveTable>(table: T): readonly Rows[T][] {
    return this.#lists[table];
  }

  get<T extends LiveTable>(table: T, id: string): Rows[T] | undefined {
    return this.#byId[table].get(id);
  }

  vmFigures(id: string): VmFigures | undefined {
    return this.#vmFigures.get(id);
  }

  hostFigures(id: string): HostFigures | undefined {
    return this.#hostFigures.get(id);
  }

  /**
   * @param topic a table, `TABLE/ID`, `vmFigures/ID`, `hostFigures/ID`, or `beat` for every message.
   * @returns how to stop
   */
  watch(topic: string, watcher: () => void): () => void {
    const watchers = this.#watchers.get(topic) ?? new Set();
    this.#watchers.set(topic, watchers.add(watcher));
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(topic) === watchers) {
        this.#watchers.delete(topic);
      }
    };
  }

  apply(message: LiveMessage): void {
    const told = new Set<string>(['beat']);
    this.unixMs = message.unixMs;
    const changed = new Set<LiveTable>();
    if (message.kind === 'state') {
      // What is not in it is gone.
      for (const table of liveTables) {
        const there = new Set(message[table].map(({ id }) => id));
        for (const id of this.#byId[table].keys()) {
          if (there.has(id)) continue;
          this.#remove(table, id);
          changed.add(table);
          told.add(`${table}/${id}`);
        }
      }
    } else {
      for (const { table, id } of message.gone) {
        this.#remove(table as LiveTable, id);
        changed.add(table as LiveTable);
        told.add(`${table}/${id}`);
      }
    }
    for (const table of liveTables) {
      const rows: Map<string, unknown> = this.#byId[table];
      for (const row of message[table]) {
        rows.set(row.id, row);
        changed.add(table);
        told.add(`${table}/${row.id}`);
      }
    }
    for (const figures of message.vmFigures) {
      this.#vmFigures.set(figures.vm, figures);
      told.add(`vmFigures/${figures.vm}`);
    }
    for (const figures of message.hostFigures) {
      this.#hostFigures.set(figures.host, figures);
      told.add(`hostFigures/${figures.host}`);
    }
    for (const table of changed) {
      this.#sort(table);
      told.add(table);
    }
    if (message.capacity !== undefined) this.capacity.set(message.capacity);
    if (message.kind === 'state') {
      this.center.set({ version: message.version, epoch: message.epoch });
    }
    for (const topic of told) for (const watcher of this.#watchers.get(topic) ?? []) watcher();
  }

  #remove(table: LiveTable, id: string): void {
    this.#byId[table].delete(id);
    if (table === 'vms') this.#vmFigures.delete(id);
    if (table === 'hosts') this.#hostFigures.delete(id);
  }

  #sort(table: LiveTable): void {
    const lists = this.#lists as Record<LiveTable, readonly unknown[]>;
    const rows = [...this.#byId[table].values()];
    lists[table] = rows.sort((a, b) => compare(orderOf(a), orderOf(b)));
  }
}

const collator = new Intl.Collator('en', { numeric: true });
const compare = (a: string, b: string): number => collator.compare(a, b);

function orderOf(row: Rows[LiveTable]): string {
  if ('name' in row) return row.name;
  return 'since' in row ? row.since : row.created;
}
