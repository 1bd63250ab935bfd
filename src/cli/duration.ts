/** Times as people write them on the command line: `90`, `45s`, `30m`, `24h`, `7d`. */
import { UmbraError } from '../base/errors.ts';

const units: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600, d: 86_400 };

/** @returns whole seconds, at least one */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9})([smhd]?)$/.exec(text);
  const seconds = match ? Number(match[1]) * units[match[2]!]! : 0;
  if (seconds >= 1) return seconds;
  throw new UmbraError(
    'duration-malformed',
    `"${text}" is no length of time`,
    'Write it such as 30m, 24h or 7d.',
  );
}
