/**
 * The log channel: lockstep's messages over mutual TLS 1.3, each behind its length (4 bytes,
 * big-endian). Every copy listens on the host's log address, and serves who comes once it is live;
 * a shadow connects to its primary, again and again until it stops following.
 *
 * Both sides check the certificate's name: the shadow knows which host the primary is on, and the
 * primary which host's shadow the center has chosen. Connections with a host that is revoked end at
 * once. Whatever a peer does wrong ends its connection,
 * with a line in the log that says why, and nothing else.
 */
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { trustLater } from '../../api/peer-certificate.ts';
import { MalformedBytes } from '../../base/bytes.ts';
import type { Channel, Link } from '../../lockstep/ports.ts';
import { FrameDecoder, LENGTH_BYTES } from '../../network/framing.ts';
import { write32 } from '../../network/wire.ts';
import type { Judgement, Trust } from '../trust.ts';

/** A checkpoint's chunks are the largest messages. */
export const messageBytesMax = 16 << 20;
/** A connection that lasted is made again at once; one that did not, after a pause. */
const lastedMs = 1_000;
const againMs = { lasted: 5, failed: 50 } as const;
const handshakeMsMax = 5_000;
/** A cable that was pulled is found again by a new try: the kernel's own pauses double each time. */
const dialMsMax = 1_000;
/** Those that have not shown who they are included; one shadow is expected. */
const connectionsMax = 256;

/** The side of this process that the channel serves. */
export interface LogOwner {
  /** Gives a link to lockstep and gets the channel for its messages. */
  attach(link: Link): Channel;
  /** @returns why this host's shadow is not served, or undefined */
  refuses(host: string): string | undefined;
  /** Something has arrived or closed. */
  activity(): void;
  /** A line for the log. */
  note(text: string): void;
}

/** Where the live copy listens. */
export interface LogTarget {
  readonly host: string;
  readonly address: string;
  readonly port: number;
}

export class LogChannel {
  readonly #trust: Trust;
  readonly #owner: LogOwner;
  readonly #sockets = new Map<TLSSocket, string>();
  #server: Server | undefined;
  #target: LogTarget | undefined;

  constructor(trust: Trust, owner: LogOwner) {
    this.#trust = trust;
    this.#owner = owner;
  }

  /** @returns the port on which shadows find this copy */
  listen(address: string): Promise<number> {
    const server = createServer(
      { ...this.#trust.mutual, ...trustLater, handshakeTimeout: handshakeMsMax },
      (socket) => this.#accept(socket),
    );
    this.#server = server;
    server.maxConnections = connectionsMax;
    server.on('tlsClientError', (error, socket) => {
      this.#owner.note(`log channel: no handshake with a shadow: ${error.message}`);
      socket.destroy();
    });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, address, () => resolve((server.address() as AddressInfo).port));
    });
  }

  follow(target: LogTarget): void {
    this.#target = target;
    this.#connect(target);
  }

  /** For a copy that acknowledges no more, or is live itself. */
  stopFollowing(): void {
    this.#target = undefined;
  }

  /** Nobody new; what lockstep has said last is still delivered. */
  close(): void {
    this.stopFollowing();
    this.#server?.close();
  }

  /** At once: the peers are to learn now that this copy is gone. */
  abandon(): void {
    this.close();
    for (const socket of this.#sockets.keys()) socket.destroy();
  }

  /** There is a new certificate, for the next connections. */
  renew(): void {
    this.#server?.setSecureContext(this.#trust.mutual);
  }

  /** Somebody has been revoked. */
  enforce(): void {
    for (const [socket, host] of this.#sockets) {
      if (!this.#trust.isRevoked(host)) continue;
      this.#owner.note(`log channel: the connection with ${host} ends: it has been revoked`);
      socket.destroy();
    }
  }

  #accept(socket: TLSSocket): void {
    const { name: host, refused } = this.#judge(socket);
    const why = refused ?? this.#owner.refuses(host);
    if (why === undefined) return this.#join(socket, host);
    this.#owner.note(`log channel: ${host} is refused: ${why}`);
    socket.on('error', () => {});
    socket.destroy();
  }

  #judge(socket: TLSSocket): Judgement {
    const judgement = this.#trust.judge(socket, () => 'host');
    if (judgement.refused === undefined && judgement.hasEnded) {
      this.#owner.note(`log channel: the certificate of ${judgement.name} has ended`);
    }
    return judgement;
  }

  #connect(target: LogTarget): void {
    const { host, address, port } = target;
    let joinedAt = Number.POSITIVE_INFINITY;
    const socket = tlsConnect({
      ...this.#trust.mutual,
      ...trustLater,
      host: address,
      port,
      timeout: dialMsMax,
    });
    const failed = (error: Error): void => {
      this.#owner.note(`log channel: no connection to ${host}: ${error.message}`);
    };
    socket.once('error', failed);
    socket.once('timeout', () => socket.destroy(new Error('no answer')));
    socket.once('secureConnect', () => {
      socket.setTimeout(0);
      if (this.#target !== target) return socket.destroy();
      const { name, refused } = this.#judge(socket);
      const why = name === host ? refused : `${name} is not ${host}`;
      if (why !== undefined) return socket.destroy(new Error(why));
      socket.off('error', failed);
      joinedAt = performance.now();
      this.#join(socket, host);
    });
    socket.once('close', () => {
      const lasted = performance.now() - joinedAt >= lastedMs;
      setTimeout(
        () => {
          if (this.#target === target) this.#connect(target);
        },
        lasted ? againMs.lasted : againMs.failed,
      );
    });
  }

  /** From here on the socket is a link of lockstep. */
  #join(socket: TLSSocket, host: string): void {
    const { note, activity } = this.#owner;
    this.#sockets.set(socket, host);
    socket.setNoDelay(true);
    const decoder = new FrameDecoder(messageBytesMax);
    const channel = this.#owner.attach(new SocketLink(socket, host, note));
    socket.on('data', (chunk: Buffer) => {
      try {
        // Entries keep views of their message, the decoder does not keep the message.
        decoder.push(chunk, (message) => channel.receive(message.slice()));
      } catch (error) {
        if (!(error instanceof MalformedBytes)) throw error;
        note(`log channel: the connection with ${host} ends: ${error.message}`);
        socket.destroy();
      }
      activity();
    });
    // All that was sent has come: there is nothing to say to a side that has closed.
    socket.on('end', () => socket.destroy());
    socket.on('error', (error) => {
      note(`log channel: the connection with ${host} broke: ${error.message}`);
      socket.destroy();
    });
    socket.on('close', () => {
      this.#sockets.delete(socket);
      channel.closed();
      activity();
    });
  }
}

class SocketLink implements Link {
  readonly #socket: TLSSocket;
  readonly #host: string;
  readonly #note: (text: string) => void;

  constructor(socket: TLSSocket, host: string, note: (text: string) => void) {
    this.#socket = socket;
    this.#host = host;
    this.#note = note;
  }

  /** One write, and so one TLS record, for length and message. */
  send(message: Uint8Array, headroomBytes = 0): void {
    if (this.#socket.destroyed) return;
    this.#socket.write(withLength(message, headroomBytes));
  }

  close(why?: string): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    if (why !== undefined)
      this.#note(`log channel: the connection with ${this.#host} ends: ${why}`);
    // What has been sent is still delivered; a peer that is gone does not hold the socket.
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), 1_000).unref();
  }
}

/** In front of the message where there is room for it, else around a copy. */
function withLength(message: Uint8Array, headroomBytes: number): Uint8Array {
  const { buffer, byteOffset, length } = message;
  let whole: Uint8Array;
  if (headroomBytes >= LENGTH_BYTES) {
    whole = new Uint8Array(buffer, byteOffset - LENGTH_BYTES, LENGTH_BYTES + length);
  } else {
    whole = Buffer.allocUnsafe(LENGTH_BYTES + length);
    whole.set(message, LENGTH_BYTES);
  }
  write32(whole, 0, length);
  return whole;
}
