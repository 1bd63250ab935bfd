/**
 * API tokens, for scripts: named, with a role, an expiry and the time of the last use.
 *
 * A token of a user is worth at most the user's present role. One that was made with another token
 * ends with it, and lives no longer. The administrator on the center's machine has one that belongs
 * to no user (`admin.json`).
 */
import type { ApiTokenView } from '../../api/people.ts';
import type { Role } from '../../api/roles.ts';
import { UmbraError } from '../../base/errors.ts';
import type { Store } from '../store/store.ts';
import { hashOf, newId, newSecret } from './secrets.ts';

/** How exactly the last use is known: each note of it is a write to the disk. */
const lastUsedStepMs = 60_000;

export interface ApiToken {
  readonly id: string;
  readonly hash: string;
  readonly name: string;
  readonly role: Role;
  readonly user: string | null;
  /** The token with which it was made. */
  readonly parent: string | null;
  readonly made: string;
  readonly expires: string | null;
  readonly lastUsed: string | null;
}

/** The administrator's on a center's machine. */
export const adminWish: ApiTokenWish = {
  ...{ name: 'admin.json', role: 'administrator', user: null, parent: null, expires: null },
};

export type ApiTokenWish = Pick<ApiToken, 'name' | 'role' | 'user' | 'parent' | 'expires'>;

export class ApiTokens {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  make(wish: ApiTokenWish): { token: ApiToken; secret: string } {
    const secret = newSecret();
    return { token: this.#put(secret, wish), secret };
  }

  /** Of before tokens had names: the secret stays good. @returns undefined where it is not known */
  upgrade(secret: string, wish: ApiTokenWish): ApiToken | undefined {
    if (this.#store.get('apiTokens', hashOf(secret)) === undefined) return undefined;
    return this.find(secret) ?? this.#put(secret, wish);
  }

  #put(secret: string, wish: ApiTokenWish): ApiToken {
    const made = new Date().toISOString();
    const hash = hashOf(secret);
    const token = { ...wish, id: newId('token'), hash, made, lastUsed: null };
    this.#store.put('apiTokens', hash, token);
    return token;
  }

  get all(): readonly ApiToken[] {
    return this.#store
      .all<ApiToken>('apiTokens')
      .filter((token) => token.id !== undefined)
      .sort((a, b) => (a.made < b.made ? -1 : 1));
  }

  find(secret: string): ApiToken | undefined {
    const token = this.#store.get<ApiToken>('apiTokens', hashOf(secret));
    return token?.id === undefined ? undefined : token;
  }

  get(id: string): ApiToken {
    const token = this.all.find((each) => each.id === id);
    if (token !== undefined) return token;
    const why = `there is no API token "${id}"`;
    throw new UmbraError('api-token-unknown', why, 'See umbra token list.');
  }

  /** With all that were made with it. */
  revoke(token: ApiToken): void {
    this.#store.transaction(() => {
      this.#store.remove('apiTokens', token.hash);
      for (const child of this.all) if (child.parent === token.id) this.revoke(child);
    });
  }

  revokeAllOf(user: string): void {
    for (const token of this.all) if (token.user === user) this.revoke(token);
  }

  used(token: ApiToken): void {
    const now = Date.now();
    if (token.lastUsed !== null && now - Date.parse(token.lastUsed) < lastUsedStepMs) return;
    const lastUsed = new Date(now).toISOString();
    this.#store.put('apiTokens', token.hash, { ...token, lastUsed });
  }
}

export function apiTokenView({ hash: _, parent: __, ...view }: ApiToken): ApiTokenView {
  return view;
}
