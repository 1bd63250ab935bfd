/**
 * The WebSockets of the center: daemons' conversations, consoles, events, the live view, and archives
 * that hosts send. Who may open one is decided before the upgrade, so that a refusal is a problem document.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import type { ConsoleFromViewer, ConsoleToViewer } from '../api/console-messages.ts';
import type { Access } from '../api/endpoints.ts';
import { centersHeader } from '../api/lasting-socket.ts';
import { apiPrefix } from '../api/wire.ts';
import { assert } from '../base/assert.ts';
import { UmbraError } from '../base/errors.ts';
import { admitted, type Caller, nameOf, roleOf } from './callers.ts';
import type { Cluster } from './cluster.ts';
import { streamEvents, watchOver } from './event-stream.ts';
import type { Context } from './handler.ts';
import type { Daemon } from './inventory.ts';
import { LiveViews } from './live.ts';
import { follows } from './store/etcd-store.ts';

export function addSockets(server: FastifyInstance, context: Context): void {
  const { store } = context.cluster;
  // So that a client that loses this center knows others.
  server.websocketServer.on('headers', (headers) => {
    const { centerUrls } = store;
    if (centerUrls.length > 1) headers.push(`${centersHeader}: ${centerUrls.join(', ')}`);
  });
  addAgentSocket(server, context);
  addArchiveSocket(server, context);
  addConsoleSocket(server, context);
  addEventSocket(server, context);
  addLiveSocket(server, context);
}

interface Socket {
  readonly path: string;
  readonly access: Access;
  /** Before the connection is upgraded, so that a refusal is a problem document. */
  readonly check?: (request: FastifyRequest, caller: Caller) => void;
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
      const caller = admitted(context, request, access);
      check?.(request, caller);
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
      context.cluster.agents.accept(socket, daemonOf(caller).id);
    },
  });
}

function daemonOf(caller: Caller): Daemon {
  assert(caller.kind === 'daemon', 'a daemon was admitted');
  return caller.daemon;
}

function addArchiveSocket(server: FastifyInstance, context: Context): void {
  const wanted = (request: FastifyRequest, caller: Caller) => {
    const { work } = request.params as { work: string };
    return context.cluster.archives.wanted(work, daemonOf(caller).id);
  };
  addSocket(server, context, {
    path: '/archives/:work',
    access: 'daemon',
    check: wanted,
    open: (socket, request, caller) => wanted(request, caller).accept(socket),
  });
}

/** A socket that was opened stays as long as this center leads, and its person may. */
function stillHere(context: Context, request: FastifyRequest, access: Access): void {
  const { store } = context.cluster;
  if (!store.leads) throw follows(store.leaderUrl);
  admitted(context, request, access);
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
      const { address } = context.forwarding.originOf(request);
      const who = { who: nameOf(caller), role: roleOf(caller), address };
      const what = { action: 'openConsole', input: { vm: name }, outcome: 'done', milliseconds: 0 };
      audit.add({ ...who, ...what }, false);
      const say = (message: ConsoleToViewer) => socket.send(JSON.stringify(message));
      const stop = cluster.console(id).watch((output) => {
        if (output === 'poweredOn') return say({ kind: 'poweredOn' });
        const bytes = Buffer.from(output.bytes).toString('base64');
        const powerOn = cluster.inventory.vm(id)?.consoleSince ?? 0;
        say({ kind: 'output', offset: String(output.offset), bytes, powerOn });
      });
      watchOver(socket, () => stillHere(context, request, 'operator'));
      socket.on('message', (data) => {
        const heard = typed(cluster, id, String(data));
        if (heard !== undefined) say(heard);
      });
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
      watchOver(socket, () => stillHere(context, request, 'viewer'));
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
      watchOver(socket, () => stillHere(context, request, 'viewer'));
      live.add(socket);
    },
  });
}

/** @returns what a viewer that counts is told: how much of it has been taken */
function typed(cluster: Cluster, id: string, text: string): ConsoleToViewer | undefined {
  const message = parsed(text);
  if (message?.kind !== 'input' || typeof message.bytes !== 'string') return undefined;
  const bytes = Buffer.from(message.bytes, 'base64');
  const { viewer, at } = message;
  if (typeof viewer !== 'string' || viewer.length > viewerLengthMax || !isPlace(at)) {
    cluster.type(id, bytes);
    return undefined;
  }
  cluster.type(id, bytes, { id: viewer, at });
  return { kind: 'typed', upTo: at + bytes.length };
}

const viewerLengthMax = 64;
const isPlace = (at: unknown): at is number => Number.isSafeInteger(at) && (at as number) >= 0;

/** @returns undefined where it is not understood, which is nobody's failure but the sender's */
function parsed(text: string): Partial<ConsoleFromViewer> | undefined {
  try {
    return JSON.parse(text) as Partial<ConsoleFromViewer> | undefined;
  } catch {
    return undefined;
  }
}
