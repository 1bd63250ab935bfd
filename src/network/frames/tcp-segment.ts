/**
 * TCP headers and options (RFC 9293, 3.1; RFC 7323 window scale; RFC 2018 SACK) in place: parsed
 * into a record that the caller reuses, written into a frame that the caller owns.
 *
 * Sequence numbers are signed 32-bit integers here and in tcp/: V8 keeps those without garbage, and
 * their difference modulo 2^32 is `(a - b) | 0` either way.
 */
import {
  foldChecksum,
  pseudoHeaderSum,
  read16,
  read32,
  sumWords,
  write16,
  write32,
} from '../wire.ts';
import { type Ipv4Header, PROTOCOL_TCP } from './ipv4.ts';

export const TCP_HEADER_BYTES = 20;
export const TCP_OPTIONS_BYTES_MAX = 40;
export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;
const OPTION_WINDOW_SCALE = 3;
const OPTION_SACK_PERMITTED = 4;
const OPTION_SACK = 5;
export const SACK_BLOCKS_MAX = 4;

export interface TcpSegment {
  sourcePort: number;
  destinationPort: number;
  sequence: number;
  acknowledgement: number;
  flags: number;
  /** As on the wire, not scaled. */
  window: number;
  /** 0 where the option is absent. */
  mss: number;
  /** -1 where the option is absent. */
  windowScale: number;
  sackPermitted: boolean;
  sackCount: number;
  /** Pairs of first and last-plus-one sequence numbers, `sackCount` of them. */
  readonly sack: Int32Array;
  payloadStart: number;
  payloadEnd: number;
}

export function emptySegment(): TcpSegment {
  return {
    sourcePort: 0,
    destinationPort: 0,
    sequence: 0,
    acknowledgement: 0,
    flags: 0,
    window: 0,
    mss: 0,
    windowScale: -1,
    sackPermitted: false,
    sackCount: 0,
    sack: new Int32Array(SACK_BLOCKS_MAX * 2),
    payloadStart: 0,
    payloadEnd: 0,
  };
}

/** @returns false if there is no valid segment with a correct checksum; `into` is then undefined */
export function parseTcp(frame: Uint8Array, ip: Ipv4Header, into: TcpSegment): boolean {
  const at = ip.payloadStart;
  const length = ip.payloadEnd - at;
  if (length < TCP_HEADER_BYTES) return false;
  const headerBytes = (frame[at + 12]! >> 4) * 4;
  if (headerBytes < TCP_HEADER_BYTES || headerBytes > length) return false;
  const sum = pseudoHeaderSum(ip.source, ip.destination, PROTOCOL_TCP, length);
  if (foldChecksum(sumWords(frame, at, ip.payloadEnd, sum)) !== 0) return false;
  into.sourcePort = read16(frame, at);
  into.destinationPort = read16(frame, at + 2);
  into.sequence = read32(frame, at + 4) | 0;
  into.acknowledgement = read32(frame, at + 8) | 0;
  into.flags = frame[at + 13]! & 0x3f;
  into.window = read16(frame, at + 14);
  into.mss = 0;
  into.windowScale = -1;
  into.sackPermitted = false;
  into.sackCount = 0;
  into.payloadStart = at + headerBytes;
  into.payloadEnd = ip.payloadEnd;
  if (headerBytes > TCP_HEADER_BYTES) {
    parseOptions(frame, at + TCP_HEADER_BYTES, into.payloadStart, into);
  }
  return true;
}

/** Unknown options are skipped; a malformed one ends the list, as in every stack. */
function parseOptions(frame: Uint8Array, start: number, end: number, into: TcpSegment): void {
  for (let at = start; at < end; ) {
    const kind = frame[at]!;
    if (kind === OPTION_END) return;
    if (kind === OPTION_NOP) {
      at++;
      continue;
    }
    const length = at + 1 < end ? frame[at + 1]! : 0;
    if (length < 2 || at + length > end) return;
    if (kind === OPTION_MSS && length === 4) into.mss = read16(frame, at + 2);
    else if (kind === OPTION_WINDOW_SCALE && length === 3) into.windowScale = frame[at + 2]!;
    else if (kind === OPTION_SACK_PERMITTED && length === 2) into.sackPermitted = true;
    else if (kind === OPTION_SACK && length % 8 === 2) {
      into.sackCount = Math.min((length - 2) >> 3, SACK_BLOCKS_MAX);
      for (let i = 0; i < into.sackCount * 2; i++) {
        into.sack[i] = read32(frame, at + 2 + i * 4) | 0;
      }
    }
    at += length;
  }
}

/** How many bytes `writeTcpOptions` will write. */
export function tcpOptionsBytes(segment: TcpSegment): number {
  let bytes = segment.mss > 0 ? 4 : 0;
  if (segment.sackPermitted) bytes += 4;
  if (segment.windowScale >= 0) bytes += 4;
  if (segment.sackCount > 0) bytes += 4 + segment.sackCount * 8;
  return bytes;
}

function writeTcpOptions(frame: Uint8Array, start: number, segment: TcpSegment): void {
  let at = start;
  if (segment.mss > 0) {
    write32(frame, at, (OPTION_MSS << 24) | (4 << 16) | segment.mss);
    at += 4;
  }
  if (segment.sackPermitted) {
    write32(frame, at, (OPTION_NOP << 24) | (OPTION_NOP << 16) | (OPTION_SACK_PERMITTED << 8) | 2);
    at += 4;
  }
  if (segment.windowScale >= 0) {
    const option = (OPTION_WINDOW_SCALE << 16) | (3 << 8) | segment.windowScale;
    write32(frame, at, (OPTION_NOP << 24) | option);
    at += 4;
  }
  if (segment.sackCount > 0) {
    const length = 2 + segment.sackCount * 8;
    write32(frame, at, (OPTION_NOP << 24) | (OPTION_NOP << 16) | (OPTION_SACK << 8) | length);
    for (let i = 0; i < segment.sackCount * 2; i++) {
      write32(frame, at + 4 + i * 4, segment.sack[i]!);
    }
  }
}

/**
 * Writes header and options at `at`, and the checksum over them and the payload, which the caller
 * has already put at `at + TCP_HEADER_BYTES + tcpOptionsBytes(segment)`.
 */
export function writeTcp(
  frame: Uint8Array,
  at: number,
  segment: TcpSegment,
  source: number,
  destination: number,
  payloadBytes: number,
): void {
  const headerBytes = TCP_HEADER_BYTES + tcpOptionsBytes(segment);
  write16(frame, at, segment.sourcePort);
  write16(frame, at + 2, segment.destinationPort);
  write32(frame, at + 4, segment.sequence);
  write32(frame, at + 8, segment.acknowledgement);
  frame[at + 12] = headerBytes << 2;
  frame[at + 13] = segment.flags;
  write16(frame, at + 14, segment.window);
  write32(frame, at + 16, 0);
  if (headerBytes > TCP_HEADER_BYTES) writeTcpOptions(frame, at + TCP_HEADER_BYTES, segment);
  const length = headerBytes + payloadBytes;
  const sum = pseudoHeaderSum(source, destination, PROTOCOL_TCP, length);
  write16(frame, at + 16, foldChecksum(sumWords(frame, at, at + length, sum)));
}
