/**
 * What the API tells of hosts, VMs, protection and events, and what a joining daemon says: the
 * schemas, and the types that follow from them.
 */
import Type, { type Static } from 'typebox';

const OrNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const HostView = Type.Object({
  id: Type.String(),
  name: Type.String(),
  kind: Type.Enum(['host', 'gateway']),
  state: Type.Enum(['connected', 'notResponding', 'maintenance']),
  /** The daemon's process, while it is connected. */
  pid: OrNull(Type.Integer()),
  /** Of the VM copies that it runs. */
  vmPids: Type.Array(Type.Integer()),
  addresses: Type.Array(Type.String()),
  cpus: Type.Integer(),
  memoryBytes: Type.Integer(),
  memoryFreeBytes: Type.Integer(),
  version: Type.String(),
  /** To which hosts and gateways its trunks are up, by name, and how far away they are. */
  trunks: Type.Array(
    Type.Object({
      peer: Type.String(),
      /** The least lately, there and back; null: not known yet. */
      roundTripMs: OrNull(Type.Number()),
    }),
  ),
  /** Storage that other hosts reach, too, as it was when the host connected. */
  datastores: Type.Array(
    Type.Object({
      name: Type.String(),
      /** Of the storage itself: equal on all hosts that have the same. */
      id: Type.String(),
      path: Type.String(),
      /** Whether copies of files share blocks there, so that a restart copies nothing. */
      canClone: Type.Boolean(),
      bytesFree: Type.Integer(),
      bytesTotal: Type.Integer(),
    }),
  ),
  /** In maintenance: whether it is empty, and which copies are still there, each with why. */
  maintenance: OrNull(
    Type.Object({
      isEmpty: Type.Boolean(),
      remaining: Type.Array(
        Type.Object({
          vm: Type.String(),
          copy: Type.Enum(['live', 'shadow']),
          /** null: on its way. */
          why: OrNull(Type.String()),
        }),
      ),
    }),
  ),
});
export type HostView = Static<typeof HostView>;

/** The reference's states of protection and its reasons (FACTS 3). */
export const FtStatusView = Type.Object({
  vm: Type.String(),
  state: Type.Enum(['notConfigured', 'disabled', 'enabled', 'needShadow', 'starting', 'running']),
  reason: OrNull(Type.String()),
  generation: Type.Integer(),
  primary: OrNull(Type.Object({ host: Type.String(), pid: OrNull(Type.Integer()) })),
  shadow: OrNull(
    Type.Object({
      host: Type.String(),
      pid: OrNull(Type.Integer()),
      lagMs: Type.Number(),
      /** Bytes of its disks: in all, known to equal the primary's, and sent for that. */
      replica: Type.Optional(
        Type.Object({
          bytesTotal: Type.Integer(),
          bytesCompared: Type.Integer(),
          bytesSent: Type.Integer(),
        }),
      ),
    }),
  ),
  /** null: not known yet. */
  logMbitPerSecond: OrNull(Type.Number()),
  /** Of one core. */
  shadowCpuPercent: OrNull(Type.Number()),
  shadowMemoryBytes: OrNull(Type.Number()),
  logBytesSent: Type.Integer(),
  fingerprintsCompared: Type.Integer(),
  divergences: Type.Integer(),
});
export type FtStatusView = Static<typeof FtStatusView>;

export const HaPriority = Type.Enum(['highest', 'high', 'medium', 'low', 'lowest']);

export const HaView = Type.Object({
  /** Whether it is restarted elsewhere if its host is lost. */
  restart: Type.Boolean(),
  /** Who is restarted first. */
  priority: HaPriority,
  /** `fromNextPowerOn`: the copy that runs holds no lease, by which it would end. */
  state: Type.Enum(['on', 'fromNextPowerOn', 'off']),
  /** Its guest is reset when it has not served its own timer for so long; null: never. */
  watchdogSeconds: OrNull(Type.Integer()),
});

export const VmView = Type.Object({
  id: Type.String(),
  name: Type.String(),
  number: Type.Integer(),
  /** Grows with each change of what is wished; for `If-Match`. */
  version: Type.Integer(),
  state: Type.Enum(['poweredOff', 'starting', 'poweredOn', 'stopping', 'suspended', 'unknown']),
  image: Type.String(),
  imageDigest: Type.String(),
  cpus: Type.Integer(),
  memoryBytes: Type.Integer(),
  /** Replicated: each copy's host has a file of each. */
  disks: Type.Array(Type.Object({ bytes: Type.Integer() })),
  mac: Type.String(),
  /** Absent: none. */
  vlan: Type.Optional(Type.Integer()),
  /** Its card has no cable: it goes on from a recording, with the address that was recorded. */
  isolated: Type.Optional(Type.Boolean()),
  /** Where it is live, or was last. */
  host: OrNull(Type.String()),
  /** Where its disks are; null: on its hosts, each with a replica. */
  datastore: OrNull(Type.String()),
  ha: HaView,
  ports: Type.Array(
    Type.Object({
      protocol: Type.Enum(['tcp', 'udp']),
      gatewayPort: Type.Integer(),
      guestPort: Type.Integer(),
    }),
  ),
  /** What its flight recorder shall hold; null: it has none. */
  flight: OrNull(
    Type.Object({
      minutes: Type.Integer(),
      bytesMax: Type.Integer(),
      /** After an incident it is put back by itself, to so long before; null: never by itself. */
      rewindSeconds: OrNull(Type.Number()),
    }),
  ),
  /** Why what is wished cannot be done now. */
  obstacle: OrNull(Type.String()),
  /** A migration under way. */
  migration: OrNull(
    Type.Object({ to: Type.String(), fraction: Type.Number(), text: Type.String() }),
  ),
  ft: FtStatusView,
});
export type VmView = Static<typeof VmView>;

export const EventView = Type.Object({
  sequence: Type.Integer(),
  /** RFC 3339, UTC. */
  time: Type.String(),
  kind: Type.String(),
  text: Type.String(),
  /** Names: vm, host; and what belongs to the kind. */
  data: Type.Record(Type.String(), Type.Unknown()),
});
export type EventView = Static<typeof EventView>;
export const EventList = Type.Array(EventView);

export const JoinRequest = Type.Object({
  token: Type.String({ maxLength: 200, writeOnly: true }),
  kind: Type.Enum(['host', 'gateway']),
  name: Type.String({
    pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
    description: 'lower-case letters, digits and inner hyphens, at most 63',
  }),
  /** IP addresses at which its certificate shall be valid. */
  addresses: Type.Array(Type.String(), { maxItems: 32 }),
  /** PKCS #10, PEM. */
  certificateRequest: Type.String({ maxLength: 10_000 }),
});
export const JoinCenterRequest = Type.Object({
  token: Type.String({ maxLength: 200, writeOnly: true }),
});
export const JoinCenterReply = Type.Object({
  /** PEM. */
  certificate: Type.String(),
  key: Type.String(),
  /** An administrator's, for the new center's admin.json. */
  adminToken: Type.String(),
});

export const JoinReply = Type.Object({
  daemonId: Type.String(),
  certificate: Type.String(),
  ca: Type.String(),
});

export const RenewalRequest = Type.Object({
  /** PKCS #10, PEM, with a new key. */
  certificateRequest: Type.String({ maxLength: 10_000 }),
});
export const RenewalReply = Type.Object({ certificate: Type.String() });
