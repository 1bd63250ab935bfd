/**
 * Everybody who may come in with a secret: users by password, sessions, API tokens; and what a
 * secret is worth at this moment.
 */
import type { SessionView } from '../../api/people.ts';
import { lesserOf, type Role } from '../../api/roles.ts';
import { UmbraError } from '../../base/errors.ts';
import type { Store } from '../store/store.ts';
import { type ApiToken, ApiTokens } from './api-tokens.ts';
import { hasPassed } from './secrets.ts';
import { csrfTokenOf, isOver, type Session, Sessions } from './sessions.ts';
import { addressRule, Throttle, type ThrottleRule, userRule } from './throttle.ts';
import { Users } from './users.ts';

/** Somebody who has shown a secret. */
export interface Person {
  readonly kind: 'person';
  /** The user, or the name of a token that is no user's. */
  readonly name: string;
  /** undefined: the administrator on the center's machine. */
  readonly user: string | undefined;
  readonly role: Role;
  readonly credential:
    | { readonly kind: 'session'; readonly session: Session }
    | { readonly kind: 'token'; readonly token: ApiToken };
  readonly secret: string;
}

export class People {
  readonly users: Users;
  readonly sessions: Sessions;
  readonly tokens: ApiTokens;
  readonly #byUser: Throttle;
  readonly #byAddress = new Throttle(addressRule);
  /** Since the start, for the metrics. */
  readonly loginsRefused = { wrong: 0, throttled: 0 };

  constructor(store: Store, rule: ThrottleRule = userRule) {
    this.#byUser = new Throttle(rule);
    this.users = new Users(store);
    this.sessions = new Sessions(store);
    this.tokens = new ApiTokens(store);
  }

  /** What a bearer secret is worth now. */
  personOf(secret: string): Person {
    const session = this.sessions.find(secret);
    if (session !== undefined) return this.#ofSession(session, secret);
    const token = this.tokens.find(secret);
    if (token !== undefined) return this.#ofToken(token, secret);
    throw refused('the token is not one of this center, or has been revoked');
  }

  #ofSession(session: Session, secret: string): Person {
    const user = this.users.get(session.user);
    if (user === undefined) throw refused(`there is no user "${session.user}" any more`);
    if (isOver(session)) {
      const why = `the session has expired at ${session.expires}`;
      throw new UmbraError('session-expired', why, 'Log in again: umbra login.');
    }
    const { name, role } = user;
    const credential = { kind: 'session', session } as const;
    return { kind: 'person', name, user: name, role, credential, secret };
  }

  #ofToken(token: ApiToken, secret: string): Person {
    if (hasPassed(token.expires)) {
      throw new UmbraError(
        'credentials-expired',
        `the API token "${token.name}" has expired at ${token.expires}`,
        'Make another one: umbra token create.',
      );
    }
    const user = token.user === null ? undefined : this.users.get(token.user);
    if (token.user !== null && user === undefined) {
      throw refused(`there is no user "${token.user}" any more`);
    }
    this.tokens.used(token);
    const credential = { kind: 'token', token } as const;
    return {
      kind: 'person',
      name: user?.name ?? token.name,
      user: user?.name,
      role: user === undefined ? token.role : lesserOf(token.role, user.role),
      credential,
      secret,
    };
  }

  /**
   * Opens a session. An unknown user and a wrong password take the same time and get the same
   * answer, and so do their delays.
   * @throws UmbraError login-refused, login-throttled
   */
  async login(
    name: string,
    password: string,
    address: string,
    isCookie: boolean,
  ): Promise<{ person: Person; secret: string }> {
    const delayMs = Math.max(this.#byUser.delayMs(name), this.#byAddress.delayMs(address));
    if (delayMs > 0) {
      this.loginsRefused.throttled += 1;
      throw new Throttled(Math.ceil(delayMs / 1000));
    }
    this.#byUser.attempt(name);
    this.#byAddress.attempt(address);
    const user = await this.users.check(name, password);
    if (user === undefined) {
      this.loginsRefused.wrong += 1;
      const why = 'user or password are wrong';
      throw new UmbraError('login-refused', why, 'An administrator can set a new password.');
    }
    this.#byUser.forgive(name);
    // One right password among many guesses forgives the guesses of an address nothing.
    this.#byAddress.takeBack(address);
    const { session, secret } = this.sessions.open(name, isCookie);
    this.users.loggedIn(name);
    return { person: this.#ofSession(session, secret), secret };
  }

  removeUser(name: string): void {
    this.users.remove(name);
    this.sessions.endAllOf(name);
    this.tokens.revokeAllOf(name);
  }
}

export class Throttled extends UmbraError {
  readonly retryAfterSeconds: number;

  constructor(retryAfterSeconds: number) {
    const why = 'too many logins have failed for this user or from this address';
    super('login-throttled', why, `Try again in ${retryAfterSeconds} s.`);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export function sessionView({ name, role, credential, secret }: Person): SessionView {
  if (credential.kind === 'token') {
    const { expires } = credential.token;
    return { name, kind: 'token', role, expires, csrfToken: null };
  }
  const { expires, isCookie } = credential.session;
  const csrfToken = isCookie ? csrfTokenOf(secret) : null;
  return { name, kind: 'session', role, expires, csrfToken };
}

function refused(why: string): UmbraError {
  return new UmbraError(
    'credentials-refused',
    why,
    'Log in (umbra login), or use the file that the center wrote: admin.json in its folder of data.',
  );
}
