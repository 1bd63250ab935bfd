/**
 * HTTPS and WebSockets of the center. What is JSON goes the way of routes.ts; who calls is told by
 * callers.ts; errors leave as problem documents (problem-replies.ts).
 *
 * TLS 1.3 only. A certificate is asked for and not required: daemons have one of the cluster's CA,
 * people have a bearer token. A certificate of anybody else is refused in words, on every path.
 */
import { createReadStream } from 'node:fs';
import websocketPlugin from '@fastify/websocket';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import type { ConsoleFromViewer, ConsoleToViewer } from '../api/console-messages.ts';
import { type Access, type EndpointName, endpoints } from '../api/endpoints.ts';
import { apiPrefix } from '../api/wire.ts';
import { assert } from '../base/assert.ts';
import { UmbraError } from '../base/errors.ts';
import { backUp } from './backup.ts';
import { admit, type Caller, callerOf, nameOf, roleOf } from './callers.ts';
import type { CenterTls } from './certificates.ts';
import type { Cluster } from './cluster.ts';
import { addConsole } from './console-files.ts';
import { streamEvents, watchOver } from './event-stream.ts';
import { forwardToLeader } from './forward.ts';
import type { Context } from './handler.ts';
import { LiveViews } from './live.ts';
import { addMetrics } from './metrics.ts';
import {
  answerClientError,
  bodyBytesMax,
  explain,
  type OnBug,
  sendProblem,
} from './problem-replies.ts';
import { liveOf } from './protection.ts';
import { addReference } from './reference.ts';
import { addEndpoint, addRefusals } from './routes.ts';

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
  server.setNotFoundHandler((request, reply) => {
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
  addConsole(server);
  addAgentSocket(server, context);
  addConsoleSocket(server, context);
  addEventSocket(server, context);
  addLiveSocket(server, context);
  addImageFiles(server, context);
  addBackup(server, context);
  return server;
}

/** @throws UmbraError where the caller may not */
function admitted(context: Context, request: FastifyRequest, access: Access): Caller {
  const caller = callerOf(context, request, access);
  admit(caller, access);
  return caller;
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

interface Socket {
  readonly path: string;
  readonly access: Access;
  /** Before the connection is upgraded, so that a refusal is a problem document. */
  readonly check?: (request: FastifyRequest) => void;
  readonly open: (socket: WebSocket, request: FastifyRequest, caller: Caller) => void;
}

function addSocket(
  server: FastifyInstance,
  context: Context,
  { path, access, check, open }: Socket,
): void {
  server.route({
    method: 'GET',
    url: apiPrefix + path,
    exposeHeadRoute: false,
    preValidation: async (request) => {
      admitted(context, request, access);
      check?.(request);
    },
    handler: async () => {
      const why = `${apiPrefix}${path} is a WebSocket`;
      throw new UmbraError('upgrade-required', why, 'Open it as one (wss://).');
    },
    wsHandler: (socket: WebSocket, request) => {
      open(socket, request, admitted(context, request, access));
    },
  });
}

function addAgentSocket(server: FastifyInstance, context: Context): void {
  addSocket(server, context, {
    path: '/agent',
    access: 'daemon',
    open(socket, _request, caller) {
      assert(caller.kind === 'daemon', 'a daemon was admitted');
      context.cluster.agents.accept(socket, caller.daemon.id);
    },
  });
}

/** What is typed there changes something: it is for operators, and its opening is on record. */
function addConsoleSocket(server: FastifyInstance, context: Context): void {
  const { cluster, audit } = context;
  const vmOf = (request: FastifyRequest) =>
    cluster.findVm((request.params as { vm: string }).vm).spec;
  addSocket(server, context, {
    path: '/vms/:vm/console',
    access: 'operator',
    check: vmOf,
    open(socket, request, caller) {
      const { id, name } = vmOf(request);
      const who = { who: nameOf(caller), role: roleOf(caller), address: request.ip };
      const what = { action: 'openConsole', input: { vm: name }, outcome: 'done', milliseconds: 0 };
      audit.add({ ...who, ...what }, false);
      const say = (message: ConsoleToViewer) => socket.send(JSON.stringify(message));
      const stop = cluster.console(id).watch((output) => {
        if (output === 'poweredOn') return say({ kind: 'poweredOn' });
        const bytes = Buffer.from(output.bytes).toString('base64');
        say({ kind: 'output', offset: String(output.offset), bytes });
      });
      watchOver(socket, () => admitted(context, request, 'operator'));
      socket.on('message', (data) => typed(cluster, id, String(data)));
      socket.on('close', stop);
    },
  });
}

function addEventSocket(server: FastifyInstance, context: Context): void {
  const { cluster } = context;
  const asked = (request: FastifyRequest) => {
    const { after = '0', vm } = request.query as { after?: unknown; vm?: unknown };
    const isText = vm === undefined || typeof vm === 'string';
    if (isText && typeof after === 'string' && /^\d{1,15}$/.test(after)) {
      return { after: Number(after), vm };
    }
    throw new UmbraError(
      'request-malformed',
      'the request is malformed: "after" is not a sequence number, or "vm" is given twice',
      'Give the sequence number of the last event that you have seen.',
    );
  };
  addSocket(server, context, {
    path: '/events/stream',
    access: 'viewer',
    check: asked,
    open(socket, request) {
      watchOver(socket, () => admitted(context, request, 'viewer'));
      streamEvents(socket, cluster.events, cluster.store, asked(request));
    },
  });
}

function addLiveSocket(server: FastifyInstance, context: Context): void {
  const live = new LiveViews(context.cluster, context.version);
  addSocket(server, context, {
    path: '/live',
    access: 'viewer',
    open(socket, request) {
      watchOver(socket, () => admitted(context, request, 'viewer'));
      live.add(socket);
    },
  });
}

/** To whoever is live now; what is typed while nobody is goes nowhere, as on a real console. */
function typed(cluster: Cluster, id: string, text: string): void {
  const vm = cluster.inventory.vm(id);
  const message = parsed(text);
  if (vm === undefined || message?.kind !== 'input' || typeof message.bytes !== 'string') return;
  const { bytes } = message;
  const live = liveOf(cluster.situation(vm));
  if (live === undefined) return;
  cluster.agents.get(live.member.host)?.send({ kind: 'consoleInput', vm: id, bytes });
}

/** @returns undefined where it is not understood, which is nobody's failure but the sender's */
function parsed(text: string): Partial<ConsoleFromViewer> | undefined {
  try {
    return JSON.parse(text) as Partial<ConsoleFromViewer> | undefined;
  } catch {
    return undefined;
  }
}
