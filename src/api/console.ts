/** A VM's console over the center, for Node programs; its messages are console-messages.ts. */
import { randomUUID } from 'node:crypto';
import type { UmbraError } from '../base/errors.ts';
import type { Client } from './client.ts';
import { ConsoleKeys, ConsolePlace, type ConsoleToViewer } from './console-messages.ts';
import { LastingSocket } from './lasting-socket.ts';
import { apiPrefix } from './wire.ts';

const outageMsMax = 60_000;

export interface ConsoleOptions {
  readonly onOutput: (bytes: Uint8Array, offset: bigint) => void;
  /** The connection has ended; undefined: by `close`. */
  readonly onEnd: (why: UmbraError | undefined) => void;
  /** Whether a center is there: it has gone, and is looked for; it is there again. */
  readonly onCenter?: (isThere: boolean) => void;
}

export interface Console {
  input(bytes: Uint8Array): void;
  close(): void;
}

/** Attaches to a console. What the center still has of the past comes first. */
export function openConsole(client: Client, vm: string, options: ConsoleOptions): Console {
  const place = new ConsolePlace();
  let isOver = false;
  let isBroken = false;
  const keys = new ConsoleKeys(randomUUID());
  const end = (why: UmbraError | undefined): void => {
    if (isOver) return;
    isOver = true;
    options.onEnd(why);
  };
  const socket = new LastingSocket(client, {
    path: () => `${apiPrefix}/vms/${encodeURIComponent(vm)}/console`,
    outageMsMax,
    onEnd: end,
    onBroken: () => {
      isBroken = true;
      options.onCenter?.(false);
    },
    onOpen: () => {
      if (isBroken) options.onCenter?.(true);
      isBroken = false;
      const unanswered = keys.unanswered();
      if (unanswered !== undefined) socket.send(JSON.stringify(unanswered));
    },
    onMessage: (text) => {
      const message = JSON.parse(text) as ConsoleToViewer;
      if (message.kind === 'poweredOn') return place.restart();
      if (message.kind === 'typed') return keys.taken(message);
      const fresh = place.take(message, Buffer.from(message.bytes, 'base64'));
      if (fresh.bytes.length > 0) options.onOutput(fresh.bytes, fresh.offset);
    },
  });
  return {
    input(bytes) {
      const message = keys.type(bytes);
      if (socket.isOpen) socket.send(JSON.stringify(message));
    },
    close() {
      socket.close();
      end(undefined);
    },
  };
}
