/** WebSockets to the center: how people and daemons open one, and how the center refuses or ends one. */
import { WebSocket } from 'ws';
import type { Credentials } from './credentials.ts';
import { authorization, daemonTrust, readText, type Trust, tlsOptions } from './wire.ts';

const handshakeMsMax = 10_000;
/** They have another center to try. */
const daemonHandshakeMsMax = 5_000;

/** @param path from the root */
export function openPersonSocket(url: string, path: string, trust: Trust): WebSocket {
  return open(url, path, trust, handshakeMsMax);
}

/** @param path from the root */
export function openDaemonSocket(url: string, path: string, credentials: Credentials): WebSocket {
  return open(url, path, daemonTrust(credentials), daemonHandshakeMsMax);
}

function open(url: string, path: string, trust: Trust, handshakeTimeout: number): WebSocket {
  return new WebSocket(new URL(path, url.replace(/^https/, 'wss')), {
    ...tlsOptions(trust),
    headers: authorization(trust),
    perMessageDeflate: false,
    handshakeTimeout,
  });
}

/** The center answers in place of opening the socket: with this status, and a problem document. */
export function onRefusal(
  socket: WebSocket,
  refused: (status: number, text: string) => void,
  failed: (error: Error) => void,
): void {
  socket.on('unexpected-response', (_request, response) => {
    // Once the reply has been read nobody owns the connection.
    const connection = response.socket;
    readText(response).then((text) => {
      connection.destroy();
      refused(response.statusCode!, text);
    }, failed);
  });
}

export { closeRefused, parseCloseReason } from './close-codes.ts';

/** The reason of a close is `CODE: why` (close-codes.ts), cut to what a close frame can carry. */
const closeReasonBytesMax = 123;

export function closeReason(code: string, text: string): string {
  return Buffer.from(`${code}: ${text}`).subarray(0, closeReasonBytesMax).toString('utf8');
}
