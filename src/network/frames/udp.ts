/** UDP headers (RFC 768) in place, and whole frames for the gateway's own datagrams. */
import {
  foldChecksum,
  type Ipv4,
  type Mac,
  pseudoHeaderSum,
  read16,
  sumWords,
  write16,
} from '../wire.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, writeEthernet } from './ethernet.ts';
import { IPV4_HEADER_BYTES, type Ipv4Header, PROTOCOL_UDP, writeIpv4 } from './ipv4.ts';

export const UDP_HEADER_BYTES = 8;
export const UDP_PAYLOAD_BYTES_MAX = 65_535 - IPV4_HEADER_BYTES - UDP_HEADER_BYTES;
const MORE_FRAGMENTS = 0x2000;

export interface UdpDatagram {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** A view into the frame. */
  readonly payload: Uint8Array;
}

/** @param ip the parsed header of a whole (or reassembled) packet in `frame` */
export function parseUdp(frame: Uint8Array, ip: Ipv4Header): UdpDatagram | undefined {
  const at = ip.payloadStart;
  if (ip.payloadEnd - at < UDP_HEADER_BYTES) return undefined;
  const length = read16(frame, at + 4);
  if (length < UDP_HEADER_BYTES || at + length > ip.payloadEnd) return undefined;
  // A checksum of zero says that the sender computed none.
  if (read16(frame, at + 6) !== 0) {
    const sum = pseudoHeaderSum(ip.source, ip.destination, PROTOCOL_UDP, length);
    if (foldChecksum(sumWords(frame, at, at + length, sum)) !== 0) return undefined;
  }
  return {
    sourcePort: read16(frame, at),
    destinationPort: read16(frame, at + 2),
    payload: frame.subarray(at + UDP_HEADER_BYTES, at + length),
  };
}

export interface UdpEnvelope {
  readonly sourceMac: Mac;
  readonly destinationMac: Mac;
  readonly source: Ipv4;
  readonly destination: Ipv4;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** The frames of one datagram: more than one where it must be fragmented to fit `mtu`. */
export function buildUdp(
  envelope: UdpEnvelope,
  payload: Uint8Array,
  mtu: number,
  identification: number,
): Uint8Array[] {
  const datagram = new Uint8Array(UDP_HEADER_BYTES + payload.length);
  write16(datagram, 0, envelope.sourcePort);
  write16(datagram, 2, envelope.destinationPort);
  write16(datagram, 4, datagram.length);
  datagram.set(payload, UDP_HEADER_BYTES);
  const { source, destination } = envelope;
  const sum = pseudoHeaderSum(source, destination, PROTOCOL_UDP, datagram.length);
  write16(datagram, 6, foldChecksum(sumWords(datagram, 0, datagram.length, sum)) || 0xffff);

  const frames: Uint8Array[] = [];
  const fragmentBytes = (mtu - IPV4_HEADER_BYTES) & ~7;
  for (let from = 0; from < datagram.length; from += fragmentBytes) {
    const part = datagram.subarray(from, from + fragmentBytes);
    const more = from + part.length < datagram.length ? MORE_FRAGMENTS : 0;
    const frame = new Uint8Array(ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + part.length);
    const ip = writeEthernet(frame, envelope.destinationMac, envelope.sourceMac, ETHERTYPE_IPV4);
    const fragment = (from >> 3) | more;
    const at = writeIpv4(
      frame,
      ip,
      source,
      destination,
      PROTOCOL_UDP,
      part.length,
      identification,
      fragment,
    );
    frame.set(part, at);
    frames.push(frame);
  }
  return frames;
}
