/**
 * HTTPS and WebSockets of the center. What is JSON goes the way of routes.ts; who calls is told by
 * callers.ts; errors leave as problem documents (problem-replies.ts).
 *
 * TLS 1.3 only. A certificate is asked for and not required: daemons have one of the cluster's CA,
 * people have a bearer token. A certificate of anybody else is refused in words, on every path.
 */
import { createReadStream } from 'node:fs';
import websocketPlugin from '@fastify/websocket';
import fastify, { type FastifyInstance } from 'fastify';
import { contentDigest, digestHeader, taskHeader } from '../api/archive.ts';
import { type EndpointName, endpoints } from '../api/endpoints.ts';
import { apiPrefix } from '../api/wire.ts';
import { UmbraError } from '../base/errors.ts';
import type { PassedOn } from './archive-task.ts';
import { backUp } from './backup.ts';
import { admitted, type Caller, nameOf, roleOf } from './callers.ts';
import type { CenterTls } from './certificates.ts';
import { addConsole } from './console-files.ts';
import { sendArchive } from './exports.ts';
import { forwardToLeader } from './forward.ts';
import type { Context } from './handler.ts';
import type { Vm } from './inventory.ts';
import { addMetrics } from './metrics.ts';
import {
  answerClientError,
  bodyBytesMax,
  explain,
  type OnBug,
  sendProblem,
} from './problem-replies.ts';
import { sendRecording } from './recordings.ts';
import { addReference } from './reference.ts';
import { addEndpoint, addRefusals } from './routes.ts';
import { addSockets } from './sockets.ts';

export interface ServerOptions {
  readonly onBug: OnBug;
  /** `/metrics` needs no credentials. */
  readonly metricsOpen: boolean;
}

/** How long a request may take to arrive; replies may take longer. */
const headersMsMax = 15_000;
const requestMsMax = 30_000;
const handshakeMsMax = 10_000;
const keepAliveMs = 60_000;

export async function createServer(
  context: Context,
  tls: CenterTls,
  { onBug, metricsOpen }: ServerOptions,
): Promise<FastifyInstance> {
  const server = fastify({
    https: {
      cert: tls.chain,
      key: tls.key,
      ca: tls.ca,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      handshakeTimeout: handshakeMsMax,
      headersTimeout: headersMsMax,
    },
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 300 },
    bodyLimit: bodyBytesMax,
    requestTimeout: requestMsMax,
    keepAliveTimeout: keepAliveMs,
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, _request, reply) => sendProblem(reply, explain(error, onBug)),
  });
  // Nothing but JSON: what a form of another page can send is refused.
  server.removeContentTypeParser('text/plain');
  server.setErrorHandler((error, _request, reply) => sendProblem(reply, explain(error, onBug)));
  addConsole(server, (request, reply) => {
    const what = `${request.method} ${request.url.split('?')[0]}`;
    const remedy = `The API is below ${apiPrefix}; for reading, see /api/reference.`;
    sendProblem(reply, new UmbraError('endpoint-unknown', `there is no ${what}`, remedy));
  });
  server.addHook('onSend', async (_request, reply) => {
    reply.header('x-content-type-options', 'nosniff');
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
  });
  // A refused upgrade leaves a socket that nobody owns: it ends when the client ends it.
  server.server.on('upgrade', (_request, socket) => socket.once('end', () => socket.end()));
  forwardToLeader(server, context.cluster.store, tls.ca, context.forwarding);
  await server.register(websocketPlugin, { options: { maxPayload: 16 * 2 ** 20 } });
  addMetrics(server, context, metricsOpen);
  for (const name of Object.keys(endpoints) as EndpointName[]) addEndpoint(server, context, name);
  addRefusals(server);
  addReference(server, context.version);
  addSockets(server, context);
  addImageFiles(server, context);
  addBackup(server, context);
  addArchives(server, context);
  return server;
}

// --- what is not JSON -------------------------------------------------------------------------

function addImageFiles(server: FastifyInstance, context: Context): void {
  server.get(`${apiPrefix}/images/:image/files/:path`, (request, reply) => {
    refuseGateway(admitted(context, request, 'daemon'));
    const { image, path } = request.params as { image: string; path: string };
    const file = context.cluster.images.file(image, path);
    return reply.type('application/octet-stream').send(createReadStream(file));
  });
}

/** Guests' disks are no business of the way outside. */
function refuseGateway(caller: Caller): void {
  if (caller.kind !== 'daemon' || caller.daemon.kind === 'host') return;
  throw new UmbraError(
    'access-denied',
    `${caller.daemon.name} is a gateway and gets no images`,
    'Use the credentials of a host.',
  );
}

function addBackup(server: FastifyInstance, context: Context): void {
  server.get(`${apiPrefix}/backup`, (request, reply) => {
    const caller = admitted(context, request, 'administrator');
    const { cluster, version } = context;
    const archive = backUp(cluster.store, cluster.data, version);
    cluster.events.add('center-backed-up', `${nameOf(caller)} has taken a backup of the center`);
    return reply.type('application/x-tar').send(archive);
  });
}

/** A VM, or a recording of one, as a file, written while it is read (api/archive.ts). */
function addArchives(server: FastifyInstance, context: Context): void {
  const { cluster } = context;
  addArchive(server, context, '/vms/:vm/archive', 'sendArchive', (vm, _, by) => ({
    ...sendArchive(cluster, vm, by),
    file: `${vm.spec.name}.tar.zst`,
  }));
  const path = '/vms/:vm/recordings/:recording/archive';
  addArchive(server, context, path, 'sendRecording', (vm, { recording = '' }, by) => {
    const { name, ...passed } = sendRecording(cluster, vm, recording, by);
    return { ...passed, file: `${vm.spec.name}-${name}.tar.zst` };
  });
}

type Params = Readonly<Record<string, string>>;

/** Not HEAD: to ask is to begin. */
function addArchive(
  server: FastifyInstance,
  context: Context,
  path: string,
  action: string,
  send: (vm: Vm, params: Params, by: string) => PassedOn & { readonly file: string },
): void {
  const { cluster, audit, forwarding } = context;
  server.route({
    method: 'GET',
    url: `${apiPrefix}${path}`,
    exposeHeadRoute: false,
    handler: async (request, reply) => {
      const caller = admitted(context, request, 'operator');
      const params = request.params as Params;
      const vm = cluster.findVm(params['vm']!);
      const { task, passage, file } = send(vm, params, nameOf(caller));
      const { address } = forwarding.originOf(request);
      const who = { who: nameOf(caller), role: roleOf(caller), address };
      const input = { ...params, vm: vm.spec.name };
      audit.add({ ...who, action, input, outcome: 'done', milliseconds: 0 }, false);
      reply.raw.once('close', () => passage.body.destroy());
      // Zeros may take a while until they are bytes: whoever waits knows that it has begun.
      passage.body.once('resume', () => reply.raw.flushHeaders());
      await passage.begun;
      return reply
        .type('application/zstd')
        .header('content-disposition', `attachment; filename="${file}"`)
        .header(taskHeader, task)
        .trailer(digestHeader, async () => contentDigest(passage.sum!.sha256))
        .send(passage.body);
    },
  });
}
