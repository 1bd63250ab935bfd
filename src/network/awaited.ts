/**
 * Which of a guest's frames somebody may wait for: all but a segment of TCP that says no more than
 * what has come (RFC 9293, 3.10.7.4), and a send so large that it is a part of more, or long on its
 * way: a guest leaves 100 KB in two, and by the time that a gigabit a second has carried half of the
 * first it has made the second.
 */
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
} from './frames/ethernet.ts';
import { IPV4_HEADER_BYTES, PROTOCOL_TCP } from './frames/ipv4.ts';
import { IPV6_HEADER_BYTES } from './frames/ipv6.ts';
import { FIN, RST, SYN, TCP_HEADER_BYTES } from './frames/tcp-segment.ts';
import { read16 } from './wire.ts';

const ip = ETHERNET_HEADER_BYTES;
const bulkBytes = 32 * 1024;

/** @param frame without a tag. One that is not whole, or whose IPv6 has extensions, is awaited. */
export function isAwaited(frame: Uint8Array): boolean {
  const segment = segmentOf(frame);
  if (segment === undefined) return true;
  const { at, end } = segment;
  if (end > frame.length || at + TCP_HEADER_BYTES > end) return true;
  if ((frame[at + 13]! & (SYN | FIN | RST)) !== 0) return true;
  const dataBytes = end - at - (frame[at + 12]! >> 4) * 4;
  return dataBytes !== 0 && dataBytes < bulkBytes;
}

/** Where a packet's TCP segment lies, as its headers say. */
function segmentOf(frame: Uint8Array): { readonly at: number; readonly end: number } | undefined {
  const type = etherType(frame);
  if (type === ETHERTYPE_IPV4 && frame.length >= ip + IPV4_HEADER_BYTES) {
    if (frame[ip + 9] !== PROTOCOL_TCP) return undefined;
    return { at: ip + (frame[ip]! & 15) * 4, end: ip + read16(frame, ip + 2) };
  }
  if (type === ETHERTYPE_IPV6 && frame.length >= ip + IPV6_HEADER_BYTES) {
    if (frame[ip + 6] !== PROTOCOL_TCP) return undefined;
    const at = ip + IPV6_HEADER_BYTES;
    return { at, end: at + read16(frame, ip + 4) };
  }
  return undefined;
}
