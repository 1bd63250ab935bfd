/**
 * The log channel: lockstep's messages over mutual TLS 1.3, each behind its length (4 bytes,
 * big-endian). The live copy listens on the host's log address; shadows connect.
 *
 * Both sides check the certificate's name: the shadow knows which host the primary is on, and the
 * primary which host's shadow the center has chosen. A message beyond the bound ends the connection.
 */

import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { MalformedBytes } from '../../base/bytes.ts';
import type { Channel, Link } from '../../lockstep/ports.ts';
import { FrameDecoder } from '../../network/framing.ts';

/** A checkpoint's chunks are the largest messages. */
const messageBytesMax = 16 << 20;

export interface LogCredentials {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** Gives a link to lockstep and gets the channel for its messages. */
export type Attach = (link: Link) => Channel;

class SocketLink implements Link {
  readonly #socket: TLSSocket;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
  }

  send(message: Uint8Array): void {
    if (this.#socket.destroyed) return;
    // One TLS record for length and message.
    const whole = Buffer.allocUnsafe(4 + message.length);
    whole.writeUInt32BE(message.length, 0);
    whole.set(message, 4);
    this.#socket.write(whole);
  }

  close(): void {
    // What has been sent is still delivered; a peer that is gone does not hold the socket.
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), 1_000).unref();
  }
}

/** Joins a connected socket to lockstep. */
function join(socket: TLSSocket, attach: Attach, activity: () => void): void {
  socket.setNoDelay(true);
  const decoder = new FrameDecoder(messageBytesMax);
  const channel = attach(new SocketLink(socket));
  socket.on('data', (chunk: Buffer) => {
    try {
      // Entries keep views of their message, the decoder does not keep the message.
      decoder.push(chunk, (message) => channel.receive(message.slice()));
    } catch (error) {
      if (!(error instanceof MalformedBytes)) throw error;
      socket.destroy();
    }
    activity();
  });
  socket.on('close', () => {
    channel.closed();
    activity();
  });
}

const peerName = (socket: TLSSocket): string | undefined => {
  const name = socket.getPeerCertificate().subject?.CN;
  return typeof name === 'string' ? name : undefined;
};

export interface LogListener {
  readonly address: string;
  readonly port: number;
  close(): void;
}

/** @param mayConnect whether the host of this name is expected */
export function listenForShadow(
  address: string,
  credentials: LogCredentials,
  mayConnect: (host: string) => boolean,
  attach: Attach,
  activity: () => void,
): Promise<LogListener> {
  const { ca, certificate: cert, key } = credentials;
  const server: Server = createServer(
    { ca, cert, key, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' },
    (socket) => {
      socket.on('error', () => socket.destroy());
      const host = peerName(socket);
      if (host === undefined || !mayConnect(host)) {
        socket.destroy();
        return;
      }
      join(socket, attach, activity);
    },
  );
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, address, () => {
      const { port } = server.address() as AddressInfo;
      resolve({ address, port, close: () => server.close() });
    });
  });
}

/** Connects, and connects again whenever the channel closes, until `stop`. */
export class LogConnector {
  readonly #target: { readonly host: string; readonly address: string; readonly port: number };
  readonly #credentials: LogCredentials;
  readonly #attach: Attach;
  readonly #activity: () => void;
  #socket: TLSSocket | undefined;
  #stopped = false;

  constructor(
    target: { readonly host: string; readonly address: string; readonly port: number },
    credentials: LogCredentials,
    attach: Attach,
    activity: () => void,
  ) {
    this.#target = target;
    this.#credentials = credentials;
    this.#attach = attach;
    this.#activity = activity;
    this.#connect();
  }

  stop(): void {
    this.#stopped = true;
  }

  #connect(): void {
    if (this.#stopped) return;
    const { ca, certificate: cert, key } = this.#credentials;
    const { host, address, port } = this.#target;
    const socket = tlsConnect({
      host: address,
      port,
      ca,
      cert,
      key,
      minVersion: 'TLSv1.3',
      checkServerIdentity: (_name, peer) =>
        peer.subject.CN === host ? undefined : new Error(`the primary's host is not ${host}`),
    });
    this.#socket = socket;
    let attached = false;
    socket.on('secureConnect', () => {
      if (this.#stopped) return socket.destroy();
      attached = true;
      join(socket, this.#attach, this.#activity);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      setTimeout(() => this.#connect(), attached ? 5 : 50);
    });
  }
}
