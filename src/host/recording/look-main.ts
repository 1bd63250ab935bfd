/**
 * A process that finds out what happened in a recording: apart from the daemon, which must not stand
 * still for it. Twin of vm/rewind-main.ts.
 *
 * From: one `LookOrder` over Node's IPC channel. To: files (look-files.ts), `progress` on the way, and
 * one `LookReply`. It ends with the channel.
 */
import { mkdirSync } from 'node:fs';
import type { RecordingActivity } from '../../api/timeline-endpoints.ts';
import { UmbraError } from '../../base/errors.ts';
import { type Activity, type ActivitySpan, clockOf, logActivity } from '../../debug/activity.ts';
import { type OpenedRecording, openRecording, replayRecording } from '../local/replay.ts';
import { ConsoleFile } from './console-file.ts';
import type { Moment, ReplayExport } from './exports.ts';
import { consoleFile, writeLook } from './look-files.ts';
import type { Recording } from './recording-reader.ts';

export interface LookOrder {
  /** Of the recording. */
  readonly recording: string;
  /** Where what is found goes. */
  readonly folder: string;
  readonly replays: boolean;
}

export type LookReply =
  | { readonly kind: 'progress'; readonly done: number; readonly total: number }
  | { readonly kind: 'done' }
  | {
      readonly kind: 'failed';
      readonly code: string;
      readonly message: string;
      readonly remedy: string;
    };

/** A pixel or two each. */
const buckets = 600;
const ticksPerSecond = 1e7;
const nanosecondsPerMs = 1e6;
const progressMs = 250;

async function look({ recording: source, folder, replays }: LookOrder): Promise<void> {
  const opened = openRecording(source);
  const activity = logActivity(opened.recording, spanOf(opened.recording), buckets);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (!replays) return writeLook(folder, 'log', told(opened, activity, undefined));
  const console = new ConsoleFile(consoleFile(folder));
  try {
    await replay(opened, activity, console);
  } finally {
    console.close();
  }
  await writeLook(folder, 'replayed', told(opened, activity, console));
}

async function replay(opened: OpenedRecording, activity: Activity, console: ConsoleFile) {
  let toldAt = 0;
  const emitted: ReplayExport = {
    output(output, at) {
      const { kind } = output;
      if (kind === 'frame') activity.add('sent', ticksOf(at), output.frame.length);
      else if (kind === 'console') {
        activity.add('shown', ticksOf(at), output.bytes.length);
        console.add(at.seconds, output.bytes);
      } else if (kind === 'disk' && output.request.action === 'write') {
        activity.add('written', ticksOf(at), output.request.length);
      }
    },
    close: () => {},
  };
  const { divergence } = await replayRecording(opened, {
    exports: [emitted],
    console: () => {},
    progress: (done, total) => {
      const now = performance.now();
      if (now - toldAt < progressMs) return;
      toldAt = now;
      process.send!({ kind: 'progress', done, total } satisfies LookReply);
    },
  });
  if (divergence !== undefined) throw diverged(divergence.count);
}

const ticksOf = ({ seconds }: Moment): bigint => BigInt(Math.round(seconds * ticksPerSecond));

/** Of a log whose segments are read one by one: for the end its last one is enough. */
function spanOf(recording: Recording): ActivitySpan {
  const { firstCount, segments, snapshots, end } = recording;
  const first = segments[0]!.begins;
  // A recording that was begun while its VM ran begins with its first snapshot.
  const from = firstCount === 0n ? { ...first, position: 1 } : snapshots[0]!.at;
  const last = segments.at(-1)!.begins;
  const clock = clockOf(last);
  for (const entry of recording.stretch(last.position)?.entries ?? []) clock.learn(entry);
  const time = clock.timeAt(end.count);
  return { from, to: { count: end.count, time: time < from.time ? from.time : time } };
}

function told(
  { recording, configuration }: OpenedRecording,
  { span, series, counts, bucketTicks }: Activity,
  console: ConsoleFile | undefined,
): RecordingActivity {
  const place = ({ count, time }: { count: bigint; time: bigint }) => ({
    count: String(count),
    seconds: Number(time) / ticksPerSecond,
  });
  const { instructions, received, read, typed, sent, written, shown } = series;
  return {
    ...{ from: place(span.from), to: place(span.to) },
    epochMs: Number(configuration.epochOffset) / nanosecondsPerMs,
    bucketSeconds: bucketTicks / ticksPerSecond,
    counts: counts.map(String),
    ...{ instructions, received, read, typed },
    replayed:
      console === undefined
        ? null
        : { sent, written, shown, consoleBytes: console.bytes, isConsoleCut: console.isCut },
    cutBytes: recording.end.cutBytes,
  };
}

const diverged = (count: bigint): UmbraError =>
  new UmbraError(
    'replay-diverged',
    `The replay differs from the recording at count ${count}.`,
    'Fetch it, and see umbra replay --verify.',
  );

function failed(error: unknown): LookReply {
  if (error instanceof UmbraError) {
    return { kind: 'failed', code: error.code, message: error.message, remedy: error.remedy };
  }
  const message = `The recording could not be looked at: ${(error as Error).message}.`;
  const remedy = 'Look at the disk and the log of its host.';
  return { kind: 'failed', code: 'host-work-failed', message, remedy };
}

// The daemon has gone, or nobody wants to know any more.
process.once('disconnect', () => process.exit());
process.once('message', (order) => {
  look(order as LookOrder)
    .then((): LookReply => ({ kind: 'done' }), failed)
    .then((reply) => process.send!(reply, () => process.disconnect()));
});
