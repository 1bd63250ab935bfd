/**
 * Alarms: conditions that people should know of, from the moment they hold until they do not.
 *
 *   condition holds --(holdMs)--> raised --> acknowledged --> cleared when it holds no more
 *                                   `--(holdMs)--> cleared
 *
 * From: conditions as they are now (alarm-conditions.ts), looked at again and again; what happens in
 * an instant (a divergence, a disk error) is raised by `latch` and stays until somebody acknowledges
 * it. To: records of the store, so that an alarm and who saw it survive the center, and events.
 * To hold for a while before it is raised, or gone before it is cleared, keeps a figure that swings
 * around its bound from writing a book of events.
 */
import { UmbraError } from '../base/errors.ts';
import type { EventData, Events } from './events.ts';
import type { Store } from './store/store.ts';

export type AlarmKind =
  | 'ft-need-shadow'
  | 'ft-lag'
  | 'ft-divergence'
  | 'arbiter-unreachable'
  | 'host-not-responding'
  | 'host-clock-off'
  | 'capacity'
  | 'ha-failover-failed'
  | 'ha-guest-not-responding'
  | 'disk-failing'
  | 'recording-failed'
  | 'guest-incident'
  | 'rewind-failed';

export type Severity = 'red' | 'yellow' | 'gray';

export interface Condition {
  readonly kind: AlarmKind;
  /** What it is about: an id of a VM or a host, or 'cluster'. */
  readonly subject: string;
  readonly severity: Severity;
  readonly text: string;
  /** Names, for people and for filters. */
  readonly vm?: string;
  readonly host?: string;
  /** Must have held, or been gone, for so long. */
  readonly holdMs?: number;
  readonly data?: Readonly<Record<string, unknown>>;
}

export interface Alarm {
  readonly id: string;
  readonly kind: AlarmKind;
  readonly severity: Severity;
  readonly text: string;
  readonly vm: string | null;
  readonly host: string | null;
  /** RFC 3339, UTC. */
  readonly since: string;
  readonly acknowledged: string | null;
  /** Stays until it is acknowledged. */
  readonly latched: boolean;
  readonly holdMs: number;
}

export class Alarms {
  readonly #store: Store;
  readonly #events: Events;
  /** Since when a condition that is not raised has held, on the caller's clock. */
  readonly #pending = new Map<string, number>();
  /** Since when the condition of a raised alarm has not held. */
  readonly #fading = new Map<string, number>();

  constructor(store: Store, events: Events) {
    this.#store = store;
    this.#events = events;
  }

  /** Oldest first. */
  list(): Alarm[] {
    return [...this.#store.all<Alarm>('alarms')].sort((a, b) => (a.since < b.since ? -1 : 1));
  }

  /** All conditions that hold now; what is not among them does not. @param now ms, monotonic */
  look(conditions: readonly Condition[], now: number): void {
    const present = new Set<string>();
    for (const condition of conditions) {
      const id = idOf(condition);
      present.add(id);
      this.#fading.delete(id);
      this.#holds(id, condition, now);
    }
    for (const id of this.#pending.keys()) if (!present.has(id)) this.#pending.delete(id);
    for (const alarm of this.list()) {
      if (!present.has(alarm.id) && !alarm.latched) this.#fades(alarm, now);
    }
  }

  /** Raised for what has happened; once more if it was acknowledged or is there already. */
  latch(condition: Condition): void {
    this.#put(idOf(condition), condition, true);
  }

  acknowledge(id: string): Alarm {
    const alarm = this.#store.get<Alarm>('alarms', id);
    if (alarm === undefined) {
      throw new UmbraError('alarm-unknown', `there is no alarm "${id}"`, 'See umbra alarm list.');
    }
    if (alarm.acknowledged !== null) return alarm;
    const after = { ...alarm, acknowledged: new Date().toISOString() };
    this.#store.transaction(() => {
      if (alarm.latched) this.#store.remove('alarms', id);
      else this.#store.put('alarms', id, after);
      this.#events.add('alarm-acknowledged', `acknowledged: ${alarm.text}`, dataOf(alarm));
    });
    return after;
  }

  /** Nobody has looked for a while: how long a condition has held, or not, is counted anew. */
  forgetTimes(): void {
    this.#pending.clear();
    this.#fading.clear();
  }

  /** Of a VM or host that is no more. */
  forget(subject: string): void {
    for (const { id } of this.list()) {
      if (id.endsWith(`:${subject}`)) this.#store.remove('alarms', id);
    }
  }

  #holds(id: string, condition: Condition, now: number): void {
    const raised = this.#store.get<Alarm>('alarms', id);
    const isWorse = raised !== undefined && rank[condition.severity] > rank[raised.severity];
    if (raised !== undefined && !isWorse) {
      const { severity, text } = condition;
      // The figure in the text has changed, or it has become milder: worth no event.
      if (severity !== raised.severity)
        this.#store.put('alarms', id, { ...raised, severity, text });
      return;
    }
    const since = this.#pending.get(id) ?? now;
    if (now - since < (condition.holdMs ?? 0)) {
      this.#pending.set(id, since);
      return;
    }
    this.#pending.delete(id);
    this.#put(id, condition, false);
  }

  #fades(alarm: Alarm, now: number): void {
    const since = this.#fading.get(alarm.id) ?? now;
    if (now - since < alarm.holdMs) {
      this.#fading.set(alarm.id, since);
      return;
    }
    this.#fading.delete(alarm.id);
    this.#store.transaction(() => {
      this.#store.remove('alarms', alarm.id);
      this.#events.add('alarm-cleared', `cleared: ${alarm.text}`, dataOf(alarm));
    });
  }

  #put(id: string, condition: Condition, latched: boolean): void {
    const { kind, severity, text, vm = null, host = null, holdMs = 0, data } = condition;
    const since = new Date().toISOString();
    const acknowledged = null;
    const alarm = { id, kind, severity, text, vm, host, since, acknowledged, latched, holdMs };
    this.#store.transaction(() => {
      this.#store.put('alarms', id, alarm);
      this.#events.add('alarm-raised', `${severity} alarm: ${text}`, { ...dataOf(alarm), ...data });
    });
  }
}

const rank: Readonly<Record<Severity, number>> = { gray: 0, yellow: 1, red: 2 };

const idOf = ({ kind, subject }: Condition): string => `${kind}:${subject}`;

function dataOf({ id, kind, severity, vm, host }: Alarm): EventData {
  const about = { alarm: id, kind, severity };
  return { ...about, ...(vm !== null && { vm }), ...(host !== null && { host }) };
}
