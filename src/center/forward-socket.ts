/**
 * A person's WebSocket at a center that follows: opened at the leader as it was asked for, then two
 * connections of which each passes on what the other says. The handshake is the leader's: whom it
 * refuses is refused in its words.
 *
 * When either side goes the other one goes, too. A client opens it again (api/lasting-socket.ts) and
 * is then passed on to whoever leads by that time.
 */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { toProblem } from '../api/problems.ts';
import { tlsOptions } from '../api/wire.ts';
import { follows } from './store/etcd-store.ts';

const handshakeMsMax = 5_000;

export class SocketForwarding {
  readonly #ca: string;
  /** Ends of what is passed on. */
  readonly #sockets = new Set<Socket>();

  /** @param ca the cluster's, PEM */
  constructor(ca: string) {
    this.#ca = ca;
  }

  /**
   * @param reply taken over already: nobody else answers
   * @param refused what the leader answers in place of opening it
   */
  pass(
    request: FastifyRequest,
    reply: FastifyReply,
    { leader, headers, refused }: SocketPassing,
  ): void {
    const { socket } = request.raw;
    const options: RequestOptions = {
      ...tlsOptions({ ca: this.#ca }),
      // A connection of its own: it is given away.
      agent: false,
      timeout: handshakeMsMax,
      headers,
    };
    const passed = httpsRequest(new URL(request.url, leader), options, refused);
    let isOpen = false;
    socket.once('close', () => passed.destroy());
    passed.once('timeout', () => passed.destroy(new Error('the leader does not answer')));
    passed.on('error', () => {
      // The leader has just gone: whoever asks again is passed on to the next one.
      if (isOpen || reply.raw.headersSent) return;
      const problem = toProblem(follows(leader));
      reply.raw.writeHead(problem.status, { 'content-type': 'application/problem+json' });
      reply.raw.end(JSON.stringify(problem));
    });
    passed.once('upgrade', (answer: IncomingMessage, other: Socket, head: Buffer) => {
      isOpen = true;
      reply.raw.detachSocket(socket);
      socket.write(handshakeOf(answer));
      if (head.length > 0) socket.write(head);
      this.#join(socket, other);
    });
    passed.end();
  }

  /** This center stops. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(near: Socket, far: Socket): void {
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.setTimeout(0);
      from.setNoDelay(true);
      from.on('error', () => from.destroy());
      from.once('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}

interface SocketPassing {
  readonly leader: string;
  readonly headers: OutgoingHttpHeaders;
  readonly refused: (answer: IncomingMessage) => void;
}

/** As the leader has said it: it has signed the client's key. */
function handshakeOf({ statusCode, statusMessage, rawHeaders }: IncomingMessage): string {
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}
