/**
 * With several centers any of them answers: what only the leader can answer is passed on to it.
 *
 * From: requests of people, whose tokens every center knows. To: the leader, and its answer back,
 * byte by byte. Daemons are recognised by their certificates, which cannot be passed on, and
 * WebSockets are conversations: both are told to try another center, and do.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Agent, request as httpsRequest } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { apiPrefix, tlsOptions } from '../api/wire.ts';
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
  server.addHook('onClose', async () => agent.destroy());
  server.addHook('onRequest', async (request, reply) => {
    if (store.leads || isOwn(request.url)) return;
    const leader = store.leaderUrl;
    const isDaemon = (request.raw.socket as TLSSocket).getPeerCertificate()?.subject !== undefined;
    const isSocket = request.headers.upgrade !== undefined;
    if (leader === undefined || isDaemon || isSocket) throw follows(leader);
    const headers = Object.entries(request.headers).filter(([name]) => !hopByHop.has(name));
    reply.hijack();
    const passed = httpsRequest(
      new URL(request.url, leader),
      {
        method: request.method,
        agent,
        ...tlsOptions({ ca }),
        headers: Object.fromEntries([...headers, forwarding.header(request)]),
      },
      (answer) => {
        reply.raw.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(reply.raw);
      },
    );
    passed.on('error', () => reply.raw.destroy());
    request.raw.pipe(passed);
  });
}
