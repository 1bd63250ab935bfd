/**
 * A person's WebSocket that outlives its center: when it breaks it is opened again, at the same
 * center or at another one of the cluster.
 *
 * Which others there are the center says when it opens the socket (`X-Umbra-Centers`); all have the
 * same certificate authority, and know the same tokens. What was said on the way is lost with the
 * connection: whoever uses this goes on behind the last thing that was heard, by `path`.
 */
import { WebSocket } from 'ws';
import { UmbraError } from '../base/errors.ts';
import type { Client } from './client.ts';
import { closeRefused, onRefusal, openPersonSocket, parseCloseReason } from './socket.ts';
import { connectionError, refusal } from './wire.ts';

/** The header of an opened socket with the URLs of all centers, where there are several. */
export const centersHeader = 'x-umbra-centers';

const retryMs = 500;

export interface LastingSocketOptions {
  /** From the root; asked at each connect. */
  readonly path: () => string;
  readonly onMessage: (text: string) => void;
  /** Refused, or never reached: nothing more comes. */
  readonly onEnd: (why: UmbraError) => void;
  /** Broken, and being opened again; then open again. */
  readonly onBroken?: () => void;
  readonly onOpen?: () => void;
  /** How long it is tried to open it again, milliseconds; for ever if not given. */
  readonly outageMsMax?: number;
}

export class LastingSocket {
  readonly #client: Client;
  readonly #options: LastingSocketOptions;
  #urls: readonly string[];
  #next = 0;
  #socket: WebSocket | undefined;
  #retry: NodeJS.Timeout | undefined;
  #hasOpened = false;
  #brokenAt: number | undefined;
  #isOver = false;

  constructor(client: Client, options: LastingSocketOptions) {
    this.#client = client;
    this.#options = options;
    this.#urls = [client.wire.url];
    this.#open();
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Only while it is open. */
  send(text: string): void {
    this.#socket!.send(text);
  }

  close(): void {
    this.#isOver = true;
    clearTimeout(this.#retry);
    this.#socket?.close();
  }

  #open(): void {
    const url = this.#urls[this.#next % this.#urls.length]!;
    const socket = openPersonSocket(url, this.#options.path(), this.#client.wire.trust);
    this.#socket = socket;
    let failure: Error | undefined;
    socket.on('upgrade', ({ headers }) => this.#learn(url, String(headers[centersHeader] ?? '')));
    socket.on('open', () => {
      this.#hasOpened = true;
      this.#brokenAt = undefined;
      this.#options.onOpen?.();
    });
    socket.on('message', (data) => {
      if (!this.#isOver) this.#options.onMessage(String(data));
    });
    const refused = (status: number, text: string): void => {
      const why = refusal(url, status, text);
      if (status < 500) this.#end(why);
      else this.#lost(socket, why);
    };
    onRefusal(socket, refused, (error) => this.#lost(socket, connectionError(url, error)));
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', (code, reason) => {
      if (code === closeRefused) return this.#end(refusedBy(String(reason)));
      const why = failure ?? new Error(`closed with code ${code}`);
      this.#lost(socket, connectionError(url, why));
    });
  }

  /** The one that has answered comes first, then all others. */
  #learn(url: string, said: string): void {
    const others = said.split(/[,\s]+/).filter((other) => URL.canParse(other) && other !== url);
    this.#urls = [...new Set([url, ...others, ...this.#urls])];
    this.#next = 0;
  }

  #lost(socket: WebSocket, why: UmbraError): void {
    if (this.#isOver || socket !== this.#socket || this.#retry !== undefined) return;
    if (!this.#hasOpened) return this.#end(why);
    const now = performance.now();
    if (this.#brokenAt === undefined) {
      this.#brokenAt = now;
      this.#options.onBroken?.();
    }
    if (now - this.#brokenAt > (this.#options.outageMsMax ?? Number.POSITIVE_INFINITY)) {
      return this.#end(why);
    }
    this.#next += 1;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#open();
    }, retryMs);
  }

  #end(why: UmbraError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.onEnd(why);
  }
}

function refusedBy(reason: string): UmbraError {
  const { code, text } = parseCloseReason(reason);
  const why = text ?? 'the center has ended the conversation';
  return new UmbraError(code ?? 'credentials-refused', why, 'Log in again: umbra login.');
}
