/**
 * What a connection is made of and talks to: its states, its options, and what it asks of its owner.
 */
import type { TcpSegment } from '../frames/tcp-segment.ts';
import { ROUND_TRIP, type RoundTripOptions } from './round-trip.ts';
import type { SendQueue } from './send-queue.ts';

export type TcpState =
  | 'accepting'
  | 'syn-sent'
  | 'syn-received'
  | 'established'
  | 'fin-wait-1'
  | 'fin-wait-2'
  | 'close-wait'
  | 'closing'
  | 'last-ack'
  | 'time-wait'
  | 'closed';

/** Why a connection is over: both sides ended, the peer reset it, it never answered. */
export type TcpEnd = 'done' | 'reset' | 'refused' | 'timeout';

export interface TcpOptions {
  /** The largest payload of a segment, both ways: the MTU less 40. */
  readonly mss: number;
  /** Bytes that may wait for the host: the largest receive window. */
  readonly receiveBytes: number;
  /** Bytes of the host that may wait for the peer before the host is asked to pause. */
  readonly sendBytes: number;
  readonly roundTrip: RoundTripOptions;
  /** How long a lone segment may wait for its acknowledgement. */
  readonly ackDelayUs: number;
  /** Full segments in a batch after which an acknowledgement leaves before the batch ends. */
  readonly ackSegments: number;
  /** Twice the maximum segment lifetime; on a switched network it need not be minutes. */
  readonly timeWaitUs: number;
}

export const TCP_OPTIONS: TcpOptions = {
  mss: 1460,
  receiveBytes: 512 << 10,
  sendBytes: 512 << 10,
  roundTrip: ROUND_TRIP,
  ackDelayUs: 20_000,
  ackSegments: 16,
  timeWaitUs: 10_000_000,
};

/** What the connection asks of its owner. Calls come synchronously out of the owner's own calls. */
export interface TcpPorts {
  /** Puts a segment on the wire; ports are the owner's to fill in. Valid during the call. */
  send(segment: TcpSegment, queue: SendQueue, offset: number, length: number): void;
  /** The handshake is complete. */
  established(): void;
  /** Bytes of the peer, in order, owned by the host now; it answers later with `consumed`. */
  data(bytes: Uint8Array): void;
  /** The peer has ended its direction; everything was delivered. */
  end(): void;
  /** There is room again after `write` returned false. */
  writable(): void;
  /** The host's part is over; in `time-wait` the connection itself lives on. Called once. */
  closed(why: TcpEnd): void;
}
