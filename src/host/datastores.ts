/**
 * Storage that several hosts reach: folders on file systems that they all mount, given at the
 * daemon's start as NAME=PATH.
 *
 * A name is not enough to be the same storage. So whoever comes first puts a marker with a random id
 * into the folder, and a VM's disks are on a name *and* an id: a host on which something else is
 * mounted there, or nothing, has another id or none, and is never taken for one that has the disks.
 *
 *   PATH/umbra-datastore.json     { format, id }
 *   PATH/vms/VM/                  disks-NAME/ (vm/shared-disks.ts), snapshots/, saved-ID/
 */
import { randomBytes } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { copyFile, link, mkdir, open, readFile, rm, statfs, unlink } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { DatastoreInfo } from '../api/agent.ts';
import { UmbraError } from '../base/errors.ts';
import { openBootClock } from './boot-clock.ts';
import { syncFolder } from './vm/state-folder.ts';

const markerName = 'umbra-datastore.json';
const format = 1;

export interface DatastorePath {
  readonly name: string;
  readonly path: string;
}

export class Datastores {
  readonly #all: readonly DatastoreInfo[];

  private constructor(all: readonly DatastoreInfo[]) {
    this.#all = all;
  }

  /** @throws datastore-unusable, datastore-needs-boot-clock */
  static async open(given: readonly DatastorePath[]): Promise<Datastores> {
    if (given.length > 0 && openBootClock() === undefined) {
      throw new UmbraError(
        'datastore-needs-boot-clock',
        'This machine has no /proc/uptime, by whose clock VMs on datastores hold their leases.',
        'Use datastores on Linux hosts.',
      );
    }
    const all: DatastoreInfo[] = [];
    for (const { name, path } of given) all.push(await openOne(name, path));
    return new Datastores(all);
  }

  /** As they were found at the start. */
  get list(): readonly DatastoreInfo[] {
    return this.#all;
  }

  /**
   * The VM's folder there; made if need be. The marker is read again: what was mounted at the start
   * may have gone.
   * @throws datastore-not-here
   */
  async folderOf({ name, id }: { readonly name: string; readonly id: string }, vm: string) {
    const found = this.#all.find((each) => each.name === name && each.id === id);
    const present = found && (await readMarker(found.path).catch(() => undefined));
    if (found === undefined || present !== id) {
      throw new UmbraError(
        'datastore-not-here',
        `The datastore ${name} of this VM is not on this host${found ? ' any more' : ''}.`,
        'Mount it, and start the host with --datastore NAME=PATH.',
      );
    }
    const folder = join(found.path, 'vms', vm);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  /** Where a VM's folder is, if it is on any datastore of this host. */
  find(vm: string): string | undefined {
    return this.#folders(vm).find((folder) => existsSync(folder));
  }

  /** All VMs' folders. */
  get parents(): string[] {
    return this.#all.map(({ path }) => join(path, 'vms'));
  }

  /** The VM is deleted; other hosts may be removing the same. */
  async remove(vm: string): Promise<void> {
    for (const folder of this.#folders(vm)) {
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  #folders(vm: string): string[] {
    return this.parents.map((parent) => join(parent, vm));
  }
}

async function openOne(name: string, path: string): Promise<DatastoreInfo> {
  try {
    if (!isAbsolute(path)) throw new Error('its path is not absolute');
    await mkdir(join(path, 'vms'), { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      // The folder itself is never made: what should be mounted there may not be.
      if (error.code !== 'EEXIST') throw error;
    });
    const id = await markerOf(path);
    const { bavail, blocks, bsize } = await statfs(path);
    const canClone = await clones(path);
    return { name, path, id, canClone, bytesFree: bavail * bsize, bytesTotal: blocks * bsize };
  } catch (cause) {
    throw new UmbraError(
      'datastore-unusable',
      `The datastore ${name} at ${path} cannot be used: ${(cause as Error).message}.`,
      'Mount the shared file system there first; its root must be writable by this user.',
      { cause },
    );
  }
}

/** Several hosts may come first at the same time: one marker wins, and all read that one. */
async function markerOf(path: string): Promise<string> {
  const present = await readMarker(path);
  if (present !== undefined) return present;
  const own = join(path, `.${markerName}-${randomBytes(8).toString('hex')}`);
  const file = await open(own, 'wx', 0o600);
  await file.writeFile(`${JSON.stringify({ format, id: randomBytes(16).toString('hex') })}\n`);
  await file.sync();
  await file.close();
  await link(own, join(path, markerName)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await unlink(own);
  await syncFolder(path);
  const id = await readMarker(path);
  if (id === undefined) throw new Error('its marker has gone');
  return id;
}

/** @returns undefined if there is none. @throws if it cannot be read, or is of another format */
async function readMarker(path: string): Promise<string | undefined> {
  const file = join(path, markerName);
  if (!existsSync(file)) return undefined;
  const marker = JSON.parse(await readFile(file, 'utf8')) as { format: number; id: string };
  if (marker.format !== format || !/^[0-9a-f]{32}$/.test(marker.id)) {
    throw new Error(`${file} is none of this version`);
  }
  return marker.id;
}

/** Whether a copy of a file shares its blocks: then taking disks over costs nothing. */
async function clones(path: string): Promise<boolean> {
  const [from, to] = ['from', 'to'].map((end) =>
    join(path, `.probe-${randomBytes(8).toString('hex')}-${end}`),
  );
  try {
    const file = await open(from!, 'wx', 0o600);
    await file.writeFile(Buffer.alloc(4096, 1));
    await file.close();
    await copyFile(from!, to!, constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw error;
    return false;
  } finally {
    await rm(from!, { force: true });
    await rm(to!, { force: true });
  }
}
