/**
 * With several centers any of them answers: what only the leader can answer is passed on to it.
 *
 * From: requests of people, whose tokens every center knows. To: the leader, and its answer back,
 * byte by byte. Daemons are recognised by their certificates, which cannot be passed on, and
 * WebSockets are conversations: both are told to try another center, and do.
 */
import { Agent, request as httpsRequest } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import { apiPrefix, tlsOptions } from '../api/wire.ts';
import { follows } from './store/etcd-store.ts';
import type { Store } from './store/store.ts';

/** What any center answers by itself. */
const own = ['arbiter', 'certificate', 'health', 'images/'].map((path) => `${apiPrefix}/${path}`);
const hopByHop = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'host']);

export function forwardToLeader(server: FastifyInstance, store: Store, ca: string): void {
  const agent = new Agent({ keepAlive: true });
  server.addHook('onClose', async () => agent.destroy());
  server.addHook('onRequest', async (request, reply) => {
    if (store.leads || own.some((path) => request.url.startsWith(path))) return;
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
        headers: Object.fromEntries(headers),
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
