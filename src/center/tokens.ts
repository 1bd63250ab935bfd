/**
 * Secrets that let somebody in: join tokens, each good for one daemon, and the API tokens of
 * people. The store knows only their SHA-256; 256 random bits need no slower hash.
 */
import { createHash, randomBytes } from 'node:crypto';
import { UmbraError } from '../base/errors.ts';
import type { Store } from './store/store.ts';

const hash = (secret: string): string => createHash('sha256').update(secret).digest('hex');
const newSecret = (): string => randomBytes(32).toString('base64url');

interface JoinToken {
  readonly made: string;
  /** The daemon that joined with it. */
  readonly usedBy: string | null;
}

interface ApiToken {
  readonly role: string;
}

/** @returns the secret; it is nowhere else */
export function makeJoinToken(store: Store): string {
  const secret = newSecret();
  const token: JoinToken = { made: new Date().toISOString(), usedBy: null };
  store.put('joinTokens', hash(secret), token);
  return secret;
}

/** Within the transaction that adds the daemon: a token serves once, however often it is tried. */
export function useJoinToken(store: Store, secret: string, daemonId: string): void {
  const token = store.get<JoinToken>('joinTokens', hash(secret));
  if (token?.usedBy === null) {
    store.put('joinTokens', hash(secret), { ...token, usedBy: daemonId });
    return;
  }
  throw new UmbraError(
    'token-refused',
    token ? 'the join token has been used' : 'the join token is not of this center',
    'Make another one: umbra center token.',
  );
}

export function makeApiToken(store: Store, role: 'administrator'): string {
  const secret = newSecret();
  const token: ApiToken = { role };
  store.put('apiTokens', hash(secret), token);
  return secret;
}

export function roleOfApiToken(store: Store, secret: string): string | undefined {
  return store.get<ApiToken>('apiTokens', hash(secret))?.role;
}
