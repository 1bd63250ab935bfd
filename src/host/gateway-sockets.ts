/**
 * The gateway's sockets: `GatewayPorts` over Node's `net` and `dgram` (network/gateway/ports.ts).
 *
 * Each event of a socket is one turn of the Ethernet: what it causes leaves in the same turn. The
 * only thing put off is the news that a socket has taken bytes, to the end of the current task,
 * because many writes may complete in one.
 *
 * Invariant: a number is in the maps as long as the gateway and its socket both know it; whichever
 * side ends first, the other is told once.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import type { Gateway } from '../network/gateway/gateway.ts';
import type { ConnectFailure, FlowId, GatewayPorts, StreamId } from '../network/gateway/ports.ts';
import { formatIpv4, type Ipv4 } from '../network/wire.ts';
import type { Ethernet } from './ethernet.ts';

/** Datagrams that wait until their socket is there. */
const WAITING_MAX = 16;

/** The other end of a flow: a socket of its own, or one of many senders at a published port. */
export interface FlowEnd {
  send(bytes: Uint8Array): void;
  close(): void;
}

export class GatewaySockets implements GatewayPorts {
  readonly #ethernet: Ethernet;
  readonly #toSwitch: (frame: Uint8Array) => void;
  readonly #sockets = new Map<StreamId, Socket>();
  readonly #flows = new Map<FlowId, FlowEnd>();
  #gateway: Gateway | undefined;
  readonly #corked: Socket[] = [];
  #taken: [StreamId, number][] = [];

  constructor(ethernet: Ethernet, toSwitch: (frame: Uint8Array) => void) {
    this.#ethernet = ethernet;
    this.#toSwitch = toSwitch;
  }

  /** The two need each other: the gateway is made with these ports. */
  serve(gateway: Gateway): void {
    this.#gateway = gateway;
  }

  /** An open socket becomes the other side of a stream. */
  attach(id: StreamId, socket: Socket): void {
    const turn = (work: (gateway: Gateway, now: number) => void): void =>
      this.#ethernet.turn((now) => work(this.#gateway!, now));
    this.#sockets.set(id, socket);
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      turn((gateway, now) => {
        if (!gateway.write(id, chunk, now)) socket.pause();
      });
    });
    socket.on('end', () => turn((gateway, now) => gateway.end(id, now)));
    socket.on('error', () => turn((gateway, now) => gateway.reset(id, now)));
    socket.resume();
  }

  /** A flow whose other end is not a socket of its own. */
  attachFlow(id: FlowId, end: FlowEnd): void {
    this.#flows.set(id, end);
  }

  /** The turn ends: what streams have for their sockets is written. */
  flush(): void {
    for (const socket of this.#corked.splice(0)) socket.uncork();
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
    for (const flow of this.#flows.values()) flow.close();
    this.#sockets.clear();
    this.#flows.clear();
  }

  // What the gateway asks for.

  frame(frame: Uint8Array): void {
    this.#toSwitch(frame);
  }

  connect(id: StreamId, address: Ipv4, port: number): void {
    const socket = connect({ host: formatIpv4(address), port, allowHalfOpen: true });
    this.#sockets.set(id, socket);
    const failed = (error: Error): void => {
      this.#ethernet.turn((now) => this.#gateway!.refused(id, failureOf(error), now));
    };
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      this.attach(id, socket);
      this.#ethernet.turn((now) => this.#gateway!.connected(id, now));
    });
  }

  /** The pieces of one turn leave in one write. */
  data(id: StreamId, bytes: Uint8Array): void {
    const socket = this.#sockets.get(id);
    if (socket === undefined) return;
    if (socket.writableCorked === 0) {
      socket.cork();
      this.#corked.push(socket);
    }
    socket.write(bytes, (error) => {
      if (!error) this.#consumed(id, bytes.length);
    });
  }

  end(id: StreamId): void {
    this.#sockets.get(id)?.end();
  }

  writable(id: StreamId): void {
    this.#sockets.get(id)?.resume();
  }

  closed(id: StreamId, why: Parameters<GatewayPorts['closed']>[1]): void {
    const socket = this.#sockets.get(id);
    this.#sockets.delete(id);
    if (why === 'done') socket?.end();
    else if (socket?.connecting) socket.destroy();
    else socket?.resetAndDestroy();
  }

  datagram(id: FlowId, address: Ipv4, port: number, bytes: Uint8Array): void {
    let flow = this.#flows.get(id);
    if (flow === undefined) {
      flow = this.#openFlow(id, address, port);
      this.#flows.set(id, flow);
    }
    flow.send(bytes);
  }

  flowClosed(id: FlowId): void {
    const flow = this.#flows.get(id);
    this.#flows.delete(id);
    flow?.close();
  }

  random32(): number {
    return crypto.getRandomValues(new Uint32Array(1))[0]!;
  }

  /** Many writes may complete in one task: their streams' windows open together, after it. */
  #consumed(id: StreamId, bytes: number): void {
    if (this.#taken.push([id, bytes]) > 1) return;
    queueMicrotask(() => {
      const taken = this.#taken;
      this.#taken = [];
      this.#ethernet.turn((now) => {
        for (const [stream, count] of taken) this.#gateway!.consumed(stream, count, now);
      });
    });
  }

  #openFlow(id: FlowId, address: Ipv4, port: number): FlowEnd {
    const socket: DatagramSocket = createSocket('udp4');
    let waiting: Uint8Array[] | undefined = [];
    let isOpen = true;
    socket.on('message', (message) => {
      this.#ethernet.turn((now) => this.#gateway!.datagram(id, message, now));
    });
    socket.on('error', () => this.#ethernet.turn(() => this.#gateway!.flowFailed(id)));
    socket.once('connect', () => {
      const first = waiting ?? [];
      waiting = undefined;
      for (const bytes of first) socket.send(bytes);
    });
    socket.connect(port, formatIpv4(address));
    return {
      send: (bytes) => {
        if (waiting === undefined) socket.send(bytes);
        else if (waiting.length < WAITING_MAX) waiting.push(bytes);
      },
      close: () => {
        if (isOpen) socket.close();
        isOpen = false;
      },
    };
  }
}

function failureOf(error: Error & { code?: string }): ConnectFailure {
  if (error.code === 'ECONNREFUSED') return 'refused';
  return error.code === 'ETIMEDOUT' ? 'timeout' : 'unreachable';
}
