/** A VM's console over the center, for Node programs; its messages are console-messages.ts. */
import type { UmbraError } from '../base/errors.ts';
import type { Client } from './client.ts';
import { type ConsoleFromViewer, ConsolePlace, type ConsoleToViewer } from './console-messages.ts';
import { LastingSocket } from './lasting-socket.ts';
import { apiPrefix } from './wire.ts';

/** What is typed while no center is there; the rest is lost, as on a console without a line. */
const waitingMax = 1_000;
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
  const waiting: string[] = [];
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
      for (const text of waiting.splice(0)) socket.send(text);
    },
    onMessage: (text) => {
      const message = JSON.parse(text) as ConsoleToViewer;
      if (message.kind === 'poweredOn') return place.restart();
      const fresh = place.take(message, Buffer.from(message.bytes, 'base64'));
      if (fresh.bytes.length > 0) options.onOutput(fresh.bytes, fresh.offset);
    },
  });
  return {
    input(bytes) {
      const message: ConsoleFromViewer = {
        kind: 'input',
        bytes: Buffer.from(bytes).toString('base64'),
      };
      if (socket.isOpen) socket.send(JSON.stringify(message));
      else if (waiting.length < waitingMax) waiting.push(JSON.stringify(message));
    },
    close() {
      socket.close();
      end(undefined);
    },
  };
}
