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

/** Where something would go; `to` null: nowhere, for the reason `why`. Names. */
const Destination = { to: OrNull(Type.String()), why: OrNull(Type.String()) };

/** What maintenance of a host would do with the copies on it, one after the other. */
export const EvacuationView = Type.Object({
  /** Whether the host would be empty in the end. */
  isPossible: Type.Boolean(),
  moves: Type.Array(
    Type.Object({
      vm: Type.String(),
      copy: Type.Enum(['live', 'shadow']),
      /** Its shadow takes over; a copy is built elsewhere and takes over; the shadow is moved. */
      how: Type.Enum(['take-over', 'migrate', 'move-shadow']),
      ...Destination,
      /** Of a live copy that is to be protected: the shadow it would have then. */
      shadow: OrNull(Type.Object(Destination)),
    }),
  ),
  /** VMs that are off and cannot be powered on meanwhile: what they would start from is here only. */
  stranded: Type.Array(
    Type.Object({ vm: Type.String(), needs: Type.Enum(['disks', 'saved-state']) }),
  ),
});
export type EvacuationView = Static<typeof EvacuationView>;

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
