/**
 * Send offload: data that a guest has left in one piece becomes segments of TCP, as a network card
 * with TSO makes them. From: a frame that is let out of the machine, with the length of its segments
 * (`FrameOutput`). To: the frames of the wire. Twin of receive-offload.ts.
 *
 * The guest's kernel walks its stack once for up to 64 KiB, and one output waits for the shadow in
 * place of dozens. The shadow cuts nothing: it has nothing to send.
 */
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4 } from './frames/ethernet.ts';
import { IPV4_HEADER_BYTES, PROTOCOL_TCP } from './frames/ipv4.ts';
import { FIN, PSH, TCP_HEADER_BYTES } from './frames/tcp-segment.ts';
import { isTagType, VLAN_TAG_BYTES } from './frames/vlan.ts';
import {
  foldChecksum,
  pseudoHeaderSum,
  read16,
  read32,
  sumWords,
  write16,
  write32,
} from './wire.ts';

/** A customer's within a provider's (IEEE 802.1ad). */
const VLAN_TAGS_MAX = 2;
/** Congestion window reduced (RFC 3168): said once. */
const CWR = 0x80;

/** Where the headers of a frame begin, and its data. */
interface Places {
  readonly ip: number;
  readonly tcp: number;
  readonly data: number;
}

/**
 * Flags that end something are the last segment's, what is said once the first's; sequence and
 * identification count on. A frame that is not TCP over IPv4 is dropped: a guest said it was.
 */
export function sendSegments(
  frame: Uint8Array,
  segmentBytes: number,
  send: (segment: Uint8Array) => void,
): void {
  const places = placesOf(frame);
  if (places === undefined) return;
  const { ip, tcp, data } = places;
  const [identification, sequence, flags] = [
    read16(frame, ip + 4),
    read32(frame, tcp + 4),
    frame[tcp + 13]!,
  ];
  const count = Math.ceil((frame.length - data) / segmentBytes);
  // All lie in one buffer: one for each would cost more than filling it.
  const segments = new Uint8Array(count * data + frame.length - data);
  for (let start = data, index = 0; start < frame.length; start += segmentBytes, index++) {
    const end = Math.min(start + segmentBytes, frame.length);
    const at = index * (data + segmentBytes);
    const segment = segments.subarray(at, at + data + end - start);
    segment.set(frame.subarray(0, data));
    segment.set(frame.subarray(start, end), data);
    write16(segment, ip + 2, segment.length - ip);
    write16(segment, ip + 4, (identification + index) & 0xffff);
    write16(segment, ip + 10, 0);
    write16(segment, ip + 10, foldChecksum(sumWords(segment, ip, tcp)));
    write32(segment, tcp + 4, (sequence + start - data) >>> 0);
    const notFirst = index > 0 ? CWR : 0;
    const notLast = end < frame.length ? FIN | PSH : 0;
    segment[tcp + 13] = flags & ~(notFirst | notLast);
    write16(segment, tcp + 16, 0);
    const [source, destination] = [read32(segment, ip + 12), read32(segment, ip + 16)];
    const sum = pseudoHeaderSum(source, destination, PROTOCOL_TCP, segment.length - tcp);
    write16(segment, tcp + 16, foldChecksum(sumWords(segment, tcp, segment.length, sum)));
    send(segment);
  }
}

function placesOf(frame: Uint8Array): Places | undefined {
  let ip = ETHERNET_HEADER_BYTES;
  for (let tags = 0; tags < VLAN_TAGS_MAX && ip + IPV4_HEADER_BYTES <= frame.length; tags++) {
    if (isTagType(read16(frame, ip - 2))) ip += VLAN_TAG_BYTES;
  }
  if (ip + IPV4_HEADER_BYTES > frame.length || read16(frame, ip - 2) !== ETHERTYPE_IPV4) return;
  const tcp = ip + (frame[ip]! & 15) * 4;
  const isTcp = frame[ip]! >> 4 === 4 && frame[ip + 9] === PROTOCOL_TCP;
  if (!isTcp || tcp < ip + IPV4_HEADER_BYTES || tcp + TCP_HEADER_BYTES > frame.length) return;
  const data = tcp + (frame[tcp + 12]! >> 4) * 4;
  return data >= tcp + TCP_HEADER_BYTES && data < frame.length ? { ip, tcp, data } : undefined;
}
