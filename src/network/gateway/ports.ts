/**
 * What the gateway asks of its host: sockets. The host implements this interface over Node's `net`
 * and `dgram`; tests implement it as they like. Calls come synchronously out of the gateway's own
 * methods, never later by themselves.
 */
import type { TcpEnd } from '../tcp/options.ts';
import type { Ipv4 } from '../wire.ts';

/** Numbers a stream or a flow; never used again in the life of a gateway. */
export type StreamId = number;
export type FlowId = number;

/** Why the host could not reach the other side. */
export type ConnectFailure = 'refused' | 'unreachable' | 'timeout';

export interface GatewayPorts {
  /** A frame for the switch, valid until the call returns. */
  frame(frame: Uint8Array): void;

  /** A guest connects out: `connected` or `refused` is to follow, or `reset` comes first. */
  connect(id: StreamId, address: Ipv4, port: number): void;
  /** Bytes of the guest for the host's socket, owned by the host; `consumed` is to follow. */
  data(id: StreamId, bytes: Uint8Array): void;
  /** The guest has ended its direction: end the socket's. */
  end(id: StreamId): void;
  /** There is room again after `write` returned false. */
  writable(id: StreamId): void;
  /** The stream is over and its number forgotten; unless 'done', the socket is to be destroyed. */
  closed(id: StreamId, why: TcpEnd): void;

  /** A guest's datagram; the first of a flow opens the host's socket, connected to the address. */
  datagram(id: FlowId, address: Ipv4, port: number, bytes: Uint8Array): void;
  /** The flow was idle too long or is one too many: close its socket. */
  flowClosed(id: FlowId): void;

  /** 32 random bits that a guest cannot predict (initial sequence numbers, RFC 6528). */
  random32(): number;
}
