/**
 * Takes snapshots of a VM while it runs, protected or not: its machine and its disks at one position
 * of its log.
 *
 *   room? -> folder -> | the moment: checkpoint and disk snapshots begin | -> copied -> folder whole
 *
 * The VM stands still for the moment alone, as for starting a shadow; what it is about to overwrite
 * is set aside by the machine's checkpoint and by the disks. The log goes on: a shadow notices
 * nothing but one entry. Invariant: a snapshot is whole or not there, and never costs the VM
 * anything: when room grows short, the snapshot goes.
 */
import { stat, statfs } from 'node:fs/promises';
import type { VmSpec } from '../../api/agent.ts';
import { UmbraError } from '../../base/errors.ts';
import type { Primary } from '../../lockstep/primary.ts';
import type { Checkpoint } from '../../machine/machine.ts';
import { nowUs } from '../clock.ts';
import type { DisksSnapshot, FileDisks } from './file-disk.ts';
import { writeMachine } from './machine-file.ts';
import {
  abandonFolder,
  beginFolder,
  diskPath,
  finishFolder,
  machinePath,
  type SavedState,
  snapshotFolder,
} from './state-folder.ts';

/** What must stay free on the file system for the VM itself. */
const reserveBytes = 64 * 1024 * 1024;
const lookMs = 50;
const progressMs = 500;

export type SnapshotReport =
  | {
      readonly kind: 'snapshot-progress';
      readonly id: string;
      readonly bytesDone: number;
      readonly bytesTotal: number;
    }
  | {
      readonly kind: 'snapshot-taken';
      readonly id: string;
      readonly name: string;
      readonly position: number;
      readonly count: string;
      readonly pauseMicros: number;
      readonly bytes: number;
    }
  | {
      readonly kind: 'snapshot-failed';
      readonly id: string;
      readonly code: string;
      readonly text: string;
      readonly remedy: string;
    };

export interface SnapshotMakerOptions {
  readonly vm: VmSpec;
  /** Where snapshots are. */
  readonly directory: string;
  /** Where the disks are. */
  readonly disksFolder: () => string;
  readonly configuration: Uint8Array;
  readonly disks: FileDisks;
  readonly wake: () => void;
  readonly note: (text: string) => void;
  readonly report: (report: SnapshotReport) => void;
}

interface Order {
  readonly id: string;
  readonly name: string;
}

/** A snapshot under way, from its moment on. */
interface UnderWay {
  readonly state: Omit<SavedState, 'format' | 'machineBytes' | 'bytes'>;
  readonly pauseMicros: number;
  readonly checkpoint: Checkpoint;
  readonly disks: DisksSnapshot;
  readonly machineBytes: number;
}

export class SnapshotMaker {
  readonly #options: SnapshotMakerOptions;
  #abort: AbortController | undefined;
  #over: Promise<void> = Promise.resolve();

  constructor(options: SnapshotMakerOptions) {
    this.#options = options;
  }

  async take(primary: Primary | undefined, order: Order): Promise<void> {
    const refused = this.#refusal(primary);
    if (refused !== undefined) return this.#failed(order, refused);
    const abort = new AbortController();
    this.#abort = abort;
    this.#over = this.#take(primary!, order, abort).finally(() => {
      this.#abort = undefined;
    });
    return this.#over;
  }

  /** Resolves when nothing of a snapshot under way is left. */
  async giveUp(why: string): Promise<void> {
    this.#abort?.abort(new Error(why));
    await this.#over;
  }

  #refusal(primary: Primary | undefined): UmbraError | undefined {
    if (primary === undefined || primary.ended !== undefined) {
      return refusal('the VM is not live on this host', 'Take it where the VM runs.');
    }
    if (this.#abort !== undefined) {
      return refusal('another snapshot is being taken', 'Wait until that one is there.');
    }
    return undefined;
  }

  async #take(primary: Primary, order: Order, abort: AbortController): Promise<void> {
    const { vm, directory, report, note } = this.#options;
    const folder = snapshotFolder(directory, order.id);
    try {
      await needRoom(this.#options.disksFolder(), vm.disks.length);
      const path = await beginFolder(folder);
      if (primary.ended !== undefined) throw new Error(primary.ended.text);
      const paths = vm.disks.map((_, disk) => diskPath(path, disk));
      const underWay = this.#moment(primary, order, paths, abort);
      await this.#copy(underWay, machinePath(path), order, abort);
      const { state, pauseMicros } = underWay;
      const { bytes } = await finishFolder(folder, state);
      underWay.disks.release();
      note(`snapshot ${order.id} of position ${state.position}, pause ${pauseMicros} us`);
      const { position, count } = state;
      const { id, name } = order;
      report({ kind: 'snapshot-taken', id, name, position, count, pauseMicros, bytes });
    } catch (error) {
      await abandonFolder(folder).catch(() => {});
      this.#failed(order, abort.signal.aborted ? abort.signal.reason : error);
    }
  }

  /** The VM stands still for this function. */
  #moment(primary: Primary, order: Order, paths: string[], abort: AbortController): UnderWay {
    const { vm, configuration, disks, wake } = this.#options;
    const began = nowUs();
    const position = primary.mark(began);
    const { machine } = primary;
    const checkpoint = machine.checkpoint();
    const machineBytes = checkpoint.bytesLeft;
    const copies = disks.snapshot(paths, () => {
      // The guest's write waits for this: nothing of the snapshot may be left when it goes on.
      abort.abort(noRoom());
      return this.#over;
    });
    const pauseMicros = nowUs() - began;
    const state = {
      id: order.id,
      name: order.name,
      vm,
      configuration: Buffer.from(configuration).toString('hex'),
      position,
      count: String(machine.count),
      ticks: String(primary.hostTicks(began)),
      savedAtMs: Date.now(),
      hasDisks: true,
    };
    wake();
    return { state, pauseMicros, checkpoint, disks: copies, machineBytes };
  }

  async #copy(
    { checkpoint, disks, machineBytes }: UnderWay,
    path: string,
    { id }: Order,
    abort: AbortController,
  ): Promise<void> {
    const { vm, directory, report } = this.#options;
    const { signal } = abort;
    const bytesTotal = machineBytes + vm.disks.reduce((sum, { bytes }) => sum + bytes, 0);
    let machineDone = 0;
    let saidAt = performance.now();
    const look = setInterval(() => {
      void roomIn(directory).then((room) => {
        if (room < reserveBytes) abort.abort(noRoom());
      });
      if (performance.now() - saidAt < progressMs) return;
      saidAt = performance.now();
      const bytesDone = machineDone + disks.bytesDone;
      report({ kind: 'snapshot-progress', id, bytesDone, bytesTotal });
    }, lookMs);
    const aborted = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
    aborted.catch(() => {});
    const progress = (bytes: number): void => {
      machineDone = bytes;
    };
    const machine = writeMachine(path, checkpoint, { signal, progress });
    machine.catch(() => {});
    try {
      await Promise.race([Promise.all([machine, disks.copied]), aborted]);
    } catch (error) {
      abort.abort(error);
      await disks.giveUp();
      await machine.catch(() => {});
      throw error;
    } finally {
      clearInterval(look);
    }
  }

  #failed({ id }: Order, error: unknown): void {
    const why = error as Error;
    const known = why instanceof UmbraError;
    const full = (why as NodeJS.ErrnoException).code === 'ENOSPC';
    const { code, message, remedy } = known ? why : full ? noRoom() : failure(why);
    this.#options.note(`snapshot ${id} failed: ${message}`);
    this.#options.report({ kind: 'snapshot-failed', id, code, text: message, remedy });
  }
}

/**
 * What the copies of the disks take at most must be there, and the VMs' reserve.
 * @throws UmbraError `snapshot-no-room`
 */
export async function needRoom(directory: string, disks: number): Promise<void> {
  let needed = reserveBytes;
  for (let disk = 0; disk < disks; disk++) {
    needed += (await stat(diskPath(directory, disk))).blocks * 512;
  }
  const room = await roomIn(directory);
  if (room < needed) throw noRoom(`it takes ${mebibytes(needed)}, and ${mebibytes(room)} are free`);
}

/** Bytes that are free for this host's VMs. */
export async function roomIn(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

const mebibytes = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`;

function noRoom(detail = 'the disk is nearly full'): UmbraError {
  return new UmbraError(
    'snapshot-no-room',
    `There is no room for the snapshot on this host: ${detail}.`,
    'Delete snapshots (umbra vm snapshot delete), or free some space on the host.',
  );
}

function refusal(why: string, remedy: string): UmbraError {
  return new UmbraError('snapshot-refused', `The snapshot cannot be taken: ${why}.`, remedy);
}

function failure(error: Error): UmbraError {
  return new UmbraError(
    'snapshot-failed',
    `The snapshot could not be written: ${error.message}.`,
    'The VM is unharmed. Look at the disk of the host, and try again.',
    { cause: error },
  );
}
