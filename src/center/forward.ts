/**
 * With several centers any of them answers: what only the leader can answer is passed on to it.
 *
 * From: requests of people, whose tokens every center knows. To: the leader, and its answer back,
 * byte by byte; their WebSockets, too (forward-socket.ts). Daemons are recognised by their
 * certificates, which cannot be passed on: they are told to try another center, and do.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { pipeline } from 'node:stream/promises';
import type { TLSSocket } from 'node:tls';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { apiPrefix, tlsOptions } from '../api/wire.ts';
import { SocketForwarding } from './forward-socket.ts';
import { follows } from './store/etcd-store.ts';
import type { Store } from './store/store.ts';

/** What any center answers by itself. */
const own = [
  ...['/arbiter', '/certificate', '/health', '/images/', '/openapi.json'].map(
    (path) => apiPrefix + path,
  ),
  '/api/reference',
];
/** The console's page and files are the same at every center. */
const isOwn = (url: string): boolean =>
  own.some((path) => url.startsWith(path)) || !/^\/(api|metrics)\b/.test(url);
const hopByHop = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'host']);
/** A WebSocket's handshake is between the client and the leader. */
const ofSockets = new Set(['connection', 'upgrade']);

const forwardedHeader = 'x-umbra-forwarded';

/** From where a request came, and by which name of a center. */
export interface Origin {
  readonly address: string;
  readonly host: string;
}

/**
 * Tells the leader from where a request has come that another center passes on. Only centers can
 * say so: what they say is authenticated with a key made from the authority's, which no other has.
 */
export class Forwarding {
  readonly #key: Buffer;

  constructor(authorityKey: string) {
    this.#key = createHmac('sha256', authorityKey).update('umbra forwarded').digest();
  }

  /** By name and value. */
  header({ ip, headers }: FastifyRequest): readonly [string, string] {
    const said = Buffer.from(JSON.stringify([ip, headers.host ?? ''])).toString('base64url');
    return [forwardedHeader, `${said}.${this.#seal(said)}`];
  }

  originOf({ ip, headers }: FastifyRequest): Origin {
    const given = headers[forwardedHeader];
    const [said, seal] = typeof given === 'string' ? given.split('.') : [];
    if (said === undefined || seal === undefined || !isEqual(seal, this.#seal(said))) {
      return { address: ip, host: headers.host ?? '' };
    }
    const [address, host] = JSON.parse(Buffer.from(said, 'base64url').toString()) as [
      string,
      string,
    ];
    return { address, host };
  }

  #seal(said: string): string {
    return createHmac('sha256', this.#key).update(said).digest('base64url');
  }
}

const isEqual = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

export function forwardToLeader(
  server: FastifyInstance,
  store: Store,
  ca: string,
  forwarding: Forwarding,
): void {
  const agent = new Agent({ keepAlive: true });
  const sockets = new SocketForwarding(ca);
  server.addHook('preClose', async () => sockets.close());
  server.addHook('onClose', async () => agent.destroy());
  server.addHook('onRequest', async (request, reply) => {
    if (store.leads || isOwn(request.url)) return;
    const leader = store.leaderUrl;
    const isDaemon = (request.raw.socket as TLSSocket).getPeerCertificate()?.subject !== undefined;
    const isSocket = request.headers.upgrade !== undefined;
    if (leader === undefined || isDaemon) throw follows(leader);
    const passedOn = ([name]: [string, unknown]): boolean =>
      !hopByHop.has(name) || (isSocket && ofSockets.has(name));
    const said = Object.fromEntries(Object.entries(request.headers).filter(passedOn));
    const headers = { ...said, ...Object.fromEntries([forwarding.header(request)]) };
    reply.hijack();
    if (isSocket) {
      const refused = (answer: IncomingMessage) => void passBack(answer, reply.raw);
      return sockets.pass(request, reply, { leader, headers, refused });
    }
    const passed = httpsRequest(
      new URL(request.url, leader),
      {
        method: request.method,
        agent,
        ...tlsOptions({ ca }),
        headers,
      },
      (answer) => void passBack(answer, reply.raw),
    );
    passed.on('error', () => reply.raw.destroy());
    // Whoever has gone wants no answer any more: the leader need not make it.
    reply.raw.once('close', () => passed.destroy());
    request.raw.pipe(passed);
  });
}

/** One that breaks off breaks off here, too: it must not look whole. */
async function passBack(answer: IncomingMessage, reply: ServerResponse): Promise<void> {
  try {
    reply.writeHead(answer.statusCode!, answer.headers).flushHeaders();
    await pipeline(answer, reply, { end: false });
    if (Object.keys(answer.trailers).length > 0) reply.addTrailers(answer.trailers as Trailers);
    reply.end();
  } catch {
    reply.destroy();
  }
}

type Trailers = Readonly<Record<string, string>>;
