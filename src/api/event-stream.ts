/**
 * Events as they happen: `GET /api/v1/events/stream?after=N&vm=NAME` as a WebSocket, one event a
 * message. Durable, in order, without a hole: whoever reconnects goes on behind the last event that
 * was seen, which is what this client does.
 */
import type { WebSocket } from 'ws';
import { UmbraError } from '../base/errors.ts';
import type { Client } from './client.ts';
import { closeRefused, onRefusal, openPersonSocket, parseCloseReason } from './socket.ts';
import type { EventView } from './views.ts';
import { apiPrefix, connectionError, refusal } from './wire.ts';

const retryMs = 500;

export interface EventStreamOptions {
  /** The sequence number of the last event that is known. */
  readonly after: number;
  /** Only events of this VM. */
  readonly vm?: string;
  readonly onEvent: (event: EventView) => void;
  /** The center refuses, or has never been reached: nothing more comes. */
  readonly onEnd: (why: UmbraError) => void;
}

export interface EventStream {
  close(): void;
}

export function openEvents(client: Client, options: EventStreamOptions): EventStream {
  const { url, trust } = client.wire;
  let last = options.after;
  let socket: WebSocket | undefined;
  let retry: NodeJS.Timeout | undefined;
  let hasOpened = false;
  let isOver = false;

  const end = (why: UmbraError): void => {
    if (isOver) return;
    isOver = true;
    options.onEnd(why);
  };
  const open = (): void => {
    const query = new URLSearchParams({ after: String(last) });
    if (options.vm !== undefined) query.set('vm', options.vm);
    const path = `${apiPrefix}/events/stream?${query}`;
    const own = openPersonSocket(url, path, trust);
    socket = own;
    let failure: Error | undefined;
    own.on('open', () => {
      hasOpened = true;
    });
    own.on('message', (data) => {
      if (isOver) return;
      const event = JSON.parse(String(data)) as EventView;
      last = event.sequence;
      options.onEvent(event);
    });
    const refused = (status: number, text: string): void => {
      if (status < 500 || !hasOpened) return end(refusal(url, status, text));
      if (!isOver) retry = setTimeout(open, retryMs);
    };
    onRefusal(own, refused, (error) => end(connectionError(url, error)));
    own.on('error', (error) => {
      failure = error;
    });
    own.on('close', (code, reason) => {
      if (isOver) return;
      if (code === closeRefused) return end(refusedBy(String(reason)));
      if (!hasOpened) return end(connectionError(url, failure ?? new Error(`code ${code}`)));
      retry = setTimeout(open, retryMs);
    });
  };
  open();
  return {
    close() {
      isOver = true;
      clearTimeout(retry);
      socket?.close();
    },
  };
}

function refusedBy(reason: string): UmbraError {
  const { code, text } = parseCloseReason(reason);
  const why = text ?? 'the center has ended the stream';
  return new UmbraError(code ?? 'credentials-refused', why, 'Log in again: umbra login.');
}
