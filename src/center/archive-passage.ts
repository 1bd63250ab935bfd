/**
 * Archives that pass through this center, from a host to whoever asked for one (api/archive.ts).
 *
 * From: a host's WebSocket, which is not read while the reader does not read. To: `body`. Invariant:
 * at most some hundred kilobytes of an archive are here, and `body` ends if and only if every byte
 * has come that the host says it has sent; in any other case it is destroyed, with the reason.
 */
import { PassThrough } from 'node:stream';
import type { WebSocket } from 'ws';
import type { ArchiveSum } from '../api/archive.ts';
import { UmbraError } from '../base/errors.ts';

const aheadBytesMax = 256 * 1024;
const lookMs = 250;
/** A host may have to wait until a process of the VM has gone. */
const beginMsMax = 15_000;
const closeNormal = 1000;

export class ArchivePassages {
  readonly #open = new Map<string, Passage>();
  /** A reader that takes nothing for so long has gone, whatever its connection says. */
  stallMsMax = 60_000;

  /** @param work the task's id; @param host the only one that may send it */
  open(work: string, host: string): Passage {
    const passage = new Passage(host, this.stallMsMax);
    this.#open.set(work, passage);
    passage.body.once('close', () => this.#open.delete(work));
    return passage;
  }

  /** @throws UmbraError `archive-unwanted` where nobody waits for it */
  wanted(work: string, host: string): Passage {
    const passage = this.#open.get(work);
    if (passage?.host === host) return passage;
    const why = 'nobody waits for this archive any more';
    throw new UmbraError('archive-unwanted', why, 'Nothing is to be done.');
  }
}

export class Passage {
  readonly host: string;
  readonly body = new PassThrough({ highWaterMark: aheadBytesMax });
  /** Of the whole archive, once it is whole. */
  sum: ArchiveSum | undefined;
  readonly #begun = Promise.withResolvers<void>();
  readonly #broken = Promise.withResolvers<never>();
  readonly #allHere = Promise.withResolvers<void>();
  #socket: WebSocket | undefined;
  #bytes = 0;
  #bytesTold: number | undefined;
  readonly #look: NodeJS.Timeout;

  constructor(host: string, stallMsMax: number) {
    this.host = host;
    for (const { promise } of [this.#begun, this.#broken, this.#allHere]) promise.catch(() => {});
    this.body.on('error', () => {});
    this.body.on('drain', () => this.#socket?.resume());
    this.body.once('close', () => {
      clearInterval(this.#look);
      if (!this.body.readableEnded) this.#broken.reject(readerGone(this.#bytes));
    });
    let taken = 0;
    const openedAt = performance.now();
    let takenAt = openedAt;
    this.#look = setInterval(() => {
      const waiting = this.body.readableLength + this.body.writableLength;
      const now = performance.now();
      if (waiting === 0 || this.#bytes - waiting !== taken) takenAt = now;
      taken = this.#bytes - waiting;
      if (now - takenAt > stallMsMax) this.#broken.reject(stalled(stallMsMax));
      const isLate = this.#socket === undefined && now - openedAt > beginMsMax;
      if (isLate) this.#broken.reject(hostBroke(0));
    }, lookMs);
  }

  /** Resolves when the host is there with it, rejects if it does not come. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  /** The host's end. */
  accept(socket: WebSocket): void {
    if (this.#socket !== undefined || this.body.destroyed) return socket.terminate();
    this.#socket = socket;
    this.#begun.resolve();
    socket.on('message', (data: Buffer) => {
      this.#bytes += data.length;
      if (!this.body.write(data)) socket.pause();
      this.#count();
    });
    socket.on('error', () => socket.terminate());
    socket.on('close', () => this.#broken.reject(hostBroke(this.#bytes)));
  }

  /**
   * @param made the host's word, when it has sent all
   * @returns when the reader has it all
   * @throws UmbraError why not: the reader has gone or stands still, the host has broken off
   */
  async finish(made: Promise<ArchiveSum>): Promise<ArchiveSum> {
    const whole = async (): Promise<ArchiveSum> => {
      const sum = await made;
      this.#bytesTold = sum.bytes;
      this.#count();
      await this.#allHere.promise;
      this.sum = sum;
      const read = new Promise<void>((done) => this.body.once('end', done));
      this.body.end();
      await read;
      return sum;
    };
    return Promise.race([whole(), this.#broken.promise]);
  }

  /** @param why it ends before it is whole */
  close(why?: Error): void {
    clearInterval(this.#look);
    if (why === undefined) {
      // A body that has ended says `drain` no more, and whoever is not read cannot say goodbye.
      this.#socket?.resume();
      return this.#socket?.close(closeNormal);
    }
    this.#begun.reject(why);
    this.body.destroy(why);
    this.#socket?.terminate();
  }

  #count(): void {
    if (this.#bytesTold === undefined || this.#bytes < this.#bytesTold) return;
    if (this.#bytes === this.#bytesTold) this.#allHere.resolve();
    else this.#allHere.reject(hostBroke(this.#bytes));
  }
}

const readerGone = (bytes: number): UmbraError =>
  new UmbraError(
    'export-broken-off',
    `whoever asked for the archive has gone after ${bytes} bytes`,
    'Ask for it again.',
  );

const stalled = (ms: number): UmbraError =>
  new UmbraError(
    'export-broken-off',
    `whoever asked for the archive has taken nothing for ${ms / 1000} s`,
    'Ask for it again, and write it to where there is room and speed.',
  );

const hostBroke = (bytes: number): UmbraError =>
  new UmbraError(
    'export-broken-off',
    `the host has broken the archive off after ${bytes} bytes`,
    'See umbra host list, and ask for it again.',
  );
