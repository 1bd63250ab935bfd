/** ICMP (RFC 792): echo replies and "destination unreachable", built as whole frames. */
import { copyBytes, foldChecksum, type Ipv4, type Mac, sumWords, write16 } from '../wire.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, writeEthernet } from './ethernet.ts';
import { IPV4_HEADER_BYTES, type Ipv4Header, PROTOCOL_ICMP, writeIpv4 } from './ipv4.ts';

const ECHO_REPLY = 0;
const UNREACHABLE = 3;
const ECHO_REQUEST = 8;
export const UNREACHABLE_HOST = 1;
export const UNREACHABLE_PORT = 3;
const ICMP_HEADER_BYTES = 8;

/** True for a whole echo request with a correct checksum. */
export function isEchoRequest(frame: Uint8Array, ip: Ipv4Header): boolean {
  const { payloadStart, payloadEnd } = ip;
  if (payloadEnd - payloadStart < ICMP_HEADER_BYTES) return false;
  if (frame[payloadStart] !== ECHO_REQUEST || frame[payloadStart + 1] !== 0) return false;
  return foldChecksum(sumWords(frame, payloadStart, payloadEnd)) === 0;
}

function wrap(source: [Mac, Ipv4], destination: [Mac, Ipv4], message: Uint8Array): Uint8Array {
  write16(message, 2, 0);
  write16(message, 2, foldChecksum(sumWords(message, 0, message.length)));
  const frame = new Uint8Array(ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + message.length);
  const ip = writeEthernet(frame, destination[0], source[0], ETHERTYPE_IPV4);
  frame.set(
    message,
    writeIpv4(frame, ip, source[1], destination[1], PROTOCOL_ICMP, message.length),
  );
  return frame;
}

export function buildEchoReply(
  request: Uint8Array,
  ip: Ipv4Header,
  own: Mac,
  peer: Mac,
): Uint8Array {
  const message = copyBytes(request.subarray(ip.payloadStart, ip.payloadEnd));
  message[0] = ECHO_REPLY;
  return wrap([own, ip.destination], [peer, ip.source], message);
}

/** @param packet the offending packet from its IP header on; 8 bytes of its payload are quoted */
export function buildUnreachable(
  source: [Mac, Ipv4],
  destination: [Mac, Ipv4],
  code: number,
  packet: Uint8Array,
): Uint8Array {
  const quoted = packet.subarray(0, ((packet[0] ?? 0) & 15) * 4 + 8);
  const message = new Uint8Array(ICMP_HEADER_BYTES + quoted.length);
  message[0] = UNREACHABLE;
  message[1] = code;
  message.set(quoted, ICMP_HEADER_BYTES);
  return wrap(source, destination, message);
}
