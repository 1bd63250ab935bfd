/**
 * The cluster as it is, and as it changes: `GET /api/v1/live` as a WebSocket for viewers, one JSON
 * object a message.
 *
 * The first message is the whole state at one moment; after it come the views that have changed, each
 * whole, and what has gone. What changes all the time (lag, rates, counts) comes apart, as figures,
 * once a second, so that a view is sent again only when something has happened. Whoever loses the
 * connection opens another one and begins with its first message: nothing is to be resumed. What has
 * happened in words, durable and numbered, is the stream of events (event-stream.ts).
 */
import Type, { type Static } from 'typebox';
import { AlarmView } from './lifecycle-views.ts';
import { TaskView } from './tasks.ts';
import { HostView, VmView } from './views.ts';

const OrNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** One process of a VM. */
export const CopyFigures = Type.Object({
  /** Instructions retired plus traps taken since power-on; decimal. */
  count: Type.String(),
  /** Of one core; null: not known yet. */
  cpuPercent: OrNull(Type.Number()),
  /** Resident. */
  memoryBytes: OrNull(Type.Number()),
});
export type CopyFigures = Static<typeof CopyFigures>;

export const VmFigures = Type.Object({
  /** The VM's id. */
  vm: Type.String(),
  primary: OrNull(CopyFigures),
  shadow: OrNull(CopyFigures),
  /** null: there is no shadow. */
  lagMs: OrNull(Type.Number()),
  logMbitPerSecond: OrNull(Type.Number()),
  logBytesSent: Type.Integer(),
  /** The least lately from a batch to its acknowledgement; null: not known. */
  logRoundTripMs: OrNull(Type.Number()),
  /** Of the guest's network card and disks; null: not known yet. */
  receivedMbitPerSecond: OrNull(Type.Number()),
  sentMbitPerSecond: OrNull(Type.Number()),
  readBytesPerSecond: OrNull(Type.Number()),
  writtenBytesPerSecond: OrNull(Type.Number()),
  /** How long outputs were held lately, in milliseconds, and how many are held; null: none were. */
  gate: OrNull(
    Type.Object({ medianMs: Type.Number(), p99Ms: Type.Number(), held: Type.Integer() }),
  ),
  /** Recordings under way: what each takes by now, and what is written a second. */
  recordings: Type.Array(
    Type.Object({ name: Type.String(), bytes: Type.Integer(), bytesPerSecond: Type.Number() }),
  ),
  /** Seconds that its flight recorder holds, and what they take; null: there is none. */
  flight: OrNull(
    Type.Object({
      held: Type.Number(),
      bytes: Type.Integer(),
      bytesPerSecond: Type.Number(),
    }),
  ),
  fingerprintsCompared: Type.Integer(),
  /** Where in the log the shadow has last compared a fingerprint. */
  lastFingerprint: OrNull(Type.Object({ position: Type.Integer(), count: Type.String() })),
  divergences: Type.Integer(),
});
export type VmFigures = Static<typeof VmFigures>;

export const HostFigures = Type.Object({
  /** The host's id. */
  host: Type.String(),
  /** Of its VM copies together, of one core. */
  cpuPercent: Type.Number(),
  /** Resident, of its VM copies together. */
  memoryBytes: Type.Number(),
});
export type HostFigures = Static<typeof HostFigures>;

/** What would happen if one host were lost now. */
export const CapacityView = Type.Object({
  /** The worst loss that could not be made good: the host, and the VMs without a place; by name. */
  shortage: OrNull(Type.Object({ host: Type.String(), vms: Type.Array(Type.String()) })),
});
export type CapacityView = Static<typeof CapacityView>;

/** Views by their tables; of each all, or those that have changed. */
const views = {
  hosts: Type.Array(HostView),
  vms: Type.Array(VmView),
  alarms: Type.Array(AlarmView),
  tasks: Type.Array(TaskView),
};
export const liveTables = ['hosts', 'vms', 'alarms', 'tasks'] as const;
export type LiveTable = (typeof liveTables)[number];

const figures = { vmFigures: Type.Array(VmFigures), hostFigures: Type.Array(HostFigures) };

export const LiveState = Type.Object({
  kind: Type.Literal('state'),
  version: Type.String(),
  /** The arbiter's epoch. */
  epoch: Type.Integer(),
  ...views,
  ...figures,
  capacity: CapacityView,
  unixMs: Type.Integer(),
});
export type LiveState = Static<typeof LiveState>;

export const LiveChanges = Type.Object({
  kind: Type.Literal('changes'),
  ...views,
  ...figures,
  /** Ids of what is no more. */
  gone: Type.Array(Type.Object({ table: Type.Enum([...liveTables]), id: Type.String() })),
  capacity: Type.Optional(CapacityView),
  /** The center's clock. One comes every second, also when nothing has changed. */
  unixMs: Type.Integer(),
});
export type LiveChanges = Static<typeof LiveChanges>;

export const LiveMessage = Type.Union([LiveState, LiveChanges]);
export type LiveMessage = LiveState | LiveChanges;
