/**
 * What a daemon tells the center of its trunks, for people alone: all that are up, with their round
 * trip, and again when one has come or gone or has become much faster or slower. A full mesh of
 * fifty hosts has 1,225 trunks, and round trips that waver by a little are no news.
 */
import type { TrunkStatus } from '../api/agent.ts';
import type { TrunkLink } from './trunks.ts';

/** What makes a difference: a quarter, and 50 µs. */
const partMin = 0.25;
const differenceMsMin = 0.05;

export const trunkStatuses = (links: readonly TrunkLink[]): TrunkStatus[] =>
  links.map(({ peer, roundTripUs }) => ({
    peer,
    ...(roundTripUs !== undefined && { roundTripMs: roundTripUs / 1_000 }),
  }));

export function differsMuch(told: readonly TrunkStatus[], now: readonly TrunkStatus[]): boolean {
  if (told.length !== now.length) return true;
  const before = new Map(told.map(({ peer, roundTripMs }) => [peer, roundTripMs]));
  return now.some(({ peer, roundTripMs: value }) => {
    if (!before.has(peer)) return true;
    const old = before.get(peer);
    if (old === undefined || value === undefined) return old !== value;
    return Math.abs(value - old) > Math.max(differenceMsMin, partMin * old);
  });
}
