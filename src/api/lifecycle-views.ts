/** What the API tells of prechecks and alarms: schemas, and the types that follow from them. */
import Type, { type Static } from 'typebox';

const OrNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const Precheck = Type.Object({
  check: Type.Enum(['arbiter', 'primary', 'hosts', 'disks', 'replica', 'limits', 'room']),
  ok: Type.Boolean(),
  /** What was found, in words. */
  text: Type.String(),
});
export type Precheck = Static<typeof Precheck>;

export const PrecheckReport = Type.Object({
  ok: Type.Boolean(),
  checks: Type.Array(Precheck),
});

export const AlarmView = Type.Object({
  /** `KIND:SUBJECT`. */
  id: Type.String(),
  kind: Type.String(),
  severity: Type.Enum(['red', 'yellow', 'gray']),
  text: Type.String(),
  /** Names. */
  vm: OrNull(Type.String()),
  host: OrNull(Type.String()),
  /** RFC 3339, UTC. */
  since: Type.String(),
  acknowledged: OrNull(Type.String()),
  /** Stays until it is acknowledged. */
  latched: Type.Boolean(),
});
export type AlarmView = Static<typeof AlarmView>;
