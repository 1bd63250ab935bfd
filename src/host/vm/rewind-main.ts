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
import type { VirtConfiguration } from '../../board/virt.ts';
import { countAtTime } from '../../debug/search.ts';
import { openRecording, replayRecording } from '../local/replay.ts';
import { RedoExport } from '../recording/disk-changes.ts';
import { countOfPlace } from '../recording/place.ts';
import type { Recording } from '../recording/recording-reader.ts';
import { findMoment } from './disk-rewind.ts';
import { anchorOf } from './disk-undo.ts';
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
  readonly hardware: RewindHardware;
  /** Of a VM with disks. */
  readonly disks: RewindDisks | undefined;
}

/** What the VM is now. */
export interface RewindHardware {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly disks: readonly number[];
}

export interface RewindDisks {
  /** Whose moments are known there (vm/disk-undo.ts). */
  readonly recording: string;
  readonly undo: string;
  /** Where goes what the guest has written between a moment and the place. */
  readonly redo: string;
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
      /** The part of the undo to which the disks have to go back first. */
      readonly undoFrom?: number;
    }
  | {
      readonly ok: false;
      readonly code: string;
      readonly message: string;
      readonly remedy: string;
    };

const ticksPerSecond = 1e7;

async function rewind(order: RewindOrder): Promise<RewindReply> {
  const { folder, to, secondsBefore, orBegin, path, hardware, disks } = order;
  const opened = openRecording(folder);
  const { recording, configuration } = opened;
  expectHardware(hardware, configuration);
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
  const beginning = disks && (await momentBefore(recording, until, disks));
  const redo = disks && new RedoExport(disks.redo);
  const replayed = await replayRecording(opened, {
    ...{ from: beginning?.count ?? until, until, ...silent },
    ...(redo && { exports: [redo] }),
  });
  redo?.close();
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
    ...(beginning && { undoFrom: beginning.undoFrom }),
  };
}

/** The snapshot from which the replay begins: the disks go back to it, and forward with the guest. */
async function momentBefore(
  recording: Recording,
  until: bigint,
  { recording: id, undo }: RewindDisks,
): Promise<{ readonly count: bigint; readonly undoFrom: number }> {
  // One that is damaged shows only when it is read.
  const { count } = recording.machineBefore(until).machine;
  const snapshot = recording.snapshotBefore(until)!;
  return { count, undoFrom: await findMoment(undo, anchorOf(id, snapshot.number)) };
}

function expectHardware(now: RewindHardware, then: VirtConfiguration): void {
  const { hartCount: cpus, ramBytes: memoryBytes, disks } = then;
  if (JSON.stringify(now) === JSON.stringify({ cpus, memoryBytes, disks })) return;
  throw new UmbraError(
    'rewind-other-hardware',
    'The VM had other CPUs, memory or disks when that was recorded: it is another machine now.',
    'Look at it with umbra record export and umbra replay.',
  );
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
