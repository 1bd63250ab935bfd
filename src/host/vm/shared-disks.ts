/**
 * A VM's disks on a datastore: one folder for each copy that took them over, named in the arbiter's
 * record, so that nobody reads what an older copy still writes (docs/decisions/ha.md).
 *
 *   VM/disks-EPOCH-GENERATION-PROCESS/disk-N.raw
 *
 * A frozen process, a slow thread, a network file system that sends what it holds minutes later: a
 * late write can be prevented by nobody, and so it arrives in a folder that nobody reads. Whoever
 * starts the VM, or goes live in its primary's place, takes the disks over as they are then:
 *
 *   copy under another name -> durable -> renamed -> named by the arbiter, with the grant -> written
 *
 * Where the file system shares blocks between files this costs nothing. Invariant: the folder that
 * the record names is whole, and is written only by the copy that is live by that record. Numbers
 * only grow, so what has a lower one than a copy's own is nobody's: a process that was frozen
 * meanwhile removes nothing that is needed.
 */
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VmSpec } from '../../api/agent.ts';
import { UmbraError } from '../../base/errors.ts';
import type { VmRecord } from '../../lockstep/arbiter.ts';
import type { DiskPlace, PlacedDisks } from './disk-place.ts';
import { diskFiles } from './disk-place.ts';
import { makeDisk } from './file-disk.ts';
import {
  abandonFolder,
  beginFolder,
  diskPath,
  removeFolder,
  syncFolder,
  unfinished,
} from './state-folder.ts';
import { copyDisks } from './state-work.ts';

const prefix = 'disks-';
/** A network file system may show a folder late that another host has made. */
const appearMsMax = 90_000;
const lookMs = 250;

/** Of a clone that was never powered on. */
export const cloneDisksName = '0-0-clone';

export const disksFolder = (vmFolder: string, name: string): string =>
  join(vmFolder, `${prefix}${name}`);

export interface SharedDisksOptions {
  readonly vm: VmSpec;
  /** The VM's folder on the datastore. */
  readonly folder: string;
  /** This process's name at the arbiter. */
  readonly process: string;
  readonly templateOf: (template: string) => string;
  readonly note: (text: string) => void;
}

export class SharedDisks implements DiskPlace {
  readonly states: string;
  readonly #options: SharedDisksOptions;
  #placed: string | undefined;

  constructor(options: SharedDisksOptions) {
    this.#options = options;
    this.states = options.folder;
  }

  /** Of a copy that has ended in order, nothing can come any more: its folder is gone on with. */
  async prepare(record: VmRecord, from: string | undefined): Promise<PlacedDisks> {
    const present = record.shared?.disks;
    const isQuiet = record.state !== 'live' && from === undefined;
    return present !== undefined && isQuiet ? this.present(record) : this.take(record, from);
  }

  /** The disks that the record names, as they are: their writer has none under way. */
  async present({ shared }: VmRecord): Promise<PlacedDisks> {
    const name = shared!.disks!;
    const folder = disksFolder(this.states, name);
    await appears(folder);
    this.#placed = name;
    return { folder, disks: undefined };
  }

  /** Another folder, with the disks as they are now; whole and durable when this resolves. */
  async take({ epoch, generation, shared }: VmRecord, from?: string): Promise<PlacedDisks> {
    const { vm, process, note } = this.#options;
    const disks = `${epoch}-${generation + 1}-${process}`;
    const folder = disksFolder(this.states, disks);
    this.#placed = disks;
    // A claim that is asked again.
    if (existsSync(folder)) return { folder, disks };
    const began = performance.now();
    const present =
      shared?.disks === undefined ? undefined : disksFolder(this.states, shared.disks);
    const source = from ?? present;
    const path = await beginFolder(folder);
    try {
      if (source === undefined) await this.#make(path);
      else {
        await appears(source);
        await copyFolder(source, path, vm.disks.length);
      }
      await syncFolder(path);
      await rename(path, folder);
      await syncFolder(this.states);
    } catch (error) {
      await abandonFolder(folder).catch(() => {});
      throw error;
    }
    note(`disks taken over as ${disks} within ${Math.round(performance.now() - began)} ms`);
    return { folder, disks };
  }

  /** From templates, or empty. */
  async #make(path: string): Promise<void> {
    const { vm, templateOf } = this.#options;
    for (const file of diskFiles(vm, path, templateOf)) {
      await makeDisk(file);
      const made = await open(file.path, 'r+');
      await made.sync();
      await made.close();
    }
  }

  async wentLive(discarded: string | undefined): Promise<void> {
    if (discarded !== undefined) await removeFolder(discarded);
    const own = numberOf(this.#placed ?? '');
    if (own === undefined) return;
    for (const name of await readdir(this.states)) {
      const isOfDisks = name.startsWith(prefix);
      const plain = name.slice(prefix.length).replace(unfinished, '');
      const number = isOfDisks ? numberOf(plain) : undefined;
      if (number !== undefined && isBefore(number, own)) {
        await removeFolder(disksFolder(this.states, plain));
      }
    }
  }
}

async function copyFolder(source: string, path: string, disks: number): Promise<void> {
  const copies = [];
  for (let disk = 0; disk < disks; disk++) {
    const from = diskPath(source, disk);
    const { size: bytes } = await stat(from);
    copies.push({ source: from, path: diskPath(path, disk), bytes });
  }
  await copyDisks(copies, () => {});
}

/** @throws disks-missing */
async function appears(folder: string): Promise<void> {
  for (const end = performance.now() + appearMsMax; ; ) {
    // The folder around it is read anew: a client of a network file system looks at the server then.
    if (existsSync(folder)) return;
    await readdir(join(folder, '..')).catch(() => []);
    if (performance.now() > end) break;
    await sleep(lookMs);
  }
  throw new UmbraError(
    'disks-missing',
    `The disks of the VM are not in ${folder}, where they have to be.`,
    'Look at the datastore: is it whole? A folder with a later number was taken over in a time that the center has forgotten (a restored backup).',
  );
}

type Number = readonly [epoch: number, generation: number];

function numberOf(name: string): Number | undefined {
  const match = /^(\d+)-(\d+)-[A-Za-z0-9]+$/.exec(name);
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

const isBefore = (a: Number, b: Number): boolean => a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);

/** For a new VM: disks that it will take over when it is first started. */
export async function beginClone(vmFolder: string): Promise<string> {
  await mkdir(vmFolder, { recursive: true, mode: 0o700 });
  return disksFolder(vmFolder, cloneDisksName);
}
