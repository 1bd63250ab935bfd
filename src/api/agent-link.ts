/**
 * A daemon's end of the conversation with the center (agent.ts): a WebSocket that comes back.
 *
 * After every connect the daemon's `hello` goes first, made afresh, so it tells all that runs; what
 * was said while there was no connection follows, except statuses, which the hello has replaced, and
 * what consoles have shown, of which the daemon says the end again. A center that is away is tried
 * again and again, from 0.1 s to 2 s apart. A center that refuses this daemon (foreign certificate,
 * protocol, removed from the cluster) is final: `onRefused`.
 */
import { randomInt } from 'node:crypto';
import type { WebSocket } from 'ws';
import { UmbraError } from '../base/errors.ts';
import type { CenterMessage, DaemonMessage } from './agent.ts';
import type { Credentials } from './credentials.ts';
import { fromProblem } from './problems.ts';
import { closeRefused, onRefusal, openDaemonSocket, parseCloseReason } from './socket.ts';
import { apiPrefix, centerUrl, connectionError } from './wire.ts';

export type HelloMessage = Extract<DaemonMessage, { kind: 'hello' }>;

export interface AgentLinkOptions {
  /** Of the centers, asked at every connect; they are tried in turn. */
  readonly urls: () => readonly string[];
  readonly credentials: Credentials;
  /** Called at every connect. */
  readonly hello: () => HelloMessage;
  readonly onMessage: (message: CenterMessage) => void;
  /** The center has answered the hello. */
  readonly onConnected?: () => void;
  /** Said once per outage. */
  readonly onDisconnected?: (why: UmbraError) => void;
  /** The center will not have this daemon; the link is closed for good. */
  readonly onRefused: (why: UmbraError) => void;
}

export interface AgentLink {
  readonly connected: boolean;
  /** Of the center at the other end; undefined while there is none. */
  readonly url: string | undefined;
  /** What the center speaks with this daemon; 0 before the first welcome. */
  readonly protocol: number;
  /** Sent now, or after the next connect. */
  send(message: DaemonMessage): void;
  close(): void;
}

/** The center pings every second. */
const silenceMsMax = 5_000;
const retryMsMin = 100;
const retryMsMax = 2_000;
/** While there is no connection; the oldest are dropped. */
const waitingMax = 1_000;

export function connectAgent(options: AgentLinkOptions): AgentLink {
  const link = new Link(options);
  link.open();
  return link;
}

class Link implements AgentLink {
  readonly #options: AgentLinkOptions;
  #next = 0;
  #url = '';
  #socket: WebSocket | undefined;
  #welcomed = false;
  #protocol = 0;
  #closed = false;
  #outageTold = false;
  #retryMs = retryMsMin;
  #retry: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #waiting: DaemonMessage[] = [];

  constructor(options: AgentLinkOptions) {
    this.#options = options;
  }

  get connected(): boolean {
    return this.#welcomed;
  }

  get url(): string | undefined {
    return this.#welcomed ? this.#url : undefined;
  }

  get protocol(): number {
    return this.#protocol;
  }

  send(message: DaemonMessage): void {
    if (this.#welcomed) return this.#write(message);
    if (message.kind === 'status' || message.kind === 'console' || this.#closed) return;
    this.#waiting.push(message);
    if (this.#waiting.length > waitingMax) this.#waiting.shift();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#welcomed = false;
    this.#socket?.close();
  }

  open(): void {
    const urls = this.#options.urls();
    this.#url = centerUrl(urls[this.#next++ % urls.length]!);
    const socket = openDaemonSocket(this.#url, `${apiPrefix}/agent`, this.#options.credentials);
    this.#socket = socket;
    let failure: Error | undefined;
    const refused = (status: number, text: string): void => {
      const problem = fromProblem(text);
      if (problem !== undefined && status < 500) return this.#refused(problem);
      failure = problem ?? new Error(`status ${status}`);
      this.#lost(socket, failure);
    };
    onRefusal(socket, refused, (error) => this.#lost(socket, error));
    socket.on('open', () => {
      this.#watch(socket);
      this.#write(this.#options.hello());
    });
    socket.on('ping', () => this.#watch(socket));
    socket.on('message', (data) => this.#receive(JSON.parse(String(data)) as CenterMessage));
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', (code, reason) => {
      if (code === closeRefused) return this.#refused(refusedBy(String(reason)));
      this.#lost(socket, failure ?? new Error(`the connection was closed, code ${code}`));
    });
  }

  #receive(message: CenterMessage): void {
    if (this.#closed) return;
    if (message.kind === 'welcome') {
      this.#welcomed = true;
      this.#protocol = message.protocol;
      // The one that answers is the first to be tried again.
      this.#next -= 1;
      this.#outageTold = false;
      this.#retryMs = retryMsMin;
      for (const waiting of this.#waiting.splice(0)) this.#write(waiting);
      this.#options.onMessage(message);
      this.#options.onConnected?.();
      return;
    }
    this.#options.onMessage(message);
  }

  #write(message: DaemonMessage): void {
    this.#socket!.send(JSON.stringify(message));
  }

  /** A center that has gone without a word is noticed by its missing pings. */
  #watch(socket: WebSocket): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => socket.terminate(), silenceMsMax);
  }

  #lost(socket: WebSocket, cause: Error): void {
    if (this.#closed || socket !== this.#socket || this.#retry !== undefined) return;
    clearTimeout(this.#silence);
    this.#welcomed = false;
    if (!this.#outageTold) {
      this.#outageTold = true;
      this.#options.onDisconnected?.(connectionError(this.#url, cause));
    }
    // Spread, so that the hosts of a cluster do not come back in step.
    const wait = this.#retryMs + randomInt(Math.ceil(this.#retryMs / 4));
    this.#retryMs = Math.min(this.#retryMs * 2, retryMsMax);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.open();
    }, wait);
  }

  #refused(why: UmbraError): void {
    if (this.#closed) return;
    this.close();
    this.#options.onRefused(why);
  }
}

function refusedBy(reason: string): UmbraError {
  const { code, text } = parseCloseReason(reason);
  return new UmbraError(
    code ?? 'daemon-refused',
    `the center refuses this daemon: ${text ?? reason}`,
    refusalRemedies[code ?? ''] ?? 'See the events of the center: umbra center events.',
  );
}

const refusalRemedies: Readonly<Record<string, string>> = {
  'protocol-version': 'Bring center and hosts to neighbouring versions of Umbra, the center first.',
  'daemon-replaced': 'Run one daemon per folder of data.',
};
