/**
 * Continues a VM from its saved state, where the arbiter's record names one. Twin of suspending.ts.
 *
 *   record read -> disks in their place -> machine read, whole -> start granted -> state removed -> live
 *
 * Invariant: the state is removed, durably, before the machine executes its next instruction, and not
 * before the arbiter has granted the start. So a process that dies in between is followed by one
 * that continues from the same state, and a machine never runs on from a state twice.
 */
import type { VmSpec } from '../../api/agent.ts';
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
  placeDisks,
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

/**
 * What the record has for this host, before any disk is opened.
 * @param mayDiscard the operator's word: the state is not wanted
 * @returns undefined where there is nothing to continue from
 */
export async function findSaved(
  record: VmRecord,
  hostId: string,
  vm: VmSpec,
  directory: string,
  mayDiscard: boolean,
): Promise<SavedState | undefined> {
  const { saved } = record;
  const isHere = saved?.host === hostId;
  await tidyFolders(directory, isHere ? saved.id : undefined);
  if (saved === undefined || !isHere) return undefined;
  const folder = savedFolder(directory, saved.id);
  const state = await readFolder(folder);
  if (state !== undefined) {
    // With or without the machine: these are the disks.
    if (state.hasDisks) await placeDisks(folder, directory, vm.disks.length);
    return mayDiscard ? undefined : state;
  }
  // A start that continued from it was granted, and its machine has run since.
  if (record.state === 'live' || mayDiscard) return undefined;
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
