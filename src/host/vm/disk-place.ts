/**
 * Where a VM's disks are for one of its processes: in its folder on this host, or on a datastore
 * (shared-disks.ts).
 */
import type { VmSpec } from '../../api/agent.ts';
import type { VmRecord } from '../../lockstep/arbiter.ts';
import { placeDisks } from './disk-rewind.ts';
import type { DiskFile } from './file-disk.ts';
import { diskPath } from './state-folder.ts';

/** Disks that a copy may open. */
export interface PlacedDisks {
  readonly folder: string;
  /** Shared disks that were made for this copy alone: their name, for the arbiter. */
  readonly disks: string | undefined;
}

export interface DiskPlace {
  /** The folder of saved states and snapshots. */
  readonly states: string;
  /**
   * Before the arbiter is asked; nothing of what is there is changed that the record counts on.
   * @param from a folder with disks that are the VM's now: those of a saved state
   */
  prepare(record: VmRecord, from: string | undefined): Promise<PlacedDisks>;
  /** The copy is live, with what it has placed last. Removes what nobody needs any more. */
  wentLive(discarded: string | undefined): Promise<void>;
}

/** The files, as the copy opens them. */
export function diskFiles(
  { disks }: VmSpec,
  folder: string,
  templateOf: (template: string) => string,
): DiskFile[] {
  return disks.map(({ bytes, template, formerBytes }, disk) => ({
    path: diskPath(folder, disk),
    bytes,
    ...(formerBytes !== undefined && { formerBytes }),
    ...(template !== undefined && { template: templateOf(template) }),
  }));
}

/** Replicated disks: this host's replica. */
export class LocalDisks implements DiskPlace {
  readonly states: string;
  readonly #disks: number;

  constructor(folder: string, disks: number) {
    this.states = folder;
    this.#disks = disks;
  }

  async prepare(_record: VmRecord, from: string | undefined): Promise<PlacedDisks> {
    if (from !== undefined) await placeDisks(from, this.states, this.#disks);
    return { folder: this.states, disks: undefined };
  }

  async wentLive(): Promise<void> {}
}
