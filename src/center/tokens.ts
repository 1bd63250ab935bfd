/**
 * Secrets that let somebody in: join tokens, each good for one daemon, and the API tokens of
 * people. The store knows only their SHA-256; 256 random bits need no slower hash.
 */
import { createHash, randomBytes } from 'node:crypto';
import { UmbraError } from '../base/errors.ts';
import type { Store } from './store/store.ts';

const hash = (secret: string): string => createHash('sha256').update(secret).digest('hex');
const newSecret = (): string => randomBytes(32).toString('base64url');

/** What may join with a token: a center is given the cluster's certificate authority. */
export type Joiner = 'daemon' | 'center';

interface JoinToken {
  readonly made: string;
  readonly joiner?: Joiner;
  /** The daemon that joined with it. */
  readonly usedBy: string | null;
}

interface ApiToken {
  readonly role: string;
}

/** @returns the secret; it is nowhere else */
export function makeJoinToken(store: Store, joiner: Joiner): string {
  const secret = newSecret();
  const token: JoinToken = { made: new Date().toISOString(), joiner, usedBy: null };
  store.put('joinTokens', hash(secret), token);
  return secret;
}

/** Within the transaction that adds the member: a token serves once, however often it is tried. */
export function useJoinToken(store: Store, secret: string, joiner: Joiner, id: string): void {
  const token = store.get<JoinToken>('joinTokens', hash(secret));
  const isMeant = (token?.joiner ?? 'daemon') === joiner;
  if (token?.usedBy === null && isMeant) {
    store.put('joinTokens', hash(secret), { ...token, usedBy: id });
    return;
  }
  if (token?.usedBy === null) {
    throw new UmbraError(
      'token-refused',
      joiner === 'center'
        ? 'the join token is for a host or a gateway'
        : 'the join token is for a center',
      'Make one for this purpose: umbra center token, with --for-center for a center.',
    );
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
