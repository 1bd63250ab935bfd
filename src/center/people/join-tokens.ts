/**
 * Join tokens: each lets one daemon in, for a while, of one kind if it says so. The store knows only
 * the hash of a secret (secrets.ts). Used and expired ones are kept for some weeks, so that whoever
 * tries one again is told what is wrong with it.
 */
import type { JoinTokenView } from '../../api/people.ts';
import { UmbraError } from '../../base/errors.ts';
import type { Store } from '../store/store.ts';
import { clearedAtOnceMax, expiryAfter, hashOf, hasPassed, newId, newSecret } from './secrets.ts';

export const joinTtlSeconds = 24 * 60 * 60;
const keptMs = 30 * 24 * 60 * 60 * 1000;

export type Joiner = 'host' | 'gateway' | 'center';

interface JoinToken {
  readonly id: string;
  readonly hash: string;
  readonly made: string;
  readonly madeBy: string;
  readonly expires: string;
  /** null: a host or a gateway. */
  readonly kind: Joiner | null;
  /** The daemon that joined with it. */
  readonly usedBy: string | null;
}

export interface JoinTokenWish {
  readonly ttlSeconds?: number;
  readonly kind?: Joiner;
}

/** @returns the secret, too; it is nowhere else */
export function makeJoinToken(
  store: Store,
  madeBy: string,
  { ttlSeconds = joinTtlSeconds, kind }: JoinTokenWish = {},
): { id: string; secret: string; expires: string } {
  const secret = newSecret();
  const token: JoinToken = {
    id: newId('join'),
    hash: hashOf(secret),
    made: new Date().toISOString(),
    madeBy,
    expires: expiryAfter(ttlSeconds),
    kind: kind ?? null,
    usedBy: null,
  };
  store.transaction(() => {
    const isOld = ({ expires }: JoinToken) => Date.parse(expires) + keptMs < Date.now();
    for (const old of all(store).filter(isOld).slice(0, clearedAtOnceMax)) {
      store.remove('joinTokens', old.hash);
    }
    store.put('joinTokens', token.hash, token);
  });
  return { id: token.id, secret, expires: token.expires };
}

/** @throws UmbraError why this joiner may not join with it */
export function checkJoinToken(
  store: Store,
  secret: string,
  joiner: { readonly kind: Joiner },
): JoinToken {
  const token = tokenOf(store, secret);
  const remedy = 'Make another one: umbra center token.';
  if (token === undefined) {
    const why = 'the join token is not of this center, or has been revoked';
    throw new UmbraError('token-unknown', why, remedy);
  }
  if (token.usedBy !== null) {
    throw new UmbraError('token-used', 'a daemon has joined with this join token already', remedy);
  }
  if (hasPassed(token.expires)) {
    throw new UmbraError('token-expired', `the join token has expired at ${token.expires}`, remedy);
  }
  // A center is given the certificate authority: its token must say so.
  const isMeant = token.kind === null ? joiner.kind !== 'center' : token.kind === joiner.kind;
  if (!isMeant) {
    throw new UmbraError(
      'token-wrong-kind',
      `the join token is for a ${token.kind ?? 'host or gateway'}, not for a ${joiner.kind}`,
      `Make one for it: umbra center token --kind ${joiner.kind}.`,
    );
  }
  return token;
}

/** Within the transaction that adds the member: a token serves once, however often it is tried. */
export function useJoinToken(
  store: Store,
  secret: string,
  joiner: { readonly id: string; readonly kind: Joiner },
): void {
  const token = checkJoinToken(store, secret, joiner);
  store.put('joinTokens', token.hash, { ...token, usedBy: joiner.id });
}

export function listJoinTokens(store: Store, nameOf: (id: string) => string): JoinTokenView[] {
  return all(store)
    .sort((a, b) => (a.made < b.made ? -1 : 1))
    .map(({ hash: _, usedBy, ...rest }) => ({
      ...rest,
      state: usedBy !== null ? 'used' : hasPassed(rest.expires) ? 'expired' : 'good',
      usedBy: usedBy === null ? null : nameOf(usedBy),
    }));
}

export function revokeJoinToken(store: Store, id: string): void {
  const token = all(store).find((each) => each.id === id);
  if (token !== undefined) {
    store.remove('joinTokens', token.hash);
    return;
  }
  throw new UmbraError(
    'join-token-unknown',
    `there is no join token "${id}"`,
    'See umbra center token --list.',
  );
}

/** Those of before there were expiries are not listed: nobody could name them. */
function all(store: Store): JoinToken[] {
  return store
    .all<Partial<JoinToken>>('joinTokens')
    .filter((token) => 'hash' in token) as JoinToken[];
}

/** One of before there were expiries is good for a day from when it was made. */
function tokenOf(store: Store, secret: string): JoinToken | undefined {
  const hash = hashOf(secret);
  const token = store.get<Pick<JoinToken, 'made' | 'usedBy'> & Partial<JoinToken>>(
    'joinTokens',
    hash,
  );
  if (token === undefined) return undefined;
  const expires = new Date(Date.parse(token.made) + joinTtlSeconds * 1000).toISOString();
  return { id: '-', madeBy: '-', expires, kind: null, ...token, hash };
}
