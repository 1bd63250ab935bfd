/**
 * A VM's console over the center: `GET /api/v1/vms/:vm/console` as a WebSocket, one JSON object a
 * message, bytes as base64.
 *
 * Offsets count console bytes since power-on, whoever was live when they were written: a viewer
 * that takes only what is at or beyond its offset shows each byte exactly once, also where the
 * center that it watched at was lost and another one shows it what its hosts still have.
 */
import type { UmbraError } from '../base/errors.ts';
import type { Client } from './client.ts';
import { LastingSocket } from './lasting-socket.ts';
import { apiPrefix } from './wire.ts';

export type ConsoleToViewer =
  | {
      readonly kind: 'output';
      readonly offset: string;
      readonly bytes: string;
      /** Which power-on offsets count from; another one: they begin again. */
      readonly powerOn: number;
    }
  /** Powered on anew: offsets begin again at 0. */
  | { readonly kind: 'poweredOn' };

export interface ConsoleFromViewer {
  readonly kind: 'input';
  readonly bytes: string;
}

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
  let next = 0n;
  let powerOn: number | undefined;
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
      if (message.kind === 'poweredOn') {
        next = 0n;
        return;
      }
      // It was powered on while no center was there to say so.
      if (powerOn !== undefined && message.powerOn !== powerOn) next = 0n;
      ({ powerOn } = message);
      const bytes = Buffer.from(message.bytes, 'base64');
      const offset = BigInt(message.offset);
      const known = next > offset ? next - offset : 0n;
      if (known >= BigInt(bytes.length)) return;
      const fresh = bytes.subarray(Number(known));
      next = offset + BigInt(bytes.length);
      options.onOutput(fresh, next - BigInt(fresh.length));
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
