/**
 * Suspends a VM: once its machine stands still and everything that it said has been released
 * (lockstep/protection.ts `quiet`), the machine becomes a file, its disks are made durable, and the
 * arbiter is told by the copy. Twin of continuing.ts.
 *
 * Whatever fails, the VM goes on as if nothing had been. A process that dies meanwhile leaves a
 * folder that is not whole, or one that the arbiter's record does not name: either is removed by the
 * next process, and a shadow has gone live where there was one.
 */
import { randomBytes } from 'node:crypto';
import type { VmSpec } from '../../api/agent.ts';
import type { Primary } from '../../lockstep/primary.ts';
import { nowUs } from '../clock.ts';
import { writeMachine } from './machine-file.ts';
import {
  abandonFolder,
  beginFolder,
  finishFolder,
  machinePath,
  savedFolder,
} from './state-folder.ts';

export interface SuspendingOptions {
  readonly vm: VmSpec;
  /** The VM's folder on this host. */
  readonly directory: string;
  readonly configuration: Uint8Array;
  /** Every write that has ended is on the disk when this resolves, those under way included. */
  readonly syncDisks: () => Promise<void>;
  /** Something has changed for the copy. */
  readonly wake: () => void;
  readonly note: (text: string) => void;
}

export class Suspending {
  readonly #options: SuspendingOptions;
  #isSaving = false;

  constructor(options: SuspendingOptions) {
    this.#options = options;
  }

  /** Called behind every step. */
  look(primary: Primary | undefined): void {
    if (this.#isSaving || primary?.protection.quiet !== true) return;
    this.#isSaving = true;
    void this.#save(primary).finally(() => {
      this.#isSaving = false;
      this.#options.wake();
    });
  }

  async #save(primary: Primary): Promise<void> {
    const { vm, directory, configuration, syncDisks, note } = this.#options;
    const id = randomBytes(8).toString('hex');
    const folder = savedFolder(directory, id);
    const { machine, protection, recorder } = primary;
    const began = nowUs();
    const position = recorder.nextPosition - 1;
    const ticks = primary.hostTicks(began);
    const savedAtMs = Date.now();
    try {
      const path = await beginFolder(folder);
      await writeMachine(machinePath(path), machine.checkpoint());
      await syncDisks();
      await finishFolder(folder, {
        id,
        vm,
        configuration: Buffer.from(configuration).toString('hex'),
        position,
        count: String(machine.count),
        ticks: String(ticks),
        savedAtMs,
        hasDisks: false,
      });
      note(`saved as ${id} within ${Math.round((nowUs() - began) / 1000)} ms`);
      protection.saved(id);
    } catch (error) {
      await abandonFolder(folder).catch(() => {});
      protection.cancelSuspend(`the machine cannot be saved: ${(error as Error).message}`);
    }
  }
}
