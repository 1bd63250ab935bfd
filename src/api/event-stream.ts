/**
 * Events as they happen: `GET /api/v1/events/stream?after=N&vm=NAME` as a WebSocket, one event a
 * message. Durable, in order, without a hole: whoever reconnects goes on behind the last event that
 * was seen, which is what this client does, at whichever center.
 */
import type { UmbraError } from '../base/errors.ts';
import type { Client } from './client.ts';
import { LastingSocket } from './lasting-socket.ts';
import type { EventView } from './views.ts';
import { apiPrefix } from './wire.ts';

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

export function openEvents(
  client: Client,
  { after, vm, onEvent, onEnd }: EventStreamOptions,
): EventStream {
  let last = after;
  return new LastingSocket(client, {
    path: () => {
      const query = new URLSearchParams({ after: String(last), ...(vm !== undefined && { vm }) });
      return `${apiPrefix}/events/stream?${query}`;
    },
    onMessage: (text) => {
      const event = JSON.parse(text) as EventView;
      last = event.sequence;
      onEvent(event);
    },
    onEnd,
  });
}
