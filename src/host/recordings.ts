/**
 * The daemon's part in the recordings of its VMs: which there are, deleting one, and sending one to
 * the center. They are made by VM processes (vm/vm-recordings.ts), which may run meanwhile.
 *
 * From: orders of the center. To: the list whenever it changes; reports named by the work, as those
 * of vm-states.ts.
 */
import { existsSync, readdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { CenterMessage, DaemonMessage } from '../api/agent.ts';
import { UmbraError } from '../base/errors.ts';
import { ArchiveUpload } from './archive-upload.ts';
import type { Credentials } from './vm/protocol.ts';
import {
  listRecordings,
  readRecording,
  recordingFiles,
  recordingFolder,
  recordingsFolder,
  removeRecording,
  tidyRecordings,
} from './vm/recording-folder.ts';
import { addFile, packInto } from './vm/vm-archive.ts';
import { failureOf, isId } from './vm-states.ts';

type Order<K extends CenterMessage['kind']> = Extract<CenterMessage, { kind: K }>;

/** Most of it is packed already. */
const packLevel = 1;

export interface HostRecordingsOptions {
  /** Where the folders of all VMs are. */
  readonly vmsFolder: string;
  readonly credentials: Credentials;
  /** Of the center that gives the orders. */
  readonly leaderUrl: () => string | undefined;
  /** Whether a process of the VM writes this recording now. */
  readonly isUnderWay: (vm: string, recording: string) => boolean;
  /** Whether the center understands what is said of recordings. */
  readonly isUnderstood: () => boolean;
  readonly tell: (message: DaemonMessage) => void;
}

export class HostRecordings {
  readonly #options: HostRecordingsOptions;
  readonly #uploads = new Set<ArchiveUpload>();

  constructor(options: HostRecordingsOptions) {
    this.#options = options;
  }

  /** At the daemon's start, when no process of a VM is there. */
  async tidy(): Promise<void> {
    for (const vm of this.#vms()) await tidyRecordings(join(this.#options.vmsFolder, vm));
  }

  async tellAll(): Promise<void> {
    for (const vm of this.#vms()) await this.tellOf(vm);
  }

  async tellOf(vm: string): Promise<void> {
    if (!this.#options.isUnderstood()) return;
    const recordings = await listRecordings(join(this.#options.vmsFolder, vm));
    this.#options.tell({ kind: 'recordings', vm, recordings });
  }

  async delete({ vm, id }: Order<'deleteRecording'>): Promise<void> {
    try {
      if (!isId(vm) || !isId(id)) throw new Error('malformed names');
      if (this.#options.isUnderWay(vm, id)) throw recordingUnderWay();
      await removeRecording(join(this.#options.vmsFolder, vm), id);
    } catch (error) {
      const { code, message, remedy } = failureOf(error);
      this.#options.tell({ kind: 'failed', vm, command: 'deleteRecording', code, message, remedy });
    }
    await this.tellOf(vm);
  }

  async send({ vm, id, work }: Order<'sendRecording'>): Promise<void> {
    const report = (said: Readonly<Record<string, unknown>>): void =>
      this.#options.tell({ kind: 'report', vm, report: { id: work, ...said } });
    try {
      report({ kind: 'work-done', ...(await this.#send(vm, id, work, report)) });
    } catch (error) {
      const { code, message: text, remedy } = failureOf(error);
      report({ kind: 'work-failed', code, text, remedy });
    }
  }

  /** The center that wanted them has gone, or this daemon goes. */
  abandonUploads(): void {
    for (const upload of this.#uploads) upload.destroy();
  }

  async #send(
    vm: string,
    id: string,
    work: string,
    report: (said: Readonly<Record<string, unknown>>) => void,
  ) {
    const { vmsFolder, credentials, leaderUrl, isUnderWay } = this.#options;
    if (!isId(vm) || !isId(id)) throw new Error('malformed names');
    const folder = recordingFolder(join(vmsFolder, vm), id);
    const info = await readRecording(folder);
    if (info === undefined) throw unknownRecording(id);
    if (isUnderWay(vm, id)) throw recordingUnderWay();
    const url = leaderUrl();
    if (url === undefined) throw new Error('the center is away');
    const upload = new ArchiveUpload(url, work, credentials);
    this.#uploads.add(upload);
    upload.once('close', () => this.#uploads.delete(upload));
    const files = await recordingFiles(folder);
    const bytesTotal = files.reduce((sum, { bytes }) => sum + bytes, 0);
    let before = 0;
    await packInto(upload, packLevel, async (archive) => {
      for (const { name, bytes } of files) {
        const source = await open(join(folder, name), 'r');
        const passed = (done: number): void =>
          report({ kind: 'work-progress', bytesDone: before + done, bytesTotal });
        try {
          await addFile(archive, `${info.name}/${name}`, source, bytes, passed);
        } finally {
          await source.close();
        }
        before += bytes;
      }
      archive.finalize();
    });
    return upload.sum();
  }

  #vms(): string[] {
    const { vmsFolder } = this.#options;
    if (!existsSync(vmsFolder)) return [];
    return readdirSync(vmsFolder).filter((vm) => existsSync(recordingsFolder(join(vmsFolder, vm))));
  }
}

export const recordingUnderWay = (): UmbraError =>
  new UmbraError(
    'recording-under-way',
    'The recording is under way.',
    'End it first: umbra record stop VM.',
  );

export const unknownRecording = (id: string): UmbraError =>
  new UmbraError(
    'recording-unknown',
    `There is no recording ${id} of this VM on this host.`,
    'See umbra record list VM.',
  );
