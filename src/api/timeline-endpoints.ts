/**
 * The endpoints by which a recording is looked at as a timeline; rows of api/endpoints.ts. What its
 * log says is there at once; what the guest itself has said and sent comes from a replay, which its
 * host does once.
 */
import Type, { type Static } from 'typebox';
import { Name, place, Recording } from './recording-endpoints.ts';
import { TaskView } from './tasks.ts';

const OrNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Numbers = Type.Array(Type.Number());

/** A place in a recording. */
const Place = Type.Object({
  /** The machine's count, decimal. */
  count: Type.String(),
  /** Of the guest's clock, since it was switched on; what `time:SECONDS` means. */
  seconds: Type.Number(),
});

/** As hosts tell it; equal buckets of the guest's time. */
export const RecordingActivity = Type.Object({
  from: Place,
  to: Place,
  /** What the guest's clock said at second 0: milliseconds since the Unix epoch. */
  epochMs: Type.Number(),
  bucketSeconds: Type.Number(),
  /** The count where each bucket begins, and where the last one ends. */
  counts: Type.Array(Type.String()),
  instructions: Numbers,
  /** Bytes that came to the guest: of frames, of what it read from disks, typed on its console. */
  received: Numbers,
  read: Numbers,
  typed: Numbers,
  /** Bytes that the guest emitted; null: nobody has replayed it yet. */
  replayed: OrNull(
    Type.Object({
      sent: Numbers,
      written: Numbers,
      shown: Numbers,
      /** Of its console, all that is kept. */
      consoleBytes: Type.Integer(),
      /** What it said behind that is not kept. */
      isConsoleCut: Type.Boolean(),
    }),
  ),
  /** Torn off at the end of the log. */
  cutBytes: Type.Integer(),
});
export type RecordingActivity = Static<typeof RecordingActivity>;

export const RecordingTimelineView = Type.Object({
  vm: Type.String(),
  recording: Type.String(),
  host: Type.String(),
  ...RecordingActivity.properties,
  /** What the cluster did with the VM meanwhile. */
  events: Type.Array(
    Type.Object({
      sequence: Type.Integer(),
      kind: Type.String(),
      text: Type.String(),
      /** RFC 3339, UTC. */
      time: Type.String(),
      seconds: Type.Number(),
    }),
  ),
});
export type RecordingTimelineView = Static<typeof RecordingTimelineView>;

/** A piece of what the guest said, for each moment at which it did. */
export const RecordingConsolePage = Type.Object({
  /** When each piece was said. */
  seconds: Numbers,
  lengths: Type.Array(Type.Integer()),
  /** All of them, base64. */
  bytes: Type.String(),
  /** `from` of the next page; null: this is the last one. */
  next: OrNull(Type.Integer()),
});
export type RecordingConsolePage = Static<typeof RecordingConsolePage>;

export const timelineEndpoints = {
  showRecordingTimeline: {
    method: 'GET',
    path: '/vms/:vm/recordings/:recording/timeline',
    access: 'viewer',
    summary:
      "What happened in a recording that has ended, over the guest's time: from its log, and from its replay if there has been one.",
    params: Recording,
    reply: RecordingTimelineView,
  },
  replayRecording: {
    method: 'POST',
    path: '/vms/:vm/recordings/:recording/replay',
    access: 'operator',
    summary:
      'Has the host replay a recording once, beside its VMs: its timeline then has what the guest emitted, and its console can be read.',
    params: Recording,
    reply: TaskView,
  },
  goLive: {
    method: 'POST',
    path: '/vms/:vm/recordings/:recording/go-live',
    access: 'operator',
    summary:
      'A new VM that goes on from a place of a recording, live and apart from every network; the one that was recorded is not touched.',
    params: Recording,
    body: Type.Object(
      {
        name: Name,
        ...place,
      },
      { additionalProperties: false },
    ),
    reply: TaskView,
  },
  readRecordingConsole: {
    method: 'GET',
    path: '/vms/:vm/recordings/:recording/console',
    access: 'operator',
    summary: 'What the guest said on its console, and when, page by page; of a replayed recording.',
    params: Recording,
    query: Type.Object({
      from: Type.Optional(
        Type.Integer({ minimum: 0, description: '`next` of the page before; 0 if not given' }),
      ),
    }),
    reply: RecordingConsolePage,
  },
} as const;
