/**
 * A process that makes a machine as it was at a place of a recording, as a file from which a VM
 * continues: apart from the daemon, which must not stand still while it replays.
 *
 * From: one `RewindOrder` over Node's IPC channel. To: one `RewindReply`. It ends with the channel.
 *
 * The place is moved back to the last entry of the log before it: between two entries the live copy
 * may have been asked for something (entropy) that it had not been given yet.
 */
import { UmbraError } from '../../base/errors.ts';
import { countAtTime } from '../../debug/search.ts';
import { openRecording, replayRecording } from '../local/replay.ts';
import { countOfPlace } from '../recording/place.ts';
import type { Recording } from '../recording/recording-reader.ts';
import { writeMachine } from './machine-file.ts';

export interface RewindOrder {
  /** Of the recording. */
  readonly folder: string;
  /** A place in it (recording/place.ts), and so many seconds of the guest's time before that. */
  readonly to: string;
  readonly secondsBefore: number;
  /** Where the recording does not reach so far: to its beginning, instead of a refusal. */
  readonly orBegin: boolean;
  /** Where the machine goes. */
  readonly path: string;
}

export type RewindReply =
  | {
      readonly ok: true;
      readonly count: string;
      /** Before the place, of the guest's time. */
      readonly secondsBefore: number;
      /** The last entry that it has had. */
      readonly position: number;
      readonly ticks: string;
      /** Hexadecimal; of the machine. */
      readonly configuration: string;
      readonly epochOffset: string;
      readonly randomSeed: string;
    }
  | {
      readonly ok: false;
      readonly code: string;
      readonly message: string;
      readonly remedy: string;
    };

const ticksPerSecond = 1e7;

async function rewind(order: RewindOrder): Promise<RewindReply> {
  const { folder, to, secondsBefore, orBegin, path } = order;
  const opened = openRecording(folder);
  const { recording, configuration } = opened;
  const silent = { console: () => {}, progress: () => {} };
  let count = await countOfPlace(recording, to);
  let placeTime: bigint | undefined;
  if (secondsBefore > 0) {
    const { machine } = await replayRecording(opened, { from: count, until: count, ...silent });
    placeTime = machine.time;
    const ticks = placeTime - BigInt(Math.round(secondsBefore * ticksPerSecond));
    const { time } = recording.begin().machine;
    const isThere = ticks >= time;
    if (!isThere && !orBegin) {
      throw tooFar(secondsBefore, Number(placeTime - time) / ticksPerSecond);
    }
    // A guest that sleeps has no count at that time: rather earlier than less far back.
    count = isThere
      ? countAtTime(recording, ticks, recording.positionBefore(ticks)) - 1n
      : recording.firstCount;
  }
  const until = entryBefore(recording, count);
  const replayed = await replayRecording(opened, { from: until, until, ...silent });
  if (replayed.divergence !== undefined) throw diverged(replayed.instructions);
  const { machine, nextPosition } = replayed;
  await writeMachine(path, machine.checkpoint());
  return {
    ok: true,
    count: String(machine.count),
    secondsBefore: Number((placeTime ?? machine.time) - machine.time) / ticksPerSecond,
    position: nextPosition - 1,
    ticks: String(machine.time),
    configuration: Buffer.from(recording.maker.configuration).toString('hex'),
    epochOffset: String(configuration.epochOffset),
    randomSeed: Buffer.from(configuration.randomSeed).toString('hex'),
  };
}

/** The count of the last entry at or before this one. */
function entryBefore(recording: Recording, count: bigint): bigint {
  for (const { begins } of recording.segments.toReversed()) {
    if (begins.count > count) continue;
    const entries = recording.stretch(begins.position)?.entries ?? [];
    const entry = entries.findLast((each) => each.count <= count);
    if (entry !== undefined && entry.count >= recording.firstCount) return entry.count;
  }
  return recording.firstCount;
}

const tooFar = (wanted: number, there: number): UmbraError =>
  new UmbraError(
    'outside-recording',
    `The recording begins ${there.toFixed(1)} s before that place, not ${wanted} s.`,
    'Choose a place within it.',
  );

const diverged = (count: bigint): UmbraError =>
  new UmbraError(
    'replay-diverged',
    `The replay differs from the recording at count ${count}.`,
    'Fetch it and see umbra replay --verify; the VM has not been touched.',
  );

function failed(error: unknown): RewindReply {
  if (error instanceof UmbraError) {
    return { ok: false, code: error.code, message: error.message, remedy: error.remedy };
  }
  const message = `The machine could not be made: ${(error as Error).message}.`;
  return { ok: false, code: 'rewind-failed', message, remedy: 'Look at the disk of the host.' };
}

process.once('message', (order) => {
  rewind(order as RewindOrder)
    .catch(failed)
    .then((reply) => process.send!(reply, () => process.disconnect()));
});
