/**
 * Secrets that let somebody in: 256 random bits. The store knows only their SHA-256; so many bits
 * need no slower hash, and looking one up by its hash tells nothing by its time.
 */
import { createHash, randomBytes } from 'node:crypto';

export const newSecret = (): string => randomBytes(32).toString('base64url');
export const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');
export const newId = (kind: string): string => `${kind}-${randomBytes(6).toString('hex')}`;

/** RFC 3339, UTC. @param ttlSeconds undefined: never */
export function expiryAfter(ttlSeconds: number): string;
export function expiryAfter(ttlSeconds: number | undefined): string | null;
export function expiryAfter(ttlSeconds: number | undefined): string | null {
  if (ttlSeconds === undefined) return null;
  return new Date(Date.now() + ttlSeconds * 1000).toISOString();
}

export const hasPassed = (time: string | null): boolean =>
  time !== null && Date.parse(time) <= Date.now();
