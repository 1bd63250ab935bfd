/** What people write on the command line, as values; whatever does not fit says what would. */
import type { PublishedPort } from '../api/agent.ts';
import { UmbraError } from '../base/errors.ts';
import { type Tier, tiers } from '../host/tiers.ts';

const units: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** `512M`, `1G`, or bytes; rounded to whole pages. */
export function parseMemory(text: string, min: number, max: number): number {
  const match = /^(\d+)([KMG]?)(?:i?B)?$/i.exec(text);
  const bytes = match ? Number(match[1]) * units[match[2]!.toUpperCase()]! : Number.NaN;
  if (!(bytes >= min && bytes <= max)) {
    throw new UmbraError(
      'memory-out-of-range',
      `"${text}" is no size of memory between ${min / 2 ** 20}M and ${max / 2 ** 30}G.`,
      'Write it such as 512M or 1G.',
    );
  }
  return Math.ceil(bytes / 4096) * 4096;
}

/** A port to listen on; 0 for any. */
export function parsePort(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65535) return Number(text);
  throw new UmbraError('no-port', `"${text}" is no port.`, 'Give a number from 0 to 65535.');
}

/** `HOST:GUEST` or `HOST:GUEST/udp`. */
export function parsePublish(text: string): PublishedPort {
  const match = /^(\d+):(\d+)(?:\/(tcp|udp))?$/.exec(text);
  const ports = match ? [Number(match[1]), Number(match[2])] : [];
  if (ports.length !== 2 || ports.some((port) => port < 1 || port > 65535)) {
    throw new UmbraError(
      'publish-invalid',
      `"${text}" names no pair of ports.`,
      'Write HOST:GUEST, such as 8080:80, with /udp behind it for UDP.',
    );
  }
  const protocol = match![3] === 'udp' ? 'udp' : 'tcp';
  return { protocol, gatewayPort: ports[0]!, guestPort: ports[1]! };
}

/** Names of tiers with commas between them. */
export function parseTiers(text: string): Tier[] {
  return text.split(',').map((name) => {
    const tier = tiers.find((each) => each === name);
    if (tier !== undefined) return tier;
    throw new UmbraError(
      'tier-unknown',
      `"${name}" is no tier.`,
      `Name ${tiers.join(', ')}, or several with commas between them.`,
    );
  });
}

/** NAME=PATH of a datastore. */
export function parseDatastore(text: string): { readonly name: string; readonly path: string } {
  const match = /^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)=(\/.*)$/.exec(text);
  if (match !== null) return { name: match[1]!, path: match[2]! };
  throw new UmbraError(
    'datastore-malformed',
    `"${text}" names no datastore.`,
    'Write NAME=PATH, such as shared=/mnt/shared: a name of lower-case letters, digits and inner hyphens, and an absolute path.',
  );
}
