/**
 * What a daemon may say, checked at the center's door: the shapes of agent.ts (DaemonMessage), where
 * their meaning is told.
 */
import Type, { type Static } from 'typebox';
import type { DaemonMessage } from './agent.ts';

const Count = Type.Integer({ minimum: 0 });
const Decimal = Type.String({ pattern: '^[0-9]{1,20}$' });
const Name = Type.String({ maxLength: 200 });

const VmStatus = Type.Object({
  vm: Name,
  pid: Count,
  process: Name,
  role: Type.Enum(['starting', 'live', 'shadow', 'ended']),
  count: Decimal,
  epoch: Count,
  generation: Count,
  logAddress: Type.Optional(Type.String()),
  logPort: Type.Optional(Count),
  ftState: Type.String(),
  ftReason: Type.Optional(Type.String()),
  shadowHost: Type.Optional(Type.String()),
  lagMs: Type.Number(),
  logBytesSent: Type.Number(),
  logRoundTripMs: Type.Optional(Type.Number({ minimum: 0 })),
  fingerprintsCompared: Count,
  divergences: Count,
  watchdogSeconds: Type.Optional(Count),
  replica: Type.Optional(
    Type.Object({ bytesTotal: Count, bytesCompared: Count, bytesSent: Count }),
  ),
  gate: Type.Optional(Type.Object({ medianMs: Type.Number(), p99Ms: Type.Number(), held: Count })),
  lastFingerprint: Type.Optional(Type.Object({ position: Count, count: Decimal })),
  typedBytes: Type.Optional(Count),
  cpuMicros: Type.Optional(Type.Number({ minimum: 0 })),
  residentBytes: Type.Optional(Type.Number({ minimum: 0 })),
  network: Type.Optional(
    Type.Object({
      bytesReceived: Count,
      bytesSent: Count,
      framesReceived: Count,
      framesSent: Count,
    }),
  ),
  disk: Type.Optional(
    Type.Object({ bytesRead: Count, bytesWritten: Count, reads: Count, writes: Count }),
  ),
  recordings: Type.Optional(
    Type.Array(
      Type.Object({
        id: Name,
        name: Name,
        bytes: Count,
        seconds: Type.Number({ minimum: 0 }),
        bytesPerSecond: Type.Number({ minimum: 0 }),
      }),
      { maxItems: 64 },
    ),
  ),
  flight: Type.Optional(
    Type.Object({
      seconds: Count,
      bytesMax: Count,
      held: Type.Number({ minimum: 0 }),
      bytes: Count,
      bytesPerSecond: Type.Number({ minimum: 0 }),
    }),
  ),
  ended: Type.Optional(Type.Object({ kind: Type.String(), text: Type.String() })),
});

const Datastore = Type.Object({
  name: Name,
  id: Name,
  path: Type.String({ maxLength: 4096 }),
  canClone: Type.Boolean(),
  bytesFree: Count,
  bytesTotal: Count,
});

const VmSpec = Type.Object({
  id: Name,
  name: Name,
  number: Count,
  image: Name,
  imageDigest: Name,
  cpus: Count,
  memoryBytes: Count,
  mac: Name,
  append: Type.Optional(Type.String()),
  datastore: Type.Optional(Type.Object({ name: Name, id: Name })),
  disks: Type.Array(
    Type.Object({
      bytes: Count,
      template: Type.Optional(Type.String()),
      formerBytes: Type.Optional(Type.Array(Count)),
    }),
  ),
  epochOffset: Type.String(),
  randomSeed: Type.String(),
});

const SnapshotInfo = Type.Object({
  id: Name,
  name: Name,
  count: Decimal,
  savedAtMs: Count,
  bytes: Count,
  vm: VmSpec,
  isOff: Type.Optional(Type.Boolean()),
});

const RecordingInfo = Type.Object({
  id: Name,
  name: Name,
  vm: Name,
  startedAtMs: Count,
  count: Decimal,
  bytes: Count,
  endedAtMs: Type.Optional(Count),
  seconds: Type.Optional(Type.Number({ minimum: 0 })),
  ended: Type.Optional(
    Type.Object({
      kind: Name,
      text: Type.Optional(Type.String()),
      incident: Type.Optional(
        Type.Object({
          kind: Type.Enum(['panic', 'failure', 'watchdog']),
          at: Type.Number({ minimum: 0 }),
          forSeconds: Type.Number({ minimum: 0 }),
        }),
      ),
    }),
  ),
});

export const DaemonMessageSchema = Type.Union([
  Type.Object({
    kind: Type.Literal('hello'),
    protocol: Count,
    daemonKind: Type.Enum(['host', 'gateway']),
    pid: Count,
    version: Type.String({ maxLength: 100 }),
    trunkAddress: Type.String(),
    trunkPort: Type.Integer({ minimum: 0, maximum: 65535 }),
    logAddress: Type.String(),
    cpus: Count,
    memoryBytes: Count,
    vms: Type.Array(VmStatus),
    datastores: Type.Optional(Type.Array(Datastore, { maxItems: 64 })),
  }),
  Type.Object({
    kind: Type.Literal('status'),
    vms: Type.Array(VmStatus),
    trunks: Type.Optional(
      Type.Array(
        Type.Object({ peer: Name, roundTripMs: Type.Optional(Type.Number({ minimum: 0 })) }),
      ),
    ),
  }),
  Type.Object({ kind: Type.Literal('clock'), unixMs: Type.Number() }),
  Type.Object({
    kind: Type.Literal('report'),
    vm: Name,
    report: Type.Record(Type.String(), Type.Unknown()),
  }),
  Type.Object({
    kind: Type.Literal('snapshots'),
    vm: Name,
    snapshots: Type.Array(SnapshotInfo),
  }),
  Type.Object({
    kind: Type.Literal('recordings'),
    vm: Name,
    recordings: Type.Array(RecordingInfo),
  }),
  Type.Object({
    kind: Type.Literal('console'),
    vm: Name,
    offset: Decimal,
    bytes: Type.String(),
  }),
  Type.Object({
    kind: Type.Literal('failed'),
    vm: Name,
    command: Type.String(),
    code: Type.String(),
    message: Type.String(),
    remedy: Type.String(),
  }),
]);

/** The compiler holds the schema to the type, one way; tests send every kind. */
type Checked = Static<typeof DaemonMessageSchema> extends DaemonMessage ? true : never;
const checked: Checked = true;
void checked;
