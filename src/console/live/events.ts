/**
 * The last events, and each new one as it comes: read once, then followed by number without a hole
 * (api/event-stream.ts says how the center numbers them).
 */
import type { EventView } from '../../api/views.ts';
import { Observed } from './observed.ts';

export const keptEvents = 500;

export class EventLog extends Observed<readonly EventView[]> {
  constructor() {
    super([]);
  }

  get last(): number {
    return this.value.at(-1)?.sequence ?? 0;
  }

  /** Oldest first; what is known already is passed over. */
  add(events: readonly EventView[]): void {
    const fresh = events.filter(({ sequence }) => sequence > this.last);
    if (fresh.length > 0) this.set([...this.value, ...fresh].slice(-keptEvents));
  }
}
