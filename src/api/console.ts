/** A VM's console over the center, for Node programs; its messages are console-messages.ts. */
import { WebSocket } from 'ws';
import type { UmbraError } from '../base/errors.ts';
import type { Client } from './client.ts';
import { type ConsoleFromViewer, ConsolePlace, type ConsoleToViewer } from './console-messages.ts';
import { onRefusal, openPersonSocket } from './socket.ts';
import { apiPrefix, connectionError, refusal } from './wire.ts';

export interface ConsoleOptions {
  readonly onOutput: (bytes: Uint8Array, offset: bigint) => void;
  /** The connection has ended; undefined: by `close`. */
  readonly onEnd: (why: UmbraError | undefined) => void;
}

export interface Console {
  input(bytes: Uint8Array): void;
  close(): void;
}

/** Attaches to a console. What the center still has of the past comes first. */
export function openConsole(client: Client, vm: string, options: ConsoleOptions): Console {
  const { url, trust } = client.wire;
  const path = `${apiPrefix}/vms/${encodeURIComponent(vm)}/console`;
  const socket = openPersonSocket(url, path, trust);
  const place = new ConsolePlace();
  let closing = false;
  let ended = false;
  const waiting: string[] = [];
  const end = (why: UmbraError | undefined) => {
    if (ended) return;
    ended = true;
    options.onEnd(why);
  };
  socket.on('open', () => {
    for (const text of waiting.splice(0)) socket.send(text);
  });
  socket.on('message', (data) => {
    const message = JSON.parse(String(data)) as ConsoleToViewer;
    if (message.kind === 'poweredOn') return place.restart();
    const bytes = Buffer.from(message.bytes, 'base64');
    const fresh = place.take(BigInt(message.offset), bytes);
    if (fresh.bytes.length > 0) options.onOutput(fresh.bytes, fresh.offset);
  });
  const failed = (error: Error): void => end(connectionError(url, error));
  onRefusal(socket, (status, text) => end(refusal(url, status, text)), failed);
  socket.on('error', failed);
  socket.on('close', (code) =>
    end(closing ? undefined : connectionError(url, new Error(`closed with code ${code}`))),
  );
  return {
    input(bytes) {
      const message: ConsoleFromViewer = {
        kind: 'input',
        bytes: Buffer.from(bytes).toString('base64'),
      };
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
      else waiting.push(JSON.stringify(message));
    },
    close() {
      closing = true;
      socket.close();
    },
  };
}
