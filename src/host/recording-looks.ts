/**
 * The daemon's part in looking at recordings: what their logs say, replays for what their guests said,
 * pages of that, and machines of new VMs. Each is done by a process apart (recording/look-main.ts),
 * once: what it finds stays beside the recordings.
 *
 * From: orders of the center. To: reports named by the work: `work-progress`, `work-done`,
 * `work-failed`. Invariant: one replay at a time on this host, which gives way to its VMs.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CenterMessage, DaemonMessage, VmSpec } from '../api/agent.ts';
import { UmbraError } from '../base/errors.ts';
import { lookFolder, readConsolePage, readLook, removeLooks } from './recording/look-files.ts';
import type { LookOrder, LookReply } from './recording/look-main.ts';
import { recordingUnderWay, unknownRecording } from './recordings.ts';
import { prepareRewind } from './rewind.ts';
import { giveWay } from './vm/priority.ts';
import { readRecording, recordingFolder } from './vm/recording-folder.ts';
import { failureOf, isId } from './vm-states.ts';

type Order<K extends CenterMessage['kind']> = Extract<CenterMessage, { kind: K }>;
type Report = Readonly<Record<string, unknown>>;

const program = fileURLToPath(
  new URL(`./recording/look-main${extname(import.meta.url)}`, import.meta.url),
);

export interface RecordingLooksOptions {
  /** Where the folders of all VMs are. */
  readonly vmsFolder: string;
  /** Whether a process of the VM writes this recording now. */
  readonly isUnderWay: (vm: string, recording: string) => boolean;
  readonly tell: (message: DaemonMessage) => void;
}

interface Running {
  readonly vm: string;
  readonly id: string;
  readonly child: ChildProcess;
}

export class RecordingLooks {
  readonly #options: RecordingLooksOptions;
  readonly #running = new Set<Running>();
  /** Works whose turn has not come yet. */
  readonly #waiting = new Set<string>();
  #replays: Promise<unknown> = Promise.resolve();

  constructor(options: RecordingLooksOptions) {
    this.#options = options;
  }

  async timeline({ vm, id, work }: Order<'lookAtRecording'>): Promise<void> {
    await this.#answer(vm, work, async () => {
      const { recording, folder } = await this.#find(vm, id);
      const known = (await readLook(folder, 'replayed')) ?? (await readLook(folder, 'log'));
      if (known !== undefined) return { activity: known };
      await this.#look({ vm, id }, { recording, folder, replays: false });
      return { activity: await readLook(folder, 'log') };
    });
  }

  /** Behind the replays that were asked for before. */
  async replay({ vm, id, work }: Order<'replayRecording'>): Promise<void> {
    await this.#answer(vm, work, async () => {
      const { recording, folder } = await this.#find(vm, id);
      if ((await readLook(folder, 'replayed')) !== undefined) return {};
      const progress = (done: number, total: number): void =>
        this.#report(vm, { kind: 'work-progress', id: work, done, total });
      this.#waiting.add(work);
      const turn = this.#replays.then(async () => {
        if (!this.#waiting.delete(work)) throw givenUp();
        await this.#look({ vm, id: work }, { recording, folder, replays: true }, progress);
      });
      this.#replays = turn.catch(() => {});
      await turn;
      return {};
    });
  }

  /** Nobody waits for this replay any more. */
  endReplay({ work }: Order<'endReplay'>): void {
    this.#waiting.delete(work);
    for (const { id, child } of this.#running) if (id === work) child.disconnect();
  }

  /** A new VM from a place of one: its machine, in a folder of its own. */
  async goLive({ vm, source, saved, work, ...wish }: Order<'goLive'>): Promise<void> {
    await this.#answer(vm.id, work, async () => {
      if (!isId(vm.id) || !isId(saved)) throw new Error('malformed names');
      const { recording } = await this.#find(source, wish.recording);
      const { epochOffset, randomSeed } = await readInputs(recording);
      const { vmsFolder } = this.#options;
      const spec = { ...vm, epochOffset, randomSeed };
      const from = join(vmsFolder, source);
      const { count } = await prepareRewind(spec, join(vmsFolder, vm.id), { ...wish, saved, from });
      return { count, epochOffset, randomSeed };
    });
  }

  async console({ vm, id, from, work }: Order<'readRecordingConsole'>): Promise<void> {
    await this.#answer(vm, work, async () => {
      const { folder } = await this.#find(vm, id);
      if ((await readLook(folder, 'replayed')) === undefined) throw notReplayed();
      return { page: await readConsolePage(folder, from) };
    });
  }

  /** Of one that is deleted, or of all of a VM. */
  async forget(vm: string, id?: string): Promise<void> {
    for (const running of this.#running) if (running.vm === vm) running.child.disconnect();
    await removeLooks(join(this.#options.vmsFolder, vm), id);
  }

  close(): void {
    for (const { child } of this.#running) child.disconnect();
  }

  async #find(vm: string, id: string) {
    if (!isId(vm) || !isId(id)) throw new Error('malformed names');
    const vmFolder = join(this.#options.vmsFolder, vm);
    const recording = recordingFolder(vmFolder, id);
    if ((await readRecording(recording)) === undefined) throw unknownRecording(id);
    if (this.#options.isUnderWay(vm, id)) throw recordingUnderWay();
    return { recording, folder: lookFolder(vmFolder, id) };
  }

  #look(
    of: Pick<Running, 'vm' | 'id'>,
    order: LookOrder,
    progress: (done: number, total: number) => void = () => {},
  ): Promise<void> {
    const stdio = ['ignore', 'ignore', 'inherit', 'ipc'] as const;
    const child = fork(program, [], { stdio: [...stdio], execArgv: [] });
    giveWay(child.pid);
    const running = { ...of, child };
    this.#running.add(running);
    return new Promise<void>((resolve, reject) => {
      child.on('message', (reply: LookReply) => {
        if (reply.kind === 'progress') progress(reply.done, reply.total);
        else if (reply.kind === 'done') resolve();
        else reject(new UmbraError(reply.code, reply.message, reply.remedy));
      });
      child.once('error', reject);
      child.once('exit', () => reject(givenUp()));
      child.send(order);
    }).finally(() => this.#running.delete(running));
  }

  async #answer(vm: string, work: string, act: () => Promise<Report>): Promise<void> {
    try {
      this.#report(vm, { kind: 'work-done', id: work, ...(await act()) });
    } catch (error) {
      const { code, message: text, remedy } = failureOf(error);
      this.#report(vm, { kind: 'work-failed', id: work, code, text, remedy });
    }
  }

  #report(vm: string, report: Report): void {
    this.#options.tell({ kind: 'report', vm, report });
  }
}

/** What it was powered on with: a machine of it goes on with that. */
async function readInputs(recording: string): Promise<Pick<VmSpec, 'epochOffset' | 'randomSeed'>> {
  const text = await readFile(join(recording, 'machine.json'), 'utf8');
  const { epochOffset, randomSeed } = JSON.parse(text);
  return { epochOffset: String(epochOffset), randomSeed: String(randomSeed) };
}

const givenUp = (): UmbraError =>
  new UmbraError(
    'recording-look-ended',
    'The process that looked at the recording ended before it was done.',
    'Ask again; if it happens again, see the log of the host.',
  );

const notReplayed = (): UmbraError =>
  new UmbraError(
    'recording-not-replayed',
    'The recording has not been replayed on its host yet, so nobody knows what its guest said.',
    'Have it replayed: umbra record timeline VM RECORDING --replay.',
  );
