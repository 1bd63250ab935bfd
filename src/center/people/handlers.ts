/** What the endpoints on people do: sessions, users, tokens, the audit trail. */
import { mayAct, type Role } from '../../api/roles.ts';
import { UmbraError } from '../../base/errors.ts';
import { nameOf, noCookie, sessionCookie } from '../callers.ts';
import type { Call, Context, Handlers } from '../handler.ts';
import { type ApiToken, apiTokenView } from './api-tokens.ts';
import { listJoinTokens, makeJoinToken, revokeJoinToken } from './join-tokens.ts';
import { checkPassword } from './passwords.ts';
import { type Person, sessionView } from './people.ts';
import { expiryAfter } from './secrets.ts';
import { userView } from './users.ts';

export const peopleHandlers = {
  login: async ({ people }, { body }, call) => {
    const isCookie = body.cookie ?? false;
    const { person, secret } = await people.login(body.user, body.password, call.address, isCookie);
    call.caller = person;
    if (isCookie) call.setHeader('set-cookie', sessionCookie(secret));
    return { token: isCookie ? null : secret, session: sessionView(person) };
  },
  showSession: (_context, _input, call) => sessionView(personOf(call)),
  logout: ({ people }, _input, call) => {
    const { credential } = personOf(call);
    if (credential.kind === 'token') {
      throw new UmbraError(
        'session-missing',
        'an API token is not a session and cannot log out',
        `Revoke it: umbra token revoke ${credential.token.id}.`,
      );
    }
    people.sessions.end(credential.session);
    call.setHeader('set-cookie', noCookie());
    return null;
  },

  listUsers: ({ people }) => people.users.all.map(userView),
  createUser: async ({ people }, { body: { name, role, password } }) =>
    userView(await people.users.add(name, role, password)),
  removeUser: ({ cluster, people }, { params: { user } }) => {
    cluster.store.transaction(() => people.removeUser(user));
    return null;
  },
  setUserRole: ({ people }, { params, body }) =>
    userView(people.users.setRole(params.user, body.role)),
  setUserPassword: async ({ people }, { params, body }, call) => {
    const person = personOf(call);
    await refuseForeignPassword(person, params.user, body.present, people.users);
    const user = await people.users.setPassword(params.user, body.password);
    // Whoever knew the old one is out; the caller stays.
    const { credential } = person;
    const own = credential.kind === 'session' ? credential.session.id : undefined;
    people.sessions.endAllOf(params.user, own);
    return userView(user);
  },

  listApiTokens: ({ people }, _input, call) =>
    people.tokens.all.filter((token) => isOwn(personOf(call), token)).map(apiTokenView),
  createApiToken: ({ people }, { body }, call) => {
    const person = personOf(call);
    refuseMore(person, body.role);
    const { credential } = person;
    const parent = credential.kind === 'token' ? credential.token : undefined;
    const { token, secret } = people.tokens.make({
      ...{ name: body.name, role: body.role, user: person.user ?? null },
      parent: parent?.id ?? null,
      expires: earlier(expiryAfter(body.ttlSeconds), parent?.expires ?? null),
    });
    return { token: secret, info: apiTokenView(token) };
  },
  revokeApiToken: ({ people }, { params }, call) => {
    const token = people.tokens.get(params.token);
    // To others it is as if it did not exist.
    if (!isOwn(personOf(call), token)) people.tokens.get(`${params.token} of somebody else`);
    people.tokens.revoke(token);
    return null;
  },

  listJoinTokens: ({ cluster }) => listJoinTokens(cluster.store, cluster.nameOf),
  createJoinToken: ({ cluster, authority }, { body }, call) => {
    const { id, secret, expires } = makeJoinToken(cluster.store, nameOf(call.caller), body);
    return { id, token: `${secret}.${authority.fingerprint}`, expires };
  },
  revokeJoinToken: ({ cluster }, { params }) => {
    revokeJoinToken(cluster.store, params.token);
    return null;
  },

  listAudit: ({ audit }, { query }) => audit.list(query),
} satisfies Partial<Handlers>;

function personOf({ caller }: Call): Person {
  if (caller.kind === 'person') return caller;
  throw new UmbraError('access-denied', 'this is for people', 'Log in: umbra login.');
}

function isOwn(person: Person, token: ApiToken): boolean {
  if (mayAct(person.role, 'administrator')) return true;
  return token.user !== null && token.user === person.user;
}

function refuseMore(person: Person, role: Role): void {
  if (mayAct(person.role, role)) return;
  throw new UmbraError(
    'access-denied',
    `${person.name} is ${person.role} and can make no token for the role ${role}`,
    'Ask for a role that is not higher than your own.',
  );
}

/** One's own with the present one; others' as administrator. */
async function refuseForeignPassword(
  person: Person,
  user: string,
  present: string | undefined,
  users: Context['people']['users'],
): Promise<void> {
  if (mayAct(person.role, 'administrator') && person.user !== user) return;
  if (person.user !== user) {
    throw new UmbraError(
      'access-denied',
      `${person.name} may not set the password of ${user}`,
      'Ask an administrator.',
    );
  }
  if (await checkPassword(users.find(user).passwordHash, present ?? '')) return;
  throw new UmbraError(
    'password-wrong',
    'the present password is wrong',
    'Give it as "present", or ask an administrator to set a new one.',
  );
}

function earlier(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? a : b;
}
