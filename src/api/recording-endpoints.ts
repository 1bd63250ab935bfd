/**
 * The endpoints about recordings of VMs that run; rows of api/endpoints.ts. What takes a while
 * answers with its task. A recording itself comes as an archive (archive.ts):
 * `/vms/:vm/recordings/:recording/archive`.
 */
import Type, { type Static } from 'typebox';
import { TaskView } from './tasks.ts';
import { VmView } from './views.ts';

const OrNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const strict = { additionalProperties: false } as const;
const Vm = Type.Object({ vm: Type.String({ minLength: 1 }) });
export const Recording = Type.Object({
  vm: Type.String({ minLength: 1 }),
  /** Its name or id. */
  recording: Type.String({ minLength: 1 }),
});
export const Name = Type.String({
  pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
  description: 'lower-case letters, digits and inner hyphens, at most 63',
});

/** A place of a recording, and how long before it. */
export const place = {
  to: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'a place: COUNT, time:SECONDS, event:N, text:TEXT, begin, end; by default end',
    }),
  ),
  secondsBefore: Type.Optional(
    Type.Number({ minimum: 0, maximum: 86_400, description: "of the guest's time" }),
  ),
};

export const RecordingView = Type.Object({
  id: Type.String(),
  name: Type.String(),
  /** A recording is on one host, where its VM was live. */
  host: Type.String(),
  hostConnected: Type.Boolean(),
  /** `unknown`: its host does not respond, and has not said that it had ended. */
  state: Type.Enum(['recording', 'ended', 'unknown']),
  /** RFC 3339, UTC. */
  startedAt: Type.String(),
  /** null: under way, or its process went without a word. */
  endedAt: OrNull(Type.String()),
  /** `stopped`, `kept` (of a flight recorder), `vm-ended`, `failed`, `process-lost`; null: it has not. */
  end: OrNull(Type.String()),
  /** Why it failed, or was kept. */
  endText: OrNull(Type.String()),
  /** How long it is; null: not known. */
  seconds: OrNull(Type.Number()),
  /** What it takes on that host's disk, while it is under way: now. */
  bytes: Type.Integer(),
  /** Written so far, over the whole time; null: it is not under way. */
  bytesPerSecond: OrNull(Type.Number()),
  /** The machine's count where it begins. */
  count: Type.String(),
});
export type RecordingView = Static<typeof RecordingView>;

export const recordingEndpoints = {
  startRecording: {
    method: 'POST',
    path: '/vms/:vm/recordings',
    access: 'operator',
    summary: 'Records a VM that runs, from now on; it runs on, protected or not.',
    params: Vm,
    body: Type.Object(
      {
        name: Name,
        bytesMax: Type.Optional(
          Type.Integer({
            minimum: 2 ** 24,
            description: 'what it may take on the disk, about; the newest part is kept',
          }),
        ),
      },
      strict,
    ),
    reply: TaskView,
  },
  listRecordings: {
    method: 'GET',
    path: '/vms/:vm/recordings',
    access: 'viewer',
    summary: 'Recordings of a VM, oldest first, with the size and rate of one under way.',
    params: Vm,
    reply: Type.Array(RecordingView),
  },
  stopRecording: {
    method: 'POST',
    path: '/vms/:vm/recordings/:recording/stop',
    access: 'operator',
    summary: 'Ends a recording; the VM runs on.',
    params: Recording,
    reply: TaskView,
  },
  deleteRecording: {
    method: 'DELETE',
    path: '/vms/:vm/recordings/:recording',
    access: 'operator',
    summary: 'Deletes a recording that has ended.',
    params: Recording,
    reply: Type.Null(),
  },
  setFlight: {
    method: 'POST',
    path: '/vms/:vm/flight',
    access: 'operator',
    summary: 'What the flight recorder of a VM holds: the last minutes, to be kept when it fails.',
    params: Vm,
    body: Type.Object(
      {
        minutes: Type.Union([Type.Integer({ minimum: 1, maximum: 1440 }), Type.Null()], {
          description: 'null: off',
        }),
        bytesMax: Type.Optional(
          Type.Integer({ minimum: 2 ** 26, description: 'on the disk, about; 1 GiB if not given' }),
        ),
        rewindSeconds: Type.Optional(
          Type.Union([Type.Number({ minimum: 0.1, maximum: 86_400 }), Type.Null()], {
            description:
              'after an incident the VM is put back by itself to so long before: what it has done since then is undone, acknowledged or not; null: never by itself; not given: as before',
          }),
        ),
      },
      strict,
    ),
    reply: VmView,
  },
  keepFlight: {
    method: 'POST',
    path: '/vms/:vm/flight/keep',
    access: 'operator',
    summary: 'Makes a recording of what the flight recorder holds; it goes on.',
    params: Vm,
    body: Type.Object({ name: Name }, strict),
    reply: TaskView,
  },
  rewindVm: {
    method: 'POST',
    path: '/vms/:vm/rewind',
    access: 'operator',
    summary:
      'Puts a VM back to a place of a recording, live: what it has done since then is undone, acknowledged or not.',
    params: Vm,
    body: Type.Object(
      {
        recording: Type.Optional(
          Type.String({
            minLength: 1,
            description: 'its name or id; without one what the flight recorder holds now',
          }),
        ),
        ...place,
      },
      strict,
    ),
    reply: TaskView,
  },
} as const;
