/**
 * Writes a segment with its payload as a whole Ethernet frame into one buffer that is used again
 * and again: the payload is copied once, from the host's chunk into the frame.
 */
import { assert } from '../../base/assert.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, writeEthernet } from '../frames/ethernet.ts';
import { IPV4_HEADER_BYTES, PROTOCOL_TCP, writeIpv4 } from '../frames/ipv4.ts';
import {
  TCP_HEADER_BYTES,
  TCP_OPTIONS_BYTES_MAX,
  type TcpSegment,
  tcpOptionsBytes,
  writeTcp,
} from '../frames/tcp-segment.ts';
import type { Ipv4, Mac } from '../wire.ts';
import type { SendQueue } from './send-queue.ts';

const HEADERS_BYTES_MAX =
  ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + TCP_HEADER_BYTES + TCP_OPTIONS_BYTES_MAX;

export interface SegmentEnvelope {
  sourceMac: Mac;
  destinationMac: Mac;
  source: Ipv4;
  destination: Ipv4;
}

export class SegmentFrames {
  readonly #frame: Uint8Array;
  readonly #frames: Uint8Array[] = [];

  constructor(mss: number) {
    this.#frame = new Uint8Array(HEADERS_BYTES_MAX + mss);
  }

  /** @returns a frame that is valid until the next one is written */
  write(
    envelope: SegmentEnvelope,
    segment: TcpSegment,
    queue: SendQueue,
    offset: number,
    length: number,
  ): Uint8Array {
    const frame = this.#frame;
    const ip = writeEthernet(frame, envelope.destinationMac, envelope.sourceMac, ETHERTYPE_IPV4);
    const headerBytes = TCP_HEADER_BYTES + tcpOptionsBytes(segment);
    const { source, destination } = envelope;
    const at = writeIpv4(frame, ip, source, destination, PROTOCOL_TCP, headerBytes + length);
    const end = at + headerBytes + length;
    assert(end <= frame.length, 'a segment beyond the MSS');
    if (length > 0) queue.copy(offset, length, frame, at + headerBytes);
    writeTcp(frame, at, segment, source, destination, length);
    // Views of the common sizes are kept: a bulk transfer makes none.
    this.#frames[end] ??= frame.subarray(0, end);
    return this.#frames[end];
  }
}
