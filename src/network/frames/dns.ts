/**
 * DNS messages (RFC 1035), as far as a forwarder needs them: the question of a query, and answers
 * that it can give itself.
 */
import { type Ipv4, read16, write16, write32 } from '../wire.ts';

export const DNS_PORT = 53;
export const TYPE_A = 1;
export const RCODE_OK = 0;
export const RCODE_SERVFAIL = 2;
const CLASS_IN = 1;
const HEADER_BYTES = 12;
const NAME_BYTES_MAX = 255;
const FLAG_RESPONSE = 0x8000;
const OPCODE_MASK = 0x7800;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_RECURSION_AVAILABLE = 0x0080;
const FLAG_AUTHORITATIVE = 0x0400;
/** A pointer to the name in the question, which always begins behind the header. */
const POINTER_TO_QUESTION = 0xc000 | HEADER_BYTES;

export interface DnsQuestion {
  /** Lower case, without the last dot. Bytes that are no printable ASCII stand as they are. */
  readonly name: string;
  readonly type: number;
  /** Where the question ends in the message. */
  readonly end: number;
}

/** The question of a standard query of class IN with one question, or undefined. */
export function parseDnsQuery(message: Uint8Array): DnsQuestion | undefined {
  if (message.length < HEADER_BYTES || read16(message, 4) !== 1) return undefined;
  if ((read16(message, 2) & (FLAG_RESPONSE | OPCODE_MASK)) !== 0) return undefined;
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63) return undefined;
    at++;
    if (length === 0) break;
    if (at + length > message.length || at - HEADER_BYTES > NAME_BYTES_MAX) return undefined;
    labels.push(String.fromCharCode(...message.subarray(at, at + length)).toLowerCase());
    at += length;
  }
  if (at + 4 > message.length || read16(message, at + 2) !== CLASS_IN) return undefined;
  return { name: labels.join('.'), type: read16(message, at), end: at + 4 };
}

/** The answer to a query with these addresses (none: the name exists, without such records). */
export function buildDnsAnswer(
  query: Uint8Array,
  question: DnsQuestion,
  code: number,
  addresses: readonly Ipv4[],
  secondsToLive: number,
): Uint8Array {
  const answer = new Uint8Array(question.end + addresses.length * 16);
  answer.set(query.subarray(0, question.end));
  const recursion = read16(query, 2) & FLAG_RECURSION_DESIRED;
  write16(
    answer,
    2,
    FLAG_RESPONSE | FLAG_AUTHORITATIVE | FLAG_RECURSION_AVAILABLE | recursion | code,
  );
  write16(answer, 6, addresses.length);
  write32(answer, 8, 0);
  let at = question.end;
  for (const address of addresses) {
    write16(answer, at, POINTER_TO_QUESTION);
    write16(answer, at + 2, TYPE_A);
    write16(answer, at + 4, CLASS_IN);
    write32(answer, at + 6, secondsToLive);
    write16(answer, at + 10, 4);
    write32(answer, at + 12, address);
    at += 16;
  }
  return answer;
}
