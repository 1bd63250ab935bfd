/**
 * Secrets that let somebody in: join tokens, each good for one daemon, and the API tokens of
 * people. The store knows only their SHA-256; 256 random bits need no slower hash.
 */
import { createHash, randomBytes } from 'node:crypto';
import { UmbraError } from '../base/errors.ts';
import type { Store } from './store.ts';

const hash = (secret: string): string => createHash('sha256').update(secret).digest('hex');
const newSecret = (): string => randomBytes(32).toString('base64url');

/** @returns the secret; it is nowhere else */
export function makeJoinToken(store: Store): string {
  const secret = newSecret();
  const made = new Date().toISOString();
  store.run('INSERT INTO join_tokens (hash, made) VALUES (?, ?)', hash(secret), made);
  return secret;
}

/** Within the transaction that adds the daemon: a token serves once, however often it is tried. */
export function useJoinToken(store: Store, secret: string, daemonId: string): void {
  const taken = store.run(
    'UPDATE join_tokens SET used_by = ? WHERE hash = ? AND used_by IS NULL',
    daemonId,
    hash(secret),
  );
  if (taken === 1) return;
  const known = store.get('SELECT 1 FROM join_tokens WHERE hash = ?', hash(secret)) !== undefined;
  throw new UmbraError(
    'token-refused',
    known ? 'the join token has been used' : 'the join token is not of this center',
    'Make another one: umbra center token.',
  );
}

export function makeApiToken(store: Store, role: 'administrator'): string {
  const secret = newSecret();
  store.run('INSERT INTO api_tokens (hash, role) VALUES (?, ?)', hash(secret), role);
  return secret;
}

export function roleOfApiToken(store: Store, secret: string): string | undefined {
  const row = store.get<{ role: string }>(
    'SELECT role FROM api_tokens WHERE hash = ?',
    hash(secret),
  );
  return row?.role;
}
