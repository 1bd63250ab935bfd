/** A saved state made from a recording: twin of vm/state-work.ts `prepareRevert`. */
import { fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { VmSpec } from '../api/agent.ts';
import { UmbraError } from '../base/errors.ts';
import { redoPath } from './vm/disk-rewind.ts';
import { undoFolder } from './vm/disk-undo.ts';
import { readRecording, recordingFolder } from './vm/recording-folder.ts';
import type { RewindOrder, RewindReply } from './vm/rewind-main.ts';
import {
  abandonFolder,
  beginFolder,
  finishFolder,
  machinePath,
  type SavedState,
  savedFolder,
} from './vm/state-folder.ts';

const program = fileURLToPath(
  new URL(`./vm/rewind-main${extname(import.meta.url)}`, import.meta.url),
);
const nanosecondsPerTick = 100n;

export interface RewindWish {
  /** Its id. */
  readonly recording: string;
  readonly to: string;
  readonly secondsBefore: number;
  readonly orBegin?: boolean;
  /** The name of the saved state. */
  readonly saved: string;
  /** The folder of the VM that was recorded, if that is another one. */
  readonly from?: string;
}

/**
 * @param directory the VM's folder on this host
 * @returns with how many seconds before the place it is
 */
export async function prepareRewind(
  vm: VmSpec,
  directory: string,
  { recording, to, secondsBefore, orBegin = false, saved, from = directory }: RewindWish,
): Promise<SavedState & { readonly secondsBefore: number }> {
  const source = recordingFolder(from, recording);
  if ((await readRecording(source)) === undefined) throw unknown(recording);
  const folder = savedFolder(directory, saved);
  try {
    const begun = await beginFolder(folder);
    const { cpus, memoryBytes } = vm;
    const disks = vm.disks.map(({ bytes }) => bytes);
    const hasDisks = disks.length > 0;
    const made = await replay({
      ...{ folder: source, to, secondsBefore, orBegin, path: machinePath(begun) },
      hardware: { cpus, memoryBytes, disks },
      disks: hasDisks
        ? { recording, undo: undoFolder(directory), redo: redoPath(begun) }
        : undefined,
    });
    if (!made.ok) throw new UmbraError(made.code, made.message, made.remedy);
    const { count, position, ticks, configuration, epochOffset, randomSeed, undoFrom } = made;
    if (epochOffset !== vm.epochOffset || randomSeed !== vm.randomSeed) throw otherPowerOn(vm.name);
    // What the host's clock said when the guest's said that: the guest's goes on by the host's.
    const unixNanoseconds = BigInt(epochOffset) + BigInt(ticks) * nanosecondsPerTick;
    const state = await finishFolder(folder, {
      ...{ id: saved, vm, configuration, position, count, ticks },
      ...{ savedAtMs: Number(unixNanoseconds / 1_000_000n), hasDisks },
      ...(undoFrom !== undefined && { undoFrom }),
    });
    return { ...state, secondsBefore: made.secondsBefore };
  } catch (error) {
    await abandonFolder(folder).catch(() => {});
    throw error;
  }
}

function replay(order: RewindOrder): Promise<RewindReply> {
  const child = fork(program, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [] });
  return new Promise((resolve, reject) => {
    child.once('message', (reply) => resolve(reply as RewindReply));
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the process that replays ended with ${code}`)));
    child.send(order);
  });
}

const unknown = (id: string): UmbraError =>
  new UmbraError(
    'recording-unknown',
    `There is no recording ${id} of this VM on this host.`,
    'See umbra record list VM.',
  );

const otherPowerOn = (name: string): UmbraError =>
  new UmbraError(
    'rewind-other-power-on',
    `${name} has been powered on anew since that recording: it is another machine.`,
    'Look at it with umbra record export and umbra replay --go-live.',
  );
