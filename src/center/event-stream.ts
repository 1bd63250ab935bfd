/**
 * Events and consoles as WebSockets: what is said on them, and to whom they stay open.
 *
 * The stream of events takes from the store what comes after the last one that was sent, when it is
 * told that there is something new and once a second: so it shows what is durable, in order and
 * without a hole, also what another center has written. A reader that is too slow is waited for.
 */
import type { WebSocket } from 'ws';
import { closeReason, closeRefused } from '../api/socket.ts';
import { UmbraError } from '../base/errors.ts';
import type { Events } from './events.ts';
import type { Store } from './store/store.ts';

const lookMs = 1_000;
const pingMs = 10_000;
const atOnceMax = 500;
const unsentBytesMax = 2 ** 20;

const elsewhere = new Set(['center-follows', 'store-unreachable']);

export interface EventsAsked {
  readonly after: number;
  readonly vm: string | undefined;
}

export function streamEvents(
  socket: WebSocket,
  events: Events,
  store: Store,
  { after, vm }: EventsAsked,
): void {
  let last = after;
  let isSending = false;
  let isAsked = false;
  const send = async (): Promise<void> => {
    if (isSending) {
      isAsked = true;
      return;
    }
    isSending = true;
    try {
      do {
        isAsked = false;
        await store.settled();
        const found =
          socket.bufferedAmount > unsentBytesMax ? [] : events.list(last, atOnceMax, vm);
        for (const event of found) {
          socket.send(JSON.stringify(event));
          last = event.sequence;
        }
        if (found.length === atOnceMax) isAsked = true;
      } while (isAsked && socket.readyState === socket.OPEN);
    } catch {
      // The center leads no more, or stops: the reader asks another one.
      socket.close(1012, 'ask again');
    } finally {
      isSending = false;
    }
  };
  // After the transaction that has told it.
  const stop = events.watch(() => setImmediate(send));
  const look = setInterval(send, lookMs);
  socket.on('close', () => {
    stop();
    clearInterval(look);
  });
  void send();
}

/**
 * Ends a person's socket when the other end has gone, or when its credentials are worth nothing any
 * more. @param check throws if so
 */
export function watchOver(socket: WebSocket, check: () => void): void {
  let isHeard = true;
  socket.on('pong', () => {
    isHeard = true;
  });
  const pings = setInterval(() => {
    if (!isHeard) socket.terminate();
    isHeard = false;
    socket.ping();
  }, pingMs);
  const look = setInterval(() => {
    try {
      check();
    } catch (error) {
      const { code, message } =
        error instanceof UmbraError ? error : { code: 'bug', message: String(error) };
      // Another center leads: the reader asks again.
      if (elsewhere.has(code)) socket.close(1012, 'ask again');
      else socket.close(closeRefused, closeReason(code, message));
    }
  }, lookMs);
  socket.on('error', () => socket.terminate());
  socket.on('close', () => {
    clearInterval(pings);
    clearInterval(look);
  });
}
