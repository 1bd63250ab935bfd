/**
 * What Umbra needs of IPv6 (RFC 8200, RFC 4861): the source address of a packet, and neighbour
 * solicitations and advertisements, parsed from and built as whole frames. Packets with extension
 * headers are none of neighbour discovery.
 */
import { foldChecksum, type Mac, read16, sumWords, write16, write32, writeMac } from '../wire.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV6, writeEthernet } from './ethernet.ts';

export const IPV6_HEADER_BYTES = 40;
export const NEXT_ICMPV6 = 58;
export const NEIGHBOUR_SOLICITATION = 135;
export const NEIGHBOUR_ADVERTISEMENT = 136;
const OPTION_TARGET_LINK_ADDRESS = 2;
const NEIGHBOUR_BYTES = 24;
const FLAG_OVERRIDE = 0x2000_0000;
/** Neighbour discovery is only believed with this hop limit: such a packet crossed no router. */
const HOP_LIMIT = 255;
const ALL_NODES = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = 0x333300000001;

export interface NeighbourMessage {
  readonly type: typeof NEIGHBOUR_SOLICITATION | typeof NEIGHBOUR_ADVERTISEMENT;
  readonly source: Uint8Array;
  readonly target: Uint8Array;
}

/** A view of the source address of an IPv6 frame, or undefined if the header is not whole. */
export function ipv6Source(frame: Uint8Array): Uint8Array | undefined {
  const at = ETHERNET_HEADER_BYTES;
  if (frame.length < at + IPV6_HEADER_BYTES || frame[at]! >> 4 !== 6) return undefined;
  if (at + IPV6_HEADER_BYTES + read16(frame, at + 4) > frame.length) return undefined;
  return frame.subarray(at + 8, at + 24);
}

export function isUnicastIpv6(address: Uint8Array): boolean {
  return address[0] !== 0xff && address.some((byte) => byte !== 0);
}

/** The ICMPv6 checksum covers a pseudo-header of addresses, length and next header. */
export function icmpv6Checksum(
  frame: Uint8Array,
  payloadStart: number,
  payloadEnd: number,
): number {
  const header = ETHERNET_HEADER_BYTES;
  let sum = sumWords(frame, header + 8, header + 40);
  sum += payloadEnd - payloadStart + NEXT_ICMPV6;
  return foldChecksum(sumWords(frame, payloadStart, payloadEnd, sum));
}

export function parseNeighbour(frame: Uint8Array): NeighbourMessage | undefined {
  const source = ipv6Source(frame);
  if (source === undefined) return undefined;
  const header = ETHERNET_HEADER_BYTES;
  if (frame[header + 6] !== NEXT_ICMPV6 || frame[header + 7] !== HOP_LIMIT) return undefined;
  const start = header + IPV6_HEADER_BYTES;
  const end = start + read16(frame, header + 4);
  if (end - start < NEIGHBOUR_BYTES) return undefined;
  const type = frame[start];
  if (type !== NEIGHBOUR_SOLICITATION && type !== NEIGHBOUR_ADVERTISEMENT) return undefined;
  if (frame[start + 1] !== 0 || icmpv6Checksum(frame, start, end) !== 0) return undefined;
  return { type, source, target: frame.subarray(start + 8, start + 24) };
}

/** "This address is at this MAC", unasked, to all nodes, overriding what they knew. */
export function buildUnsolicitedAdvertisement(mac: Mac, address: Uint8Array): Uint8Array {
  const payloadBytes = NEIGHBOUR_BYTES + 8;
  const frame = new Uint8Array(ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + payloadBytes);
  const header = writeEthernet(frame, ALL_NODES_MAC, mac, ETHERTYPE_IPV6);
  frame[header] = 0x60;
  write16(frame, header + 4, payloadBytes);
  frame[header + 6] = NEXT_ICMPV6;
  frame[header + 7] = HOP_LIMIT;
  frame.set(address, header + 8);
  frame.set(ALL_NODES, header + 24);
  const start = header + IPV6_HEADER_BYTES;
  frame[start] = NEIGHBOUR_ADVERTISEMENT;
  write32(frame, start + 4, FLAG_OVERRIDE);
  frame.set(address, start + 8);
  frame[start + 24] = OPTION_TARGET_LINK_ADDRESS;
  frame[start + 25] = 1;
  writeMac(frame, start + 26, mac);
  write16(frame, start + 2, icmpv6Checksum(frame, start, frame.length));
  return frame;
}
