/**
 * The audit trail: every changing call with who, from where, what, and what came of it; kept in the
 * store, written before the caller gets the reply.
 *
 * Secrets are left out: what a schema marks `writeOnly`. Refusals of callers that nobody knows are
 * written only so often, and the rest counted, so that strangers cannot push the trail out.
 */
import type { TSchema } from 'typebox';
import type { Endpoint } from '../api/endpoints.ts';
import type { AuditView } from '../api/people.ts';
import type { Store } from './store/store.ts';

const recordsMax = 20_000;
const strangersPerMinute = 60;

export interface AuditQuery {
  readonly after?: number;
  readonly limit?: number;
  readonly who?: string;
  readonly vm?: string;
  readonly last?: boolean;
}

export class Audit {
  readonly #store: Store;
  readonly #listener: (record: AuditView) => void;
  #minute = 0;
  #strangers = 0;
  #skipped = 0;

  constructor(store: Store, listener: (record: AuditView) => void = () => {}) {
    this.#store = store;
    this.#listener = listener;
  }

  /** @param isStranger nobody knows who called */
  add(record: Omit<AuditView, 'sequence' | 'time' | 'skipped'>, isStranger: boolean): void {
    if (isStranger && this.#isTooMuch()) {
      this.#skipped += 1;
      return;
    }
    const sequence = this.#store.transaction(() => {
      const number = this.#store.next('audit');
      const time = new Date().toISOString();
      this.#store.put('audit', String(number), {
        ...record,
        ...{ sequence: number, time, skipped: this.#skipped },
      });
      this.#store.remove('audit', String(number - recordsMax));
      return number;
    });
    this.#skipped = 0;
    this.#listener(this.#store.get('audit', String(sequence))!);
  }

  list({ after = 0, limit = 1000, who, vm, last }: AuditQuery): AuditView[] {
    const found = this.#store
      .all<AuditView>('audit')
      .filter((each) => each.sequence > after && (who === undefined || each.who === who))
      .filter(({ input }) => vm === undefined || input['vm'] === vm || input['name'] === vm)
      .sort((a, b) => a.sequence - b.sequence);
    return last ? found.slice(-limit) : found.slice(0, limit);
  }

  #isTooMuch(): boolean {
    const minute = Math.floor(performance.now() / 60_000);
    if (minute !== this.#minute) this.#strangers = 0;
    this.#minute = minute;
    this.#strangers += 1;
    return this.#strangers > strangersPerMinute;
  }
}

/** What was asked for, without secrets and without what is too long to be read. */
export function auditedInput(endpoint: Endpoint, params: unknown, body: unknown) {
  const secret = new Set(
    Object.entries((endpoint.body as { properties?: Record<string, TSchema> })?.properties ?? {})
      .filter(([, schema]) => (schema as { writeOnly?: boolean }).writeOnly === true)
      .map(([name]) => name),
  );
  const given = Object.entries(isObject(body) ? body : {}).filter(([name]) => !secret.has(name));
  const input = { ...Object.fromEntries(given), ...(isObject(params) ? params : {}) };
  return Object.fromEntries(
    Object.entries(input).map(([name, value]) => [name, shortened(value)]),
  ) as Record<string, unknown>;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function shortened(value: unknown): unknown {
  const text = JSON.stringify(value) ?? '';
  return text.length <= 500 ? value : `${text.slice(0, 500)}...`;
}
