/**
 * Puts fragmented datagrams together (RFC 791, 3.2). Overlapping fragments are an attack or a bug,
 * and end the datagram (RFC 5722's rule); so does any limit. Nothing waits longer than five seconds.
 */
import { ETHERNET_HEADER_BYTES } from '../frames/ethernet.ts';
import { IPV4_HEADER_BYTES, type Ipv4Header, writeIpv4 } from '../frames/ipv4.ts';
import { copyBytes } from '../wire.ts';

const DATAGRAMS_MAX = 32;
const PARTS_MAX = 64;
const PAYLOAD_BYTES_MAX = 65_535 - IPV4_HEADER_BYTES;
const WAIT_US = 5_000_000;

interface Datagram {
  readonly startedAt: number;
  readonly parts: { offset: number; bytes: Uint8Array }[];
  received: number;
  /** Known once the last fragment has come. */
  length: number | undefined;
}

export class Fragments {
  readonly #datagrams = new Map<string, Datagram>();

  get size(): number {
    return this.#datagrams.size;
  }

  /** @returns the whole datagram as a frame, when this was the last missing fragment */
  add(frame: Uint8Array, ip: Ipv4Header, now: number): Uint8Array | undefined {
    const key = `${ip.source} ${ip.destination} ${ip.protocol} ${ip.identification}`;
    let datagram = this.#datagrams.get(key);
    if (datagram === undefined) {
      if (this.#datagrams.size >= DATAGRAMS_MAX) this.#dropOldest();
      datagram = { startedAt: now, parts: [], received: 0, length: undefined };
      this.#datagrams.set(key, datagram);
    }
    if (!take(datagram, frame, ip)) {
      this.#datagrams.delete(key);
      return undefined;
    }
    if (datagram.received !== datagram.length) return undefined;
    this.#datagrams.delete(key);
    const whole = new Uint8Array(ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + datagram.length);
    whole.set(frame.subarray(0, ETHERNET_HEADER_BYTES));
    const { source, destination, protocol } = ip;
    const start = ETHERNET_HEADER_BYTES;
    const at = writeIpv4(whole, start, source, destination, protocol, datagram.length);
    for (const { offset, bytes } of datagram.parts) whole.set(bytes, at + offset);
    return whole;
  }

  expire(now: number): void {
    for (const [key, { startedAt }] of this.#datagrams) {
      if (now - startedAt > WAIT_US) this.#datagrams.delete(key);
    }
  }

  #dropOldest(): void {
    const [oldest] = this.#datagrams.keys();
    if (oldest !== undefined) this.#datagrams.delete(oldest);
  }
}

/** @returns false if the datagram is spoilt */
function take(datagram: Datagram, frame: Uint8Array, ip: Ipv4Header): boolean {
  const offset = ip.fragmentOffset;
  const length = ip.payloadEnd - ip.payloadStart;
  const end = offset + length;
  if (length === 0 || end > PAYLOAD_BYTES_MAX || datagram.parts.length >= PARTS_MAX) return false;
  for (const part of datagram.parts) {
    const partEnd = part.offset + part.bytes.length;
    // The network may have duplicated it.
    if (part.offset === offset && partEnd === end) return true;
    if (offset < partEnd && part.offset < end) return false;
  }
  if (ip.moreFragments ? length % 8 !== 0 : datagram.length !== undefined) return false;
  if (!ip.moreFragments) datagram.length = end;
  const { length: whole = PAYLOAD_BYTES_MAX } = datagram;
  if (end > whole || datagram.parts.some((part) => part.offset >= whole)) return false;
  const bytes = copyBytes(frame.subarray(ip.payloadStart, ip.payloadEnd));
  datagram.parts.push({ offset, bytes });
  datagram.received += length;
  return true;
}
