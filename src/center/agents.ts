/**
 * The daemons that are connected: their sockets, and what they say runs on them.
 *
 * From: the WebSocket at `/agent` (api/agent.ts), its daemon known by its certificate. To: the
 * supervisor, at once: a hello, a change of a VM, a connection lost. A daemon that does not answer
 * pings for three seconds counts as lost. No safety depends on what is said here; that is the
 * arbiter's.
 */
import { Compile } from 'typebox/compile';
import type { WebSocket } from 'ws';
import {
  agentProtocolVersion,
  type CenterMessage,
  commonAgentProtocol,
  type DaemonMessage,
  type TrunkStatus,
  type VmStatus,
} from '../api/agent.ts';
import type { HelloMessage } from '../api/agent-link.ts';
import { DaemonMessageSchema } from '../api/agent-schema.ts';
import { closeReason, closeRefused } from '../api/socket.ts';
import type { Member } from '../lockstep/arbiter.ts';
import type { CopyReport } from './protection.ts';

const pingMs = 1_000;
const silenceMsMax = 3_000;
const repeatMs = 1_000;
const firstMessageMsMax = 5_000;
const closeMsMax = 1_000;

const validator = Compile(DaemonMessageSchema);

export type VmMessage = Exclude<DaemonMessage, { kind: 'hello' | 'status' | 'clock' }>;

/** Whom a connection tells. */
export interface AgentListener {
  /** What a member is; undefined if it is none any more. */
  kindOf(daemonId: string): 'host' | 'gateway' | undefined;
  connected(daemonId: string, hello: HelloMessage): void;
  disconnected(daemonId: string): void;
  vmsChanged(daemonId: string, vms: readonly string[]): void;
  copyEnded(daemonId: string, status: VmStatus): void;
  said(daemonId: string, message: VmMessage): void;
  /** @param aheadMs of the daemon's clock, as far as a message tells that has just come */
  clockSeen(daemonId: string, aheadMs: number): void;
}

export class Connection {
  readonly daemonId: string;
  readonly socket: WebSocket;
  /** Milliseconds of the process's monotonic clock. */
  readonly openedAt = performance.now();
  hello: HelloMessage | undefined;
  /** What both sides speak. */
  protocol = 0;
  /** What has not ended, by VM: a daemon runs at most one process of each. */
  readonly copies = new Map<string, VmStatus>();
  /** Its trunks that are up, as it said last. */
  trunks: readonly TrunkStatus[] = [];
  /** Names of processes that have. */
  readonly ended = new Set<string>();
  /** Commands, what they are about, and when they were sent last. */
  readonly #sent = new Map<string, { readonly at: number; readonly about: string }>();

  constructor(daemonId: string, socket: WebSocket) {
    this.daemonId = daemonId;
    this.socket = socket;
  }

  send(message: CenterMessage): void {
    this.socket.send(JSON.stringify(message));
  }

  /**
   * Sends a wish, which may be repeated, but not at every breath. A wish that another one of its
   * kind has replaced meanwhile, or whose copy has ended since, is no repetition: it goes out.
   */
  command(message: CenterMessage): void {
    const text = JSON.stringify(message);
    const now = performance.now();
    const about = `${vmOf(message)} ${message.kind}`;
    const last = this.#sent.get(text);
    if (last !== undefined && now - last.at < repeatMs) return;
    for (const [old, sent] of this.#sent) {
      if (now - sent.at >= repeatMs || sent.about === about) this.#sent.delete(old);
    }
    this.#sent.set(text, { at: now, about });
    this.socket.send(text);
  }

  /** @returns the VMs concerned */
  learn(statuses: readonly VmStatus[], onEnded: (status: VmStatus) => void): string[] {
    for (const status of statuses) {
      if (status.role !== 'ended') {
        this.copies.set(status.vm, status);
        continue;
      }
      this.copies.delete(status.vm);
      for (const [text, { about }] of this.#sent) {
        if (about.startsWith(`${status.vm} `)) this.#sent.delete(text);
      }
      // A process that never came to be has no name.
      if (status.process !== '' && this.ended.has(status.process)) continue;
      this.ended.add(status.process);
      onEnded(status);
    }
    return [...new Set(statuses.map((status) => status.vm))];
  }
}

export class Agents {
  readonly #listener: AgentListener;
  readonly #connections = new Map<string, Connection>();
  /** All sockets, and whose they are. */
  readonly #pending = new Map<WebSocket, string>();

  constructor(listener: AgentListener) {
    this.#listener = listener;
  }

  get(daemonId: string): Connection | undefined {
    return this.#connections.get(daemonId);
  }

  get all(): readonly Connection[] {
    return [...this.#connections.values()];
  }

  copiesOf(vm: string): CopyReport[] {
    return this.all.flatMap(({ daemonId: host, copies }) => {
      const status = copies.get(vm);
      return status === undefined ? [] : [{ host, status }];
    });
  }

  /**
   * Whether a process has certainly ended, as far as its host's present connection tells. A daemon
   * lists in its hello all that runs, and VM processes end with their daemon: a process that was
   * known before the connection was opened and is not listed has ended.
   */
  hasEnded(vm: string, member: Member, knownSince: number): boolean {
    const connection = this.#connections.get(member.host);
    if (connection === undefined) return false;
    if (connection.copies.get(vm)?.process === member.process) return false;
    return connection.ended.has(member.process) || knownSince < connection.openedAt;
  }

  /** A socket whose daemon has been authenticated; its hello comes first. */
  accept(socket: WebSocket, daemonId: string): void {
    const connection = new Connection(daemonId, socket);
    this.#pending.set(socket, daemonId);
    const impatience = setTimeout(() => socket.terminate(), firstMessageMsMax);
    let heard = performance.now();
    const pings = setInterval(() => {
      if (performance.now() - heard > silenceMsMax) socket.terminate();
      else socket.ping();
    }, pingMs);
    socket.on('pong', () => {
      heard = performance.now();
    });
    socket.on('message', (data) => {
      heard = performance.now();
      const message = parse(String(data));
      if (message === undefined) return refuse(socket, 'message-malformed', 'not understood');
      if (connection.hello !== undefined) return this.#receive(connection, message);
      clearTimeout(impatience);
      this.#greet(connection, message);
    });
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      clearTimeout(impatience);
      clearInterval(pings);
      this.#pending.delete(socket);
      if (this.#connections.get(daemonId) !== connection) return;
      this.#connections.delete(daemonId);
      this.#listener.disconnected(daemonId);
    });
  }

  broadcast(message: CenterMessage, kind?: 'host' | 'gateway'): void {
    for (const connection of this.all) {
      if (kind === undefined || connection.hello!.daemonKind === kind) connection.send(message);
    }
  }

  /** The daemon is no member any more: what it still says is not heard. */
  expel(daemonId: string, code: string, why: string): void {
    this.#connections.delete(daemonId);
    for (const [socket, id] of this.#pending) if (id === daemonId) refuse(socket, code, why);
  }

  close(): void {
    for (const socket of this.#pending.keys()) socket.close(1001, 'the center stops');
  }

  #greet(connection: Connection, message: DaemonMessage): void {
    const { socket, daemonId } = connection;
    if (message.kind !== 'hello') return refuse(socket, 'message-malformed', 'hello comes first');
    const kind = this.#listener.kindOf(daemonId);
    if (kind !== message.daemonKind) {
      const why = kind === undefined ? 'no member any more' : `it has joined as a ${kind}`;
      return refuse(socket, kind === undefined ? 'host-unknown' : 'certificate-of-another', why);
    }
    const protocol = commonAgentProtocol(message.protocol);
    if (protocol === undefined) {
      const why = `it speaks protocol ${message.protocol}, the center ${agentProtocolVersion}`;
      return refuse(socket, 'protocol-version', why);
    }
    const former = this.#connections.get(daemonId);
    this.#connections.set(daemonId, connection);
    if (former !== undefined) {
      refuse(former.socket, 'daemon-replaced', 'a daemon with the same identity has connected');
    }
    connection.hello = message;
    connection.protocol = protocol;
    connection.send({ kind: 'welcome', protocol, daemonId });
    connection.learn(message.vms, (status) => this.#listener.copyEnded(daemonId, status));
    this.#listener.connected(daemonId, message);
  }

  #receive(connection: Connection, message: DaemonMessage): void {
    const { daemonId } = connection;
    if (this.#connections.get(daemonId) !== connection) return;
    switch (message.kind) {
      case 'hello':
        return refuse(connection.socket, 'message-malformed', 'a second hello');
      case 'status': {
        connection.trunks = message.trunks ?? connection.trunks;
        const onEnded = (status: VmStatus) => this.#listener.copyEnded(daemonId, status);
        return this.#listener.vmsChanged(daemonId, connection.learn(message.vms, onEnded));
      }
      case 'clock':
        return this.#listener.clockSeen(daemonId, message.unixMs - Date.now());
      default:
        return this.#listener.said(daemonId, message);
    }
  }
}

function vmOf(message: CenterMessage): string {
  if (!('vm' in message)) return '';
  return typeof message.vm === 'string' ? message.vm : message.vm.id;
}

function parse(text: string): DaemonMessage | undefined {
  try {
    const message: unknown = JSON.parse(text);
    return validator.Check(message) ? message : undefined;
  } catch {
    return undefined;
  }
}

function refuse(socket: WebSocket, code: string, why: string): void {
  socket.close(closeRefused, closeReason(code, why));
  // Whoever does not answer a close is not waited for.
  setTimeout(() => socket.terminate(), closeMsMax).unref();
}
