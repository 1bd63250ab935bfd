/**
 * Storage that all hosts reach: sets of disks by name, each the copy of an earlier one at the moment
 * at which somebody took it over. Twin, in the simulator, of host/vm/shared-disks.ts.
 *
 * Nothing here refuses a late write, as no network file system does; the set in which it arrives is
 * one that nobody reads any more. The store records who wrote into which set, and a write into a set
 * that somebody else has begun to use since is a violation.
 */
import { SimDisk } from './disks.ts';
import type { Scheduler } from './scheduler.ts';

type Disks = readonly (SimDisk | undefined)[];

export class SharedStore {
  readonly #scheduler: Scheduler;
  readonly #sets = new Map<string, Disks>();
  readonly #violation: (text: string) => void;

  /** @param lengths undefined: this disk is not shared */
  constructor(
    scheduler: Scheduler,
    lengths: readonly (number | undefined)[],
    violation: (text: string) => void,
  ) {
    this.#scheduler = scheduler;
    this.#violation = violation;
    const disks = lengths.map((length) => (length === undefined ? undefined : this.#make(length)));
    this.#sets.set('d0', disks);
  }

  set(name: string): Disks {
    return this.#sets.get(name)!;
  }

  /** The set as it is now, under another name. */
  copy(from: string, name: string): void {
    const disks = this.set(from).map((disk) => {
      if (disk === undefined) return undefined;
      const copy = this.#make(disk.bytes.length);
      copy.fill(disk.bytes);
      return copy;
    });
    this.#sets.set(name, disks);
  }

  /** From now on this set is read and written by this process, and by nobody else. */
  use(name: string, owner: object): void {
    for (const disk of this.set(name)) if (disk !== undefined) disk.owner = owner;
  }

  #make(length: number): SimDisk {
    const disk = new SimDisk(this.#scheduler, length);
    disk.onWrite = (from) => {
      if (disk.owner === undefined || disk.owner === from) return;
      this.#violation(`a write of ${nameOf(from)} into what ${nameOf(disk.owner)} reads`);
    };
    return disk;
  }
}

const nameOf = (process: object): string => (process as { readonly name: string }).name;
