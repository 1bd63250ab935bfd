/**
 * Recordings of a VM that runs, protected or not: begun and ended between two steps, each in a folder
 * of its own (recording-folder.ts), any number at a time.
 *
 *   folder, boot files -> | flush, snapshot at that position | -> whole: it has begun -> ended
 *
 * A recording begins with a snapshot in the place of power-on: the VM stands still for its moment
 * alone. What ends one before it is asked to (its disk is full, the VM goes) leaves it whole up to
 * there and is said once, by the report `recording-ended`. Invariant: whatever fails here costs the
 * VM nothing.
 */
import { rm } from 'node:fs/promises';
import type { Incident, RecordingStatus, VmSpec } from '../../api/agent.ts';
import { UmbraError } from '../../base/errors.ts';
import type { VirtShape } from '../../board/virt.ts';
import type { Primary } from '../../lockstep/primary.ts';
import { packageVersion } from '../package-version.ts';
import { type BootFile, placeRecording, unwritable } from '../recording/machine-description.ts';
import { RecordingFolder } from '../recording/recording-writer.ts';
import { anchorOf, type DiskUndo } from './disk-undo.ts';
import { recordingFolder, writeRecordingFile } from './recording-folder.ts';
import { roomIn } from './snapshot-maker.ts';

/** What must be free to begin: beside that the log of a while, and the VM's own writes. */
const roomBytesMin = 128 * 1024 * 1024;
const snapshotMicros = 5_000_000;

export interface RecordOrder {
  readonly id: string;
  readonly name: string;
  /** What its files may take together, about; the oldest goes first. */
  readonly bytesMax?: number;
  /** Of a flight recorder (flight-recorder.ts): how much of the past is enough, about. */
  readonly secondsMax?: number;
}

export interface VmRecordingsOptions {
  readonly vm: VmSpec;
  /** The VM's folder on this host. */
  readonly directory: string;
  readonly configuration: VirtShape;
  readonly digest: Uint8Array;
  readonly bootFiles: Readonly<Record<string, BootFile>>;
  /** Keeps what the VM's disks held at the moments of snapshots; undefined: nobody can. */
  readonly undo: DiskUndo | undefined;
  readonly generation: () => { readonly epoch: number; readonly generation: number };
  readonly report: (report: Readonly<Record<string, unknown>>) => void;
  readonly note: (text: string) => void;
  /** The copy has something to do, and its status is another one. */
  readonly changed: () => void;
}

type Report = Readonly<Record<string, unknown>>;

interface Kept {
  readonly name: string;
  /** For people. */
  readonly why: string;
  readonly incident?: Incident;
}

interface Running {
  order: RecordOrder;
  readonly files: RecordingFolder;
  readonly path: string;
  readonly startedAtMs: number;
  readonly count: string;
  hasBegun: boolean;
}

export class VmRecordings {
  readonly #options: VmRecordingsOptions;
  readonly #running = new Map<string, Running>();
  /** Told as under way until their end has been said. */
  readonly #ending = new Map<string, Running>();
  /** On their way to a beginning, or to an end. */
  readonly #underWay = new Map<string, Promise<void>>();
  /** What became of those that are over, should the order be repeated. */
  readonly #said = new Map<string, Report>();
  #primary: Primary | undefined;
  #isOver = false;

  constructor(options: VmRecordingsOptions) {
    this.#options = options;
  }

  /** Those that have begun, as they are now. */
  get status(): RecordingStatus[] {
    return [...this.#running.values(), ...this.#ending.values()]
      .filter(({ hasBegun, order }) => hasBegun && order.secondsMax === undefined)
      .map(({ order: { id, name }, files }) => {
        const { logBytes, snapshotBytes, seconds, bytesPerSecond } = files.status;
        const rate = Math.round(bytesPerSecond);
        return { id, name, bytes: logBytes + snapshotBytes, seconds, bytesPerSecond: rate };
      });
  }

  /** Under way, or about to be. */
  isThere(id: string): boolean {
    return this.#running.has(id) || this.#underWay.has(id);
  }

  /** Of one that is a flight recorder's; undefined: it has not begun, or is over. */
  figuresOf(id: string) {
    const running = this.#running.get(id);
    return running?.hasBegun ? running.files.status : undefined;
  }

  /**
   * A flight recorder's ring becomes a recording like any other, from here on by this name.
   * @returns when it is whole; false: there is none
   */
  async keep(id: string, { name, why, incident }: Kept): Promise<boolean> {
    const running = this.#running.get(id);
    if (!running?.hasBegun) return false;
    running.order = { id, name };
    const ended = this.#end(running, 'kept', undefined, {
      text: why,
      ...(incident && { incident }),
    });
    this.#track(id, ended);
    await ended;
    return true;
  }

  /** A flight recorder's ring is of no use any more. */
  discard(id: string): void {
    const running = this.#running.get(id);
    if (running === undefined) return;
    const { files, path } = running;
    this.#leave(id);
    const removed = files.close().then(() => rm(path, { recursive: true, force: true }));
    this.#track(
      id,
      removed.catch(() => {}),
    );
  }

  /** May be repeated. Its end is a report: `work-done`, `work-failed`, or `recording-ended`. */
  start(primary: Primary | undefined, order: RecordOrder): void {
    const { id } = order;
    const said = this.#said.get(id);
    if (said !== undefined) return this.#options.report(said);
    if (this.#running.has(id) || this.#underWay.has(id)) return;
    if (primary === undefined || primary.ended !== undefined || this.#isOver) {
      return this.#failed(order, refusal());
    }
    this.#primary = primary;
    this.#track(id, this.#begin(primary, order));
  }

  /** @param work by which its end is told */
  stop(id: string, work: string): void {
    const { report } = this.#options;
    const running = this.#running.get(id);
    if (running === undefined) return report({ kind: 'work-done', id: work, recording: id });
    const ended = this.#end(running, 'stopped').then(() =>
      report({ kind: 'work-done', id: work, recording: id }),
    );
    this.#track(id, ended);
  }

  /** Behind each step of the copy, which took so long. */
  stepped(primary: Primary | undefined, micros: number): void {
    if (primary === undefined) return;
    for (const { files, hasBegun } of this.#running.values()) {
      if (hasBegun) files.stepped(primary, micros);
    }
  }

  /** The VM ends here. Resolves when every recording is whole. */
  async close(): Promise<void> {
    this.#isOver = true;
    for (const running of this.#running.values()) {
      if (running.order.secondsMax !== undefined) this.discard(running.order.id);
      else if (running.hasBegun) this.#track(running.order.id, this.#end(running, 'vm-ended'));
    }
    while (this.#underWay.size > 0) await Promise.all(this.#underWay.values());
  }

  #track(id: string, act: Promise<void>): void {
    const before = this.#underWay.get(id);
    const all = Promise.all([before, act]).then(() => {
      if (this.#underWay.get(id) === all) this.#underWay.delete(id);
    });
    this.#underWay.set(id, all);
  }

  // --- Beginning

  async #begin(primary: Primary, order: RecordOrder): Promise<void> {
    const { directory, configuration, bootFiles, report, note, changed } = this.#options;
    const path = recordingFolder(directory, order.id);
    let files: RecordingFolder | undefined;
    try {
      const room = await roomIn(directory);
      if (room < roomBytesMin) throw noRoom(room);
      await placeRecording(path, configuration, await packageVersion(), bootFiles);
      if (primary.ended !== undefined || this.#isOver) throw refusal();
      const running = this.#open(primary, order, path);
      files = running.files;
      const pauseMicros = await files.begin(primary);
      if (pauseMicros === undefined || !this.#running.has(order.id)) throw notBegun(running);
      await writeRecordingFile(path, this.#describe(running));
      running.hasBegun = true;
      note(`recording ${order.id} from count ${running.count}, pause ${pauseMicros} us`);
      report({ kind: 'work-done', id: order.id, recording: order.id, pauseMicros });
      changed();
      // It may have been the VM's last moment.
      if (this.#isOver && order.secondsMax === undefined) await this.#end(running, 'vm-ended');
      else if (this.#isOver) this.discard(order.id);
    } catch (error) {
      this.#leave(order.id);
      await files?.close();
      await rm(path, { recursive: true, force: true }).catch(() => {});
      this.#failed(order, error);
    }
  }

  /** From here on every entry goes there, the first being the snapshot's. */
  #open(primary: Primary, order: RecordOrder, path: string): Running {
    const { digest, note } = this.#options;
    const { machine } = primary;
    // What others record is told apart from what this one does.
    primary.record(this.#sink);
    const files = new RecordingFolder({
      ...{ folder: path, configuration: digest, machine, snapshotMicros, note },
      ...{ position: primary.recorder.nextPosition, generation: this.#options.generation() },
      ...{ bytesMax: order.bytesMax, secondsMax: order.secondsMax },
      moment: (snapshot) => this.#options.undo?.moment(anchorOf(order.id, snapshot)),
      failed: (error) => this.#failing(order.id, error),
    });
    const common = { order, files, path, startedAtMs: Date.now(), count: String(machine.count) };
    const running: Running = { ...common, hasBegun: false };
    this.#running.set(order.id, running);
    this.#limitUndo();
    return running;
  }

  /** What the disks held may take as much again as the largest of them. */
  #limitUndo(): void {
    const { undo } = this.#options;
    const limits = [...this.#running.values()].map(({ order }) => order.bytesMax);
    const limit = Math.max(...limits.map((bytes) => bytes ?? Number.POSITIVE_INFINITY));
    if (undo !== undefined && limits.length > 0) undo.bytesMax = limit;
  }

  /** What the disks held cannot be kept: the recordings end with it, as far as they are whole. */
  undoFailed(error: Error): void {
    for (const { order, path } of [...this.#running.values()]) {
      this.#failing(order.id, unwritable(path, error));
    }
  }

  readonly #sink = (firstPosition: number, entries: Uint8Array): void => {
    for (const { files } of this.#running.values()) files.batch(firstPosition, entries);
  };

  // --- Ending

  /** The log could not be written: what is whole stays. */
  #failing(id: string, error: UmbraError): void {
    const running = this.#running.get(id);
    // One that has not begun fails there.
    if (running === undefined) return;
    if (!running.hasBegun) return this.#leave(id);
    // Not within the step that found out.
    setImmediate(() => this.#track(id, this.#end(running, 'failed', error)));
  }

  async #end(
    running: Running,
    how: 'stopped' | 'vm-ended' | 'failed' | 'kept',
    error?: UmbraError,
    about: { readonly text?: string; readonly incident?: Incident } = {},
  ): Promise<void> {
    const { order, files, path } = running;
    const { id, name } = order;
    if (this.#running.get(id) !== running) return;
    // The last entries, and a fingerprint behind them.
    const isLive = this.#primary !== undefined && this.#primary.ended === undefined;
    if (isLive && (how === 'stopped' || how === 'kept')) this.#primary?.record(this.#sink);
    this.#ending.set(id, running);
    this.#leave(id);
    const { seconds } = files.status;
    const failure = (await files.close()) ?? error;
    const kind = failure === undefined ? how : 'failed';
    const why = failure?.message ?? about.text;
    const { incident } = about;
    const ended = { kind, ...(why !== undefined && { text: why }), ...(incident && { incident }) };
    const file = { ...this.#describe(running), endedAtMs: Date.now(), seconds, ended };
    await writeRecordingFile(path, file).catch(({ message }: Error) => {
      this.#options.note(`the end of recording ${id} is not written down: ${message}`);
    });
    const report = {
      ...{ kind: 'recording-ended', id, recording: id, name, how: kind },
      ...(failure && { code: failure.code, text: failure.message, remedy: failure.remedy }),
    };
    this.#said.set(id, report);
    this.#options.report(report);
    this.#ending.delete(id);
    this.#options.changed();
  }

  #leave(id: string): void {
    this.#running.delete(id);
    this.#limitUndo();
    if (this.#running.size === 0) this.#options.undo?.letGo();
    if (this.#running.size === 0 && this.#primary?.ended === undefined) {
      this.#primary?.record(undefined);
    }
  }

  #describe({ order: { id, name, secondsMax }, startedAtMs, count }: Running) {
    const ring = secondsMax !== undefined && { isRing: true as const };
    return { id, name, vm: this.#options.vm.name, startedAtMs, count, ...ring };
  }

  #failed({ id }: RecordOrder, error: unknown): void {
    const { code, message, remedy } = error instanceof UmbraError ? error : failure(error as Error);
    const report = { kind: 'work-failed', id, code, text: message, remedy };
    this.#said.set(id, report);
    this.#options.report(report);
  }
}

const refusal = (): UmbraError =>
  new UmbraError(
    'recording-refused',
    'The recording cannot begin: the VM is not live on this host.',
    'Record it where it runs: umbra vm show.',
  );

const noRoom = (room: number): UmbraError =>
  new UmbraError(
    'recording-no-room',
    `There is no room for a recording on this host: ${Math.floor(room / 2 ** 20)} MiB are free.`,
    'Delete recordings (umbra record delete), or free some space on the host.',
  );

function notBegun({ path }: Running): UmbraError {
  return new UmbraError(
    'recording-not-begun',
    `The recording has not begun: its first snapshot could not be written into ${path}.`,
    'Look at the disk of the host, and at what the VM process says in its log.',
  );
}

const failure = (cause: Error): UmbraError =>
  new UmbraError(
    'recording-failed',
    `The recording could not begin: ${cause.message}.`,
    'Look at the disk of the host, and try again.',
    { cause },
  );
