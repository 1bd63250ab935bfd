/**
 * HTTPS and WebSockets of the center: who calls, whether they may, whether what they say is well
 * formed; then the handler. Errors leave as problem documents (RFC 9457).
 *
 * TLS 1.3 only. A certificate is asked for and not required: daemons have one of the cluster's CA,
 * people have a bearer token. A certificate of anybody else is refused in words, on every path.
 */
import { createReadStream } from 'node:fs';
import type { TLSSocket } from 'node:tls';
import websocketPlugin from '@fastify/websocket';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import Value from 'typebox/value';
import type { WebSocket } from 'ws';
import type { ConsoleFromViewer, ConsoleToViewer } from '../api/console.ts';
import { type Access, type Endpoint, type EndpointName, endpoints } from '../api/endpoints.ts';
import { toProblem } from '../api/problems.ts';
import { apiPrefix } from '../api/wire.ts';
import { assert } from '../base/assert.ts';
import { UmbraError } from '../base/errors.ts';
import type { CenterTls } from './certificates.ts';
import type { Cluster } from './cluster.ts';
import { type Caller, type Context, handlers } from './handlers.ts';
import { liveOf } from './protection.ts';
import { roleOfApiToken } from './tokens.ts';

/** A bug has surfaced in a request; the request fails, the center goes on. */
export type OnBug = (error: unknown) => void;

export async function createServer(
  context: Context,
  tls: CenterTls,
  onBug: OnBug,
): Promise<FastifyInstance> {
  const { cluster } = context;
  const server = fastify({
    https: {
      cert: tls.chain,
      key: tls.key,
      ca: tls.ca,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
    },
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 300 },
  });
  server.setErrorHandler((error, _request, reply) => sendProblem(reply, explain(error, onBug)));
  server.setNotFoundHandler((request, reply) => {
    const what = `${request.method} ${request.url.split('?')[0]}`;
    const remedy = `The API is below ${apiPrefix}.`;
    sendProblem(reply, new UmbraError('endpoint-unknown', `there is no ${what}`, remedy));
  });
  await server.register(websocketPlugin, { options: { maxPayload: 16 * 2 ** 20 } });
  for (const name of Object.keys(endpoints) as EndpointName[]) addEndpoint(server, context, name);
  addAgentSocket(server, cluster);
  addConsoleSocket(server, cluster);
  addImageFiles(server, cluster);
  return server;
}

// --- who calls --------------------------------------------------------------------------------

function callerOf(cluster: Cluster, request: FastifyRequest): Caller {
  const daemon = cluster.daemonConnections.daemonOf(request.raw.socket as TLSSocket);
  if (daemon !== undefined) return { kind: 'daemon', daemon };
  const token = request.headers.authorization?.match(/^Bearer (\S+)$/i)?.[1];
  if (token === undefined) return { kind: 'anyone' };
  const role = roleOfApiToken(cluster.store, token);
  if (role !== undefined) return { kind: 'person', role };
  throw new UmbraError(
    'credentials-refused',
    'the token is not one of this center',
    'Use the credentials that the center wrote: admin.json in its folder of data.',
  );
}

function admit(caller: Caller, access: Access): void {
  if (access === 'anyone' || caller.kind === access) return;
  if (caller.kind === 'anyone') {
    throw new UmbraError(
      'credentials-missing',
      access === 'daemon'
        ? 'this is for hosts and gateways, which show a certificate of the cluster'
        : 'this needs a token (Authorization: Bearer ...)',
      'Use the credentials that the center wrote: admin.json in its folder of data.',
    );
  }
  throw new UmbraError(
    'access-denied',
    `this is for ${access === 'daemon' ? 'hosts and gateways' : 'people'}`,
    'Use the credentials that are meant for it.',
  );
}

// --- endpoints --------------------------------------------------------------------------------

function addEndpoint(server: FastifyInstance, context: Context, name: EndpointName): void {
  const endpoint: Endpoint = endpoints[name];
  const handle = handlers[name] as (context: Context, input: unknown, caller: Caller) => unknown;
  const params = checker(endpoint.params, 'the path');
  const query = checker(endpoint.query, 'the query', true);
  const body = checker(endpoint.body, 'the body');
  const reply = Compile(endpoint.reply);
  server.route({
    method: endpoint.method,
    url: apiPrefix + endpoint.path,
    handler: async (request, response) => {
      const caller = callerOf(context.cluster, request);
      admit(caller, endpoint.access);
      const input = {
        params: params(request.params),
        query: query(request.query),
        body: body(request.body ?? {}),
      };
      const result = await handle(context, input, caller);
      // Nobody is told what could still be forgotten.
      await context.cluster.store.settled();
      assert(reply.Check(result), `${name} replied with what it does not promise`);
      return response.type('application/json').send(JSON.stringify(result));
    },
    ...(endpoint.method === 'GET' ? { exposeHeadRoute: false } : {}),
  });
}

/** @param isText numbers and booleans come as text */
function checker(schema: TSchema | undefined, where: string, isText = false) {
  if (schema === undefined) return () => undefined;
  const compiled = Compile(schema);
  return (given: unknown): unknown => {
    const value = isText ? Value.Convert(schema, given) : given;
    if (compiled.Check(value)) return value;
    const [error] = compiled.Errors(value).filter(({ keyword }) => keyword !== 'boolean');
    const at = error?.instancePath.replaceAll('/', '.').slice(1);
    const what = `${where}${at ? `, ${at}` : ''} ${error?.message ?? 'is malformed'}`;
    throw new UmbraError(
      'request-malformed',
      `the request is malformed: ${what}`,
      'See the help of the command, or the description of the API.',
    );
  };
}

// --- what is not JSON -------------------------------------------------------------------------

function addImageFiles(server: FastifyInstance, cluster: Cluster): void {
  server.get(`${apiPrefix}/images/:image/files/:path`, (request, reply) => {
    const caller = callerOf(cluster, request);
    admit(caller, 'daemon');
    refuseGateway(caller);
    const { image, path } = request.params as { image: string; path: string };
    const file = cluster.images.file(image, path);
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

function addAgentSocket(server: FastifyInstance, cluster: Cluster): void {
  server.get(
    `${apiPrefix}/agent`,
    {
      websocket: true,
      preValidation: async (request) => admit(callerOf(cluster, request), 'daemon'),
    },
    (socket: WebSocket, request) => {
      const caller = callerOf(cluster, request);
      assert(caller.kind === 'daemon', 'a daemon was admitted');
      cluster.agents.accept(socket, caller.daemon.id);
    },
  );
}

function addConsoleSocket(server: FastifyInstance, cluster: Cluster): void {
  server.get(
    `${apiPrefix}/vms/:vm/console`,
    {
      websocket: true,
      preValidation: async (request) => {
        admit(callerOf(cluster, request), 'person');
        cluster.findVm((request.params as { vm: string }).vm);
      },
    },
    (socket: WebSocket, request) => {
      const { id } = cluster.findVm((request.params as { vm: string }).vm).spec;
      const say = (message: ConsoleToViewer) => socket.send(JSON.stringify(message));
      const stop = cluster.console(id).watch((output) => {
        if (output === 'poweredOn') return say({ kind: 'poweredOn' });
        const bytes = Buffer.from(output.bytes).toString('base64');
        say({ kind: 'output', offset: String(output.offset), bytes });
      });
      socket.on('message', (data) => typed(cluster, id, String(data)));
      socket.on('close', stop);
    },
  );
}

/** To whoever is live now; what is typed while nobody is goes nowhere, as on a real console. */
function typed(cluster: Cluster, id: string, text: string): void {
  const vm = cluster.inventory.vm(id);
  const { kind, bytes } = JSON.parse(text) as Partial<ConsoleFromViewer>;
  if (vm === undefined || kind !== 'input' || typeof bytes !== 'string') return;
  const live = liveOf(cluster.situation(vm));
  if (live === undefined) return;
  cluster.agents.get(live.member.host)?.send({ kind: 'consoleInput', vm: id, bytes });
}

// --- errors -----------------------------------------------------------------------------------

function explain(error: unknown, onBug: OnBug): UmbraError {
  if (error instanceof UmbraError) return error;
  const { statusCode, message } = error as { statusCode?: number; message?: string };
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new UmbraError(
      'request-malformed',
      `the request is malformed: ${message}`,
      'See the description of the API.',
    );
  }
  onBug(error);
  return new UmbraError(
    'bug',
    `the center has failed on this request: ${message}`,
    "This is a bug; the center's log has more. Please report it.",
    { cause: error },
  );
}

function sendProblem(reply: FastifyReply, error: UmbraError): void {
  const problem = toProblem(error);
  reply.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
}
