/**
 * Continues a VM from its saved state, where the arbiter's record names one. Twin of suspending.ts.
 *
 *   record read -> disks in their place -> machine read, whole -> start granted -> state removed -> live
 *
 * Invariant: the state is removed, durably, before the machine executes its next instruction, and not
 * before the arbiter has granted the start. So a process that dies in between is followed by one
 * that continues from the same state, and a machine never runs on from a state twice.
 */
import { UmbraError } from '../../base/errors.ts';
import type { VmRecord } from '../../lockstep/arbiter.ts';
import { HostClock } from '../../lockstep/clock.ts';
import type { Machine, MachineMaker } from '../../machine/machine.ts';
import { nowUs } from '../clock.ts';
import { readMachine } from './machine-file.ts';
import {
  abandonFolder,
  disownFolder,
  machinePath,
  readFolder,
  type SavedState,
  savedFolder,
  tidyFolders,
} from './state-folder.ts';

const ticksPerMs = 10_000;

export interface Continued {
  readonly machine: Machine;
  readonly clock: HostClock;
  readonly nextPosition: number;
}

/** What there is of a saved state. */
export interface Found {
  /** From which the machine continues; undefined: it is powered on. */
  readonly state: SavedState | undefined;
  /** The folder of the state that the record names, if it is there. */
  readonly folder: string | undefined;
  /** A folder whose disks are the VM's from now on, with or without the machine. */
  readonly disksFrom: string | undefined;
}

const nothingFound: Found = { state: undefined, folder: undefined, disksFrom: undefined };

/**
 * What the record has for this host, before any disk is opened.
 * @param directory where states of the VM are
 * @param isShared other hosts have it, too
 * @param mayDiscard the operator's word: the state is not wanted
 */
export async function findSaved(
  record: VmRecord,
  hostId: string,
  directory: string,
  isShared: boolean,
  mayDiscard: boolean,
): Promise<Found> {
  const { saved } = record;
  const isHere = saved !== undefined && (isShared || saved.host === hostId);
  // What is not named here may be named by the next record where others write, too.
  if (!isShared) await tidyFolders(directory, isHere ? saved.id : undefined);
  if (!isHere) return nothingFound;
  const folder = savedFolder(directory, saved.id);
  const state = await readFolder(folder);
  if (state !== undefined) {
    const disksFrom = state.hasDisks ? folder : undefined;
    return { state: mayDiscard ? undefined : state, folder, disksFrom };
  }
  // A start that continued from it was granted, and its machine has run since.
  if (record.state === 'live' || mayDiscard) return nothingFound;
  throw new UmbraError(
    'saved-state-missing',
    `The saved state ${saved.id} of the VM is not on this host any more.`,
    'Power the VM on without it: umbra vm start NAME --discard-state.',
  );
}

/** The machine, whole; nothing has been changed yet. */
export async function readSaved(
  state: SavedState,
  directory: string,
  maker: MachineMaker,
): Promise<Machine> {
  if (state.configuration !== Buffer.from(maker.configuration).toString('hex')) {
    throw new UmbraError(
      'saved-state-configuration',
      'The VM was saved by another machine version or in another configuration.',
      'Continue it with the release that saved it, or power it on: --discard-state.',
    );
  }
  const path = machinePath(savedFolder(directory, state.id));
  return readMachine(path, state.machineBytes, maker);
}

/** The start has been granted, and the state is one of a VM that was off: its disks in their place. */
export async function powerOnFrom(
  state: SavedState,
  directory: string,
  maker: MachineMaker,
): Promise<Continued> {
  await remove(state, directory);
  return { machine: maker.powerOn(), clock: new HostClock(0n, nowUs()), nextPosition: 1 };
}

/** The start has been granted: from here on the machine's future is this process. */
export async function goOn(
  state: SavedState,
  directory: string,
  machine: Machine,
): Promise<Continued> {
  await remove(state, directory);
  // The guest's clock follows the host's, also over the time in which there was no guest.
  const elapsedMs = Math.max(0, Date.now() - state.savedAtMs);
  const clock = new HostClock(BigInt(state.ticks) + BigInt(elapsedMs * ticksPerMs), nowUs());
  return { machine, clock, nextPosition: state.position + 1 };
}

async function remove({ id }: SavedState, directory: string): Promise<void> {
  const folder = savedFolder(directory, id);
  await disownFolder(folder);
  // Nobody waits for gigabytes to be given back.
  abandonFolder(folder).catch(() => {});
}
