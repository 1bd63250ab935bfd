/**
 * IPv4 headers (RFC 791) in place: parsed into a record that the caller reuses, written into a
 * frame that the caller owns, so that the path of a packet makes no garbage.
 */
import { foldChecksum, type Ipv4, read16, read32, sumWords, write16, write32 } from '../wire.ts';

export const IPV4_HEADER_BYTES = 20;
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
const DONT_FRAGMENT = 0x4000;
const TTL = 64;

/** A parsed header; offsets are into the frame. Ethernet padding lies beyond `payloadEnd`. */
export interface Ipv4Header {
  source: Ipv4;
  destination: Ipv4;
  protocol: number;
  identification: number;
  /** Byte offset of this fragment in its datagram; 0 and not `moreFragments` is a whole one. */
  fragmentOffset: number;
  moreFragments: boolean;
  headerStart: number;
  payloadStart: number;
  payloadEnd: number;
}

export function emptyIpv4Header(): Ipv4Header {
  return {
    source: 0,
    destination: 0,
    protocol: 0,
    identification: 0,
    fragmentOffset: 0,
    moreFragments: false,
    headerStart: 0,
    payloadStart: 0,
    payloadEnd: 0,
  };
}

/** @returns false if the bytes at `at` are not a valid IPv4 packet; `into` is then undefined */
export function parseIpv4(frame: Uint8Array, at: number, into: Ipv4Header): boolean {
  if (frame.length < at + IPV4_HEADER_BYTES) return false;
  const first = frame[at]!;
  const headerBytes = (first & 15) * 4;
  const totalBytes = read16(frame, at + 2);
  if (first >> 4 !== 4 || headerBytes < IPV4_HEADER_BYTES || totalBytes < headerBytes) return false;
  if (at + totalBytes > frame.length) return false;
  if (foldChecksum(sumWords(frame, at, at + headerBytes)) !== 0) return false;
  const fragment = read16(frame, at + 6);
  into.identification = read16(frame, at + 4);
  into.fragmentOffset = (fragment & 0x1fff) * 8;
  into.moreFragments = (fragment & 0x2000) !== 0;
  into.protocol = frame[at + 9]!;
  into.source = read32(frame, at + 12);
  into.destination = read32(frame, at + 16);
  into.headerStart = at;
  into.payloadStart = at + headerBytes;
  into.payloadEnd = at + totalBytes;
  return true;
}

/**
 * Writes a header without options and with its checksum.
 * @param fragment offset in units of 8 bytes and the flags, as on the wire
 * @returns the offset of the payload
 */
export function writeIpv4(
  frame: Uint8Array,
  at: number,
  source: Ipv4,
  destination: Ipv4,
  protocol: number,
  payloadBytes: number,
  identification = 0,
  fragment = DONT_FRAGMENT,
): number {
  const totalBytes = IPV4_HEADER_BYTES + payloadBytes;
  write16(frame, at, 0x4500);
  write16(frame, at + 2, totalBytes);
  write16(frame, at + 4, identification);
  write16(frame, at + 6, fragment);
  write16(frame, at + 8, (TTL << 8) | protocol);
  const sum =
    0x4500 +
    totalBytes +
    identification +
    fragment +
    ((TTL << 8) | protocol) +
    (source >>> 16) +
    (source & 0xffff) +
    (destination >>> 16) +
    (destination & 0xffff);
  write16(frame, at + 10, foldChecksum(sum));
  write32(frame, at + 12, source);
  write32(frame, at + 16, destination);
  return at + IPV4_HEADER_BYTES;
}
