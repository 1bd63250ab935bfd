/**
 * What the API tells of people: users, sessions, tokens and the audit trail. Secrets are told once,
 * in the reply that makes them; what is sent as a secret is `writeOnly` and never written down.
 */
import Type, { type Static } from 'typebox';
import { roles } from './roles.ts';

const OrNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
/** RFC 3339, UTC. */
const Time = Type.String({ format: 'date-time' });

export const RoleName = Type.Enum([...roles]);
export const JoinerKind = Type.Enum(['host', 'gateway', 'center']);
export const UserName = Type.String({
  pattern: '^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$',
  description: 'lower-case letters, digits and inner dots, hyphens and underscores, at most 63',
});
/** At least twelve characters; no other rule (NIST SP 800-63B). */
export const NewPassword = Type.String({ minLength: 12, maxLength: 256, writeOnly: true });
/** What somebody says is the password; short ones are wrong, not malformed. */
export const GivenPassword = Type.String({ maxLength: 256, writeOnly: true });
/** For people to recognise it by. */
export const Label = Type.String({
  pattern: '^[A-Za-z0-9]([A-Za-z0-9 ._@-]{0,61}[A-Za-z0-9])?$',
  description: 'letters, digits, inner spaces and . _ @ -, at most 63',
});
/** Seconds, up to ten years. */
export const Lifetime = Type.Integer({ minimum: 1, maximum: 315_360_000 });

export const UserView = Type.Object({
  name: Type.String(),
  role: RoleName,
  made: Time,
  passwordChanged: Time,
  lastLogin: OrNull(Time),
});
export type UserView = Static<typeof UserView>;

export const SessionView = Type.Object({
  /** The user, or the name of the API token. */
  name: Type.String(),
  kind: Type.Enum(['session', 'token']),
  role: RoleName,
  expires: OrNull(Time),
  /** For callers by cookie: the value of `X-CSRF-Token` that changing calls must carry. */
  csrfToken: OrNull(Type.String()),
});
export type SessionView = Static<typeof SessionView>;

export const LoginRequest = Type.Object(
  {
    user: Type.String({ minLength: 1, maxLength: 63 }),
    password: GivenPassword,
    cookie: Type.Optional(
      Type.Boolean({ description: 'set an HttpOnly cookie instead of telling the token' }),
    ),
  },
  { additionalProperties: false },
);
export const LoginReply = Type.Object({
  /** null where a cookie was set. */
  token: OrNull(Type.String()),
  session: SessionView,
});

export const ApiTokenView = Type.Object({
  id: Type.String(),
  name: Type.String(),
  role: RoleName,
  /** The user whose token it is; null: of the cluster's administrator on the center's machine. */
  user: OrNull(Type.String()),
  made: Time,
  expires: OrNull(Time),
  /** To the minute. */
  lastUsed: OrNull(Time),
});
export type ApiTokenView = Static<typeof ApiTokenView>;

export const JoinTokenView = Type.Object({
  id: Type.String(),
  state: Type.Enum(['good', 'used', 'expired']),
  /** The only kind of daemon that may use it; null: either. */
  kind: OrNull(JoinerKind),
  made: Time,
  madeBy: Type.String(),
  expires: Time,
  /** The name, or the id, of the daemon that joined with it. */
  usedBy: OrNull(Type.String()),
});
export type JoinTokenView = Static<typeof JoinTokenView>;

export const AuditView = Type.Object({
  sequence: Type.Integer(),
  time: Time,
  /** A user, a token, a daemon; `-` for somebody unknown. */
  who: Type.String(),
  role: OrNull(Type.String()),
  /** IP address of the caller. */
  address: Type.String(),
  /** The endpoint's name. */
  action: Type.String(),
  /** Path parameters, and the body without its secrets. */
  input: Type.Record(Type.String(), Type.Unknown()),
  /** `done`, or the code of the problem. */
  outcome: Type.String(),
  milliseconds: Type.Number(),
  /** Refusals of unknown callers just before that were too many to write down. */
  skipped: Type.Integer(),
});
export type AuditView = Static<typeof AuditView>;
