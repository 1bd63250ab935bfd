/**
 * Multicast Listener Discovery (RFC 3810), as far as a listener has something to report: a
 * version 2 report as a whole frame. Bridges that snoop on it send a group's frames only where
 * somebody has reported it, so a listener that has moved is deaf there until it is asked again.
 */

import { type Mac, read32, sameBytes, write16 } from '../wire.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV6, writeEthernet } from './ethernet.ts';
import { IPV6_HEADER_BYTES, icmpv6Checksum, NEXT_ICMPV6 } from './ipv6.ts';

const NEXT_HOP_BY_HOP = 0;
export const MLDV2_REPORT = 143;
/** As a listener says when it joins: from now on whatever is sent to the group (5.2.12). */
const CHANGE_TO_EXCLUDE_MODE = 4;
const RECORD_BYTES = 20;
/** The Router Alert option (RFC 2711), padded to eight bytes: reports must carry it (5). */
const HOP_BY_HOP = Uint8Array.of(NEXT_ICMPV6, 0, 5, 2, 0, 0, 1, 0);
const ALL_MLDV2_ROUTERS = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16);
const UNSPECIFIED = new Uint8Array(16);

/** The group that everybody with this address is in, by RFC 4291 (2.7.1); neighbours ask there. */
export function solicitedNodeGroup(address: Uint8Array): Uint8Array {
  const group = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0);
  group.set(address.subarray(13), 13);
  return group;
}

/** Frames to a group have this destination (RFC 2464, 7). */
export const groupMac = (group: Uint8Array): Mac => 0x3333_0000_0000 + read32(group, 12);

const isLinkLocal = (address: Uint8Array): boolean =>
  address[0] === 0xfe && (address[1]! & 0xc0) === 0x80;

/**
 * A report of the solicited-node groups of these addresses, from the one of them that is link-local;
 * from none where none is known, which snooping bridges heed (RFC 3590).
 */
export function buildGroupReport(mac: Mac, addresses: readonly Uint8Array[]): Uint8Array {
  const groups: Uint8Array[] = [];
  for (const address of addresses) {
    const group = solicitedNodeGroup(address);
    if (!groups.some((other) => sameBytes(other, group))) groups.push(group);
  }
  const payloadBytes = HOP_BY_HOP.length + 8 + groups.length * RECORD_BYTES;
  const frame = new Uint8Array(ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + payloadBytes);
  const header = writeEthernet(frame, groupMac(ALL_MLDV2_ROUTERS), mac, ETHERTYPE_IPV6);
  frame[header] = 0x60;
  write16(frame, header + 4, payloadBytes);
  frame[header + 6] = NEXT_HOP_BY_HOP;
  // It never crosses a router.
  frame[header + 7] = 1;
  frame.set(addresses.find(isLinkLocal) ?? UNSPECIFIED, header + 8);
  frame.set(ALL_MLDV2_ROUTERS, header + 24);
  frame.set(HOP_BY_HOP, header + IPV6_HEADER_BYTES);
  const start = header + IPV6_HEADER_BYTES + HOP_BY_HOP.length;
  frame[start] = MLDV2_REPORT;
  write16(frame, start + 6, groups.length);
  for (const [index, group] of groups.entries()) {
    const record = start + 8 + index * RECORD_BYTES;
    frame[record] = CHANGE_TO_EXCLUDE_MODE;
    frame.set(group, record + 4);
  }
  write16(frame, start + 2, icmpv6Checksum(frame, start, frame.length));
  return frame;
}
