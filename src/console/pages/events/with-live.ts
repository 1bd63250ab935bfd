/** What was read of the past and what came since, as one list. Pure. */
import type { EventView } from '../../../api/views.ts';

export interface ReadEvents {
  /** The last number that was known when it was read. */
  readonly seen: number;
  /** Oldest first. */
  readonly events: readonly EventView[];
}

/**
 * @param pages the latest first
 * @param live the last events, oldest first, without a hole
 * @returns `events` newest first; `hasHole`: something may be missing between past and live
 */
export function withLive(
  pages: readonly ReadEvents[],
  live: readonly EventView[],
  vm: string | null,
): { readonly events: readonly EventView[]; readonly hasHole: boolean } {
  const [latest] = pages;
  if (latest === undefined) return { events: [], hasHole: false };
  const last = latest.events.at(-1)?.sequence ?? 0;
  const fresh = live.filter(
    ({ sequence, data }) => sequence > last && (vm === null || data['vm'] === vm),
  );
  const past = pages.flatMap(({ events }) => [...events].reverse());
  const known = Math.max(last, latest.seen);
  const hasHole = live[0] !== undefined && known > 0 && live[0].sequence > known + 1;
  return { events: [...fresh.reverse(), ...past], hasHole };
}

/** Whether an event has to do with a host: it happened there, or something came from or went there. */
export function concerns({ data }: Pick<EventView, 'data'>, host: string): boolean {
  return ['host', 'from', 'to', 'shadow'].some((key) => data[key] === host);
}
