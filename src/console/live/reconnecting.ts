/**
 * A WebSocket that is opened again when it breaks, sooner at first than later. An end by which the
 * center says that the credentials are worth nothing waits for a new session; a refused upgrade
 * tells a page nothing, so that the session is asked after.
 */

import { apiPrefix } from '../../api/calls.ts';
import { closeRefused, parseCloseReason } from '../../api/close-codes.ts';
import { UmbraError } from '../../api/problems.ts';

export type LinkState = 'connecting' | 'open' | 'broken';

export interface LinkOptions {
  /** Below the API's prefix, with its query; asked at every opening. */
  readonly path: () => string;
  readonly onOpen?: () => void;
  readonly onMessage: (text: string) => void;
  readonly onState: (state: LinkState) => void;
  /** Resolves when it is worth trying again; rejects: never. `why`: undefined, it may be anything. */
  readonly mayRetry: (why: UmbraError | undefined) => Promise<void>;
  /** The center will not have it. */
  readonly onRefused?: (why: UmbraError) => void;
}

const firstRetryMs = 250;
const retryMsMax = 5_000;

export class Link {
  readonly #options: LinkOptions;
  #socket: WebSocket | undefined;
  #retry: number | undefined;
  #retryMs = firstRetryMs;
  #isClosed = false;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#open();
  }

  /** @returns whether it is under way */
  send(text: string): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#socket?.close();
  }

  #open(): void {
    const { path, onOpen, onMessage, onState } = this.#options;
    onState('connecting');
    const url = new URL(apiPrefix + path(), location.href);
    url.protocol = 'wss:';
    const socket = new WebSocket(url);
    this.#socket = socket;
    let hasOpened = false;
    socket.onopen = () => {
      hasOpened = true;
      onState('open');
      onOpen?.();
    };
    socket.onmessage = ({ data }) => {
      this.#retryMs = firstRetryMs;
      if (!this.#isClosed) onMessage(String(data));
    };
    socket.onclose = ({ code, reason }) => {
      if (this.#isClosed) return;
      onState('broken');
      this.#again(code === closeRefused ? refusal(reason) : undefined, hasOpened);
    };
  }

  #again(why: UmbraError | undefined, hasOpened: boolean): void {
    const wait = this.#retryMs;
    this.#retryMs = Math.min(retryMsMax, wait * 2);
    const retry = () => {
      if (!this.#isClosed) this.#retry = window.setTimeout(() => this.#open(), wait);
    };
    // One that was open and broke says nothing of the session; what cannot be opened may.
    if (why === undefined && hasOpened) return retry();
    this.#options.mayRetry(why).then(retry, () => {
      if (why !== undefined) this.#options.onRefused?.(why);
    });
  }
}

function refusal(reason: string): UmbraError {
  const { code, text } = parseCloseReason(reason);
  return new UmbraError(code ?? 'credentials-refused', text ?? 'the center has ended it', '');
}
