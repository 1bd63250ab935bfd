/**
 * Orders that an older host does not know, it does not answer either: whoever would wait for it is
 * told at once (docs/upgrade.md).
 */
import { UmbraError } from '../base/errors.ts';
import type { Connection } from './agents.ts';

/**
 * @param what cannot be done, as a verb and its object
 * @throws UmbraError `host-too-old`
 */
export function needProtocol(
  { protocol }: Connection,
  needed: number,
  what: string,
  host: string,
): void {
  if (protocol >= needed) return;
  throw new UmbraError(
    'host-too-old',
    `${host} cannot ${what}: its release of Umbra does not know how (protocol ${protocol}, not ${needed})`,
    `Bring ${host} to the release of the center: put it into maintenance, and start the new one.`,
  );
}
