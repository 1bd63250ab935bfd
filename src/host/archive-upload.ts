/**
 * An archive's way from this host to the center (api/archive.ts), as a stream to write to: it takes
 * as much as the center takes, which takes as much as whoever asked for the archive.
 *
 * The center closes the connection when it has everything, or wants no more. Until then it stays
 * open, also behind the last byte: what is still on its way would be lost with it.
 */
import { createHash } from 'node:crypto';
import { Writable } from 'node:stream';
import type { WebSocket } from 'ws';
import { type ArchiveSum, archiveUploadPath } from '../api/archive.ts';
import type { Credentials } from '../api/credentials.ts';
import { onRefusal, openDaemonSocket } from '../api/socket.ts';
import { connectionError, refusal } from '../api/wire.ts';
import { UmbraError } from '../base/errors.ts';

const aheadBytesMax = 256 * 1024;

export class ArchiveUpload extends Writable {
  readonly #socket: WebSocket;
  readonly #hash = createHash('sha256');
  #bytes = 0;

  /** @param url of the center that has ordered it */
  constructor(url: string, work: string, credentials: Credentials) {
    super({ autoDestroy: false, highWaterMark: aheadBytesMax });
    const socket = openDaemonSocket(url, archiveUploadPath(work), credentials);
    this.#socket = socket;
    const failed = (error: Error): void => void this.destroy(connectionError(url, error));
    onRefusal(socket, (status, text) => this.destroy(refusal(url, status, text)), failed);
    socket.on('error', failed);
    socket.on('close', () => this.destroy(this.writableFinished ? undefined : unwanted()));
  }

  override _write(chunk: Buffer, encoding: string, taken: (error?: Error | null) => void): void {
    const socket = this.#socket;
    if (socket.readyState === socket.CONNECTING) {
      socket.once('open', () => this._write(chunk, encoding, taken));
      return;
    }
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
    socket.send(chunk, taken);
  }

  override _destroy(error: Error | null, gone: (error?: Error | null) => void): void {
    this.#socket.terminate();
    gone(error);
  }

  /** Of what was written; once, when it has ended. */
  sum(): ArchiveSum {
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }
}

const unwanted = (): UmbraError =>
  new UmbraError('export-broken-off', 'The center takes no more of the archive.', 'Ask again.');
