/**
 * The daemon's part in the states of its VMs: which snapshots there are, deleting one, and the works
 * on a VM that is off (host/vm/state-work.ts), each of which keeps the VM from starting meanwhile.
 *
 * From: orders of the center. To: reports named by the work: `work-progress`, `work-done`,
 * `work-failed`; and the list of snapshots whenever it changes.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CenterMessage, DaemonMessage, SnapshotInfo, VmSpec } from '../api/agent.ts';
import { UmbraError } from '../base/errors.ts';
import type { Reply } from '../lockstep/arbiter.ts';
import { ArchiveUpload } from './archive-upload.ts';
import type { Datastores } from './datastores.ts';
import { prepareRewind } from './rewind.ts';
import { Trust } from './trust.ts';
import { ArbiterClient } from './vm/arbiter-client.ts';
import { placeDisks, takeUndo } from './vm/disk-rewind.ts';
import { KnowledgeFile } from './vm/knowledge-file.ts';
import type { Credentials } from './vm/protocol.ts';
import { beginClone, disksFolder } from './vm/shared-disks.ts';
import { StartAsk, unheard } from './vm/start-ask.ts';
import {
  disownFolder,
  listSavedStates,
  listSnapshots,
  removeFolder,
  savedFolder,
  snapshotFolder,
  snapshotsFolder,
} from './vm/state-folder.ts';
import { cloneDisks, prepareRevert, snapshotDisks } from './vm/state-work.ts';
import { exportFailed, exportVm, writeArchive } from './vm/vm-archive.ts';

type Order<K extends CenterMessage['kind']> = Extract<CenterMessage, { kind: K }>;
type Tell = (message: DaemonMessage) => void;

/** Of one answer; the center orders again what had none. */
const registerMsMax = 2_000;
/** Longer than a process that has ended is left alone (vm-slot.ts). */
const leaveMsMax = 6_000;

export interface VmStatesOptions {
  readonly hostId: string;
  /** Where the folders of all VMs are. */
  readonly vmsFolder: string;
  readonly exportsFolder: string;
  /** Where folders of VMs are that are on datastores. */
  readonly datastores: Pick<Datastores, 'find' | 'parents'>;
  readonly credentials: Credentials;
  readonly arbiterUrls: () => readonly string[];
  /** Of the center that gives the orders. */
  readonly leaderUrl: () => string | undefined;
  /** Whether a process of the VM is here, or about to be. */
  readonly isBusy: (vm: string) => boolean;
  readonly tell: Tell;
}

export class VmStates {
  readonly #options: VmStatesOptions;
  readonly #works = new Map<string, Promise<void>>();
  readonly #uploads = new Set<ArchiveUpload>();

  constructor(options: VmStatesOptions) {
    this.#options = options;
  }

  /** Resolves when no work on this VM is under way. */
  async idle(vm: string): Promise<void> {
    while (this.#works.has(vm)) await this.#works.get(vm);
  }

  /** At the daemon's start: what an earlier one left half done. */
  async tidy(): Promise<void> {
    const { vmsFolder, exportsFolder } = this.#options;
    for (const folder of [vmsFolder, exportsFolder]) {
      if (!existsSync(folder)) continue;
      for (const name of readdirSync(folder)) {
        if (name.endsWith('.unfinished')) await rm(join(folder, name), { recursive: true });
      }
    }
  }

  async tellAll(): Promise<void> {
    const { vmsFolder, datastores } = this.#options;
    for (const parent of [vmsFolder, ...datastores.parents]) {
      if (!existsSync(parent)) continue;
      for (const vm of readdirSync(parent)) {
        if (existsSync(snapshotsFolder(join(parent, vm)))) await this.tellSnapshots(vm);
      }
    }
  }

  async tellSnapshots(vm: string): Promise<void> {
    const found = await listSnapshots(this.#folder(vm));
    const snapshots = found.map(
      ({ id, name = id, count, savedAtMs, bytes, vm: spec, isOff }): SnapshotInfo => {
        return { id, name, count, savedAtMs, bytes, vm: spec, ...(isOff && { isOff }) };
      },
    );
    this.#options.tell({ kind: 'snapshots', vm, snapshots });
  }

  /** Also while the VM runs: nobody but this daemon uses what is whole. */
  async deleteSnapshot({ vm, snapshot }: Order<'deleteSnapshot'>): Promise<void> {
    try {
      if (isId(snapshot)) await removeFolder(snapshotFolder(this.#folder(vm), snapshot));
    } catch (error) {
      this.#fail(vm, 'deleteSnapshot', failureOf(error));
    }
    await this.tellSnapshots(vm);
  }

  /** Of a VM that is off. */
  snapshotDisks({ vm, id, name, disks }: Order<'snapshotDisks'>): void {
    this.#work(vm.id, id, async () => {
      if (!isId(id)) throw new Error('malformed names');
      const source = await this.#settledDisks(vm, disks);
      const folder = this.#folder(vm.id);
      await snapshotDisks(vm, folder, source, { id, name }, this.#progress(vm.id, id));
      // Whoever waits for it finds it in the list.
      await this.tellSnapshots(vm.id);
    });
  }

  revert({ vm, snapshot, saved, fenced, lapsed }: Order<'revert'>): void {
    this.#work(vm, saved, async () => {
      const folder = this.#folder(vm);
      if (!isId(snapshot) || !isId(saved)) throw new Error('malformed names');
      const state = await prepareRevert(folder, snapshot, saved, this.#progress(vm, saved));
      await this.#askRevert(vm, folder, { saved, fenced, lapsed });
      // The VM is off, and these are its disks; a machine's stay with it until it goes on.
      const { isOff, vm: spec } = state;
      if (!isOff || spec.datastore !== undefined) return;
      await placeDisks(savedFolder(folder, saved), folder, spec.disks.length);
    });
  }

  /** Of a VM that may run: what its process does with its folder at a start is over. */
  prepareRewind({ vm, work, ...wish }: Order<'prepareRewind'>): void {
    const prepared = async () => {
      if (!isId(wish.recording) || !isId(wish.saved)) throw new Error('malformed names');
      const { count, secondsBefore } = await prepareRewind(vm, this.#folder(vm.id), wish);
      return { count, secondsBefore };
    };
    void this.#settle(vm.id, work, prepared());
  }

  rewind({ vm, saved, fenced, lapsed }: Order<'rewind'>): void {
    this.#work(vm, saved, async () => {
      if (!isId(saved)) throw new Error('malformed names');
      // Before anybody is asked: until then nothing has been changed.
      await this.#takeUndo(vm, saved);
      await this.#askRevert(vm, this.#folder(vm), { saved, fenced, lapsed });
    });
  }

  async #takeUndo(vm: string, saved: string): Promise<void> {
    const folder = this.#folder(vm);
    try {
      await takeUndo(folder, saved);
    } catch (error) {
      await disownFolder(savedFolder(folder, saved));
      throw error;
    }
  }

  async #askRevert(
    vm: string,
    folder: string,
    {
      saved,
      fenced,
      lapsed,
    }: Pick<Order<'revert'>, 'saved' | 'fenced'> & { lapsed: string | undefined },
  ): Promise<void> {
    try {
      await this.#ask(vm, `revert-${saved}`, (ask) => ask.revert(saved, fenced, lapsed));
    } catch (error) {
      // Another center may just have granted it: what the record does not name goes with the
      // next start here.
      const isCertain = (error as UmbraError).code !== 'revert-not-ordered';
      if (isCertain) await disownFolder(savedFolder(folder, saved));
      throw error;
    }
  }

  clone({ vm, snapshot, newVm, work, disks }: Order<'clone'>): void {
    const act = async () => {
      if (!isId(newVm)) throw new Error('malformed names');
      const directory = this.#folder(vm.id);
      // What is in a snapshot is never changed.
      const source = snapshot === undefined ? await this.#settledDisks(vm, disks) : directory;
      const from = { vm, directory, disksFolder: source, snapshot };
      const to = join(dirname(directory), newVm);
      const place = vm.datastore === undefined ? to : await beginClone(to);
      await cloneDisks(from, place, this.#progress(vm.id, work));
    };
    // What is in a snapshot never changes: its VM may do what it likes meanwhile.
    if (snapshot === undefined) this.#work(vm.id, work, act);
    else void this.#settle(vm.id, work, act());
  }

  export({ vm, file, work, disks }: Order<'export'>): void {
    this.#work(vm.id, work, async () => {
      if (!/^[a-z0-9][A-Za-z0-9.-]{0,200}$/.test(file)) throw new Error('malformed names');
      const { exportsFolder } = this.#options;
      const path = join(exportsFolder, file);
      await mkdir(exportsFolder, { recursive: true, mode: 0o700 });
      const source = await this.#settledDisks(vm, disks);
      await exportVm(vm, source, path, this.#progress(vm.id, work));
      return { file: path };
    });
  }

  sendArchive({ vm, work, disks }: Order<'sendArchive'>): void {
    this.#work(vm.id, work, async () => {
      const { credentials, leaderUrl } = this.#options;
      const url = leaderUrl();
      if (url === undefined) throw exportFailed(vm.name, new Error('the center is away'));
      const source = await this.#settledDisks(vm, disks);
      const upload = new ArchiveUpload(url, work, credentials);
      this.#uploads.add(upload);
      upload.once('close', () => this.#uploads.delete(upload));
      try {
        await writeArchive(vm, source, upload, this.#progress(vm.id, work));
      } catch (cause) {
        throw exportFailed(vm.name, cause as Error);
      }
      return upload.sum();
    });
  }

  /** The center that wanted them has gone, or this daemon goes. */
  abandonUploads(): void {
    for (const upload of this.#uploads) upload.destroy();
  }

  /** Says what this host durably knows of the VM at the arbiter, beside no process of it. */
  register({ vm, epoch }: Order<'register'>): void {
    if (this.#works.has(vm) || this.#options.isBusy(vm)) return;
    const work = this.#register(vm, epoch).catch(() => {});
    const over = work.finally(() => {
      if (this.#works.get(vm) === over) this.#works.delete(vm);
    });
    this.#works.set(vm, over);
  }

  /** An answer that does not come is no matter: the center orders it again. */
  async #register(vm: string, epoch: number): Promise<void> {
    const { known, client, heard } = await this.#arbiterOf(vm);
    const member = { host: this.#options.hostId, process: 'daemon' };
    const claimId = `${member.host}:register`;
    const operation = { kind: 'register', known: unheard, intent: undefined } as const;
    try {
      // What the host knows is put into it on its way.
      client.ask({ vm, member, epoch, generation: 0, claimId, operation });
      await Promise.race([heard, sleep(registerMsMax)]);
    } finally {
      client.close();
      await known.close();
    }
  }

  /** This host's way to the arbiter for a VM of which no process is here. */
  async #arbiterOf(vm: string, onReply: (reply: Reply) => void = () => {}) {
    const { credentials, arbiterUrls, vmsFolder } = this.#options;
    const own = join(vmsFolder, vm);
    await mkdir(own, { recursive: true, mode: 0o700 });
    const known = await KnowledgeFile.open(own, () => {});
    const access = { urls: arbiterUrls(), trust: new Trust(credentials) };
    const first = Promise.withResolvers<void>();
    const client = new ArbiterClient(access, known, (reply) => {
      first.resolve();
      onReply(reply);
    });
    return { known, client, heard: first.promise };
  }

  /** Where its states and snapshots are. */
  #folder(vm: string): string {
    const { vmsFolder, datastores } = this.#options;
    return datastores.find(vm) ?? join(vmsFolder, vm);
  }

  #disksOf(vm: string, disks: string | undefined): string {
    const folder = this.#folder(vm);
    if (disks === undefined) return folder;
    if (!/^[A-Za-z0-9-]{1,100}$/.test(disks)) throw new Error('malformed names');
    return disksFolder(folder, disks);
  }

  #progress(vm: string, work: string) {
    return (bytesDone: number, bytesTotal: number): void =>
      this.#report(vm, { kind: 'work-progress', id: work, bytesDone, bytesTotal });
  }

  #report(vm: string, report: Readonly<Record<string, unknown>>): void {
    this.#options.tell({ kind: 'report', vm, report });
  }

  #fail(vm: string, command: string, { code, message, remedy }: UmbraError): void {
    this.#options.tell({ kind: 'failed', vm, command, code, message, remedy });
  }

  /** One at a time for each VM, and none beside a process of it. */
  #work(vm: string, id: string, act: () => Promise<unknown>): void {
    if (this.#works.has(vm)) return void this.#settle(vm, id, Promise.reject(busy()));
    const work = this.#settle(vm, id, this.#vacated(vm).then(act));
    const over = work.finally(() => {
      if (this.#works.get(vm) === over) this.#works.delete(vm);
    });
    this.#works.set(vm, over);
  }

  /** @param work may give what the report shall say of what has been made */
  async #settle(vm: string, id: string, work: Promise<unknown>): Promise<void> {
    try {
      this.#report(vm, { kind: 'work-done', id, ...((await work) as object | undefined) });
    } catch (error) {
      const { code, message, remedy } = failureOf(error);
      this.#report(vm, { kind: 'work-failed', id, code, text: message, remedy });
    }
  }

  /** A process that has said its last word may need a moment to go. */
  async #vacated(vm: string): Promise<void> {
    for (const end = performance.now() + leaveMsMax; this.#options.isBusy(vm); ) {
      if (performance.now() > end) throw busy();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /**
   * The folder of the disks that the VM has while it is off.
   * @param disks their name on the VM's datastore
   */
  async #settledDisks(vm: VmSpec, disks: string | undefined): Promise<string> {
    const folder = this.#folder(vm.id);
    const isShared = vm.datastore !== undefined;
    const reverted = await this.#revertedDisks(vm.id, folder, isShared);
    if (isShared) return reverted ?? this.#disksOf(vm.id, disks);
    // A crash came between going back to disks alone and their being in their place.
    if (reverted !== undefined) await placeDisks(reverted, folder, vm.disks.length);
    return folder;
  }

  /** Of a state without a machine to which the VM went back: its folder, if it is still there. */
  async #revertedDisks(vm: string, folder: string, isShared: boolean): Promise<string | undefined> {
    if (!existsSync(folder)) return undefined;
    const states = await listSavedStates(folder);
    if (!states.some(({ isOff }) => isOff)) return undefined;
    const { saved } = await this.#ask(vm, `look-${randomUUID()}`, (ask) => ask.read());
    const isHere = isShared || saved?.host === this.#options.hostId;
    const state = isHere ? states.find(({ id }) => id === saved?.id) : undefined;
    return state?.isOff ? savedFolder(folder, state.id) : undefined;
  }

  /** @param process its own name: no copy of this host is meant by what is asked */
  async #ask<T>(vm: string, process: string, act: (ask: StartAsk) => Promise<T>): Promise<T> {
    const member = { host: this.#options.hostId, process };
    const { known, client } = await this.#arbiterOf(vm, (reply) => ask.replied(reply));
    const ask = new StartAsk(client, vm, member);
    try {
      return await act(ask);
    } finally {
      client.close();
      await known.close();
    }
  }
}

export const isId = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/.test(text);

function busy(): UmbraError {
  return new UmbraError(
    'vm-busy',
    'The VM runs on this host, or something else is being done with it.',
    'Power it off first, or wait a moment.',
  );
}

export function failureOf(error: unknown): UmbraError {
  if (error instanceof UmbraError) return error;
  const { message } = error as Error;
  return new UmbraError('host-work-failed', message, 'Look at the log of the host.');
}
