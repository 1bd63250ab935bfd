/**
 * Sessions: what a login gives. A secret that expires, as a bearer token or as a cookie; the role is
 * always the user's present one.
 */
import { createHmac } from 'node:crypto';
import type { Store } from '../store/store.ts';
import { expiryAfter, hashOf, hasPassed, newId, newSecret } from './secrets.ts';

export const sessionTtlSeconds = 12 * 60 * 60;
/** Of one user; the oldest ends when there is one more. */
const sessionsMax = 50;
/** An expired one is known as such for a while, to say so. */
const keptMs = 24 * 60 * 60 * 1000;

export interface Session {
  readonly id: string;
  readonly hash: string;
  readonly user: string;
  readonly isCookie: boolean;
  readonly made: string;
  readonly expires: string;
}

export class Sessions {
  readonly #store: Store;
  readonly #ttlSeconds: number;

  constructor(store: Store, ttlSeconds = sessionTtlSeconds) {
    this.#store = store;
    this.#ttlSeconds = ttlSeconds;
  }

  open(user: string, isCookie: boolean): { session: Session; secret: string } {
    const secret = newSecret();
    const session: Session = {
      id: newId('session'),
      hash: hashOf(secret),
      ...{ user, isCookie },
      made: new Date().toISOString(),
      expires: expiryAfter(this.#ttlSeconds),
    };
    this.#store.transaction(() => {
      const all = this.#store.all<Session>('sessions');
      for (const old of all) {
        if (Date.parse(old.expires) + keptMs < Date.now()) this.end(old);
      }
      const own = all
        .filter((each) => each.user === user)
        .sort((a, b) => (a.made < b.made ? -1 : 1));
      for (const old of own.slice(0, Math.max(0, own.length + 1 - sessionsMax))) this.end(old);
      this.#store.put('sessions', session.hash, session);
    });
    return { session, secret };
  }

  find(secret: string): Session | undefined {
    return this.#store.get('sessions', hashOf(secret));
  }

  end(session: Session): void {
    this.#store.remove('sessions', session.hash);
  }

  endAllOf(user: string, exceptId?: string): void {
    for (const session of this.#store.all<Session>('sessions')) {
      if (session.user === user && session.id !== exceptId) this.end(session);
    }
  }
}

export const isOver = (session: Session): boolean => hasPassed(session.expires);

/** What a page of our own origin can know of a session that comes as a cookie, and no other page. */
export const csrfTokenOf = (secret: string): string =>
  createHmac('sha256', secret).update('umbra csrf').digest('base64url');
