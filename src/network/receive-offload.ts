/**
 * Receive offload: segments of TCP that arrive together become one frame, as a network card with
 * LRO and a driver with GRO make it. A guest's kernel pays for frames far more than for bytes, and
 * so does everything between here and the shadow: one entry, one interrupt, one walk up the stack.
 *
 * From: the frames of one read of a port's socket. To: the machine's input, with the length of the
 * segments, from which the device makes the header that tells the guest (virtio 1.2, 5.1.6.4.1).
 * What is joined is what Linux's GRO would join: data of one connection over IPv4, without a gap,
 * whose headers differ by nothing but place, identification and PSH. Checksums were right before
 * they are replaced; what is not joined passes as it came. Nothing waits, nothing is reordered.
 */
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4 } from './frames/ethernet.ts';
import { IPV4_HEADER_BYTES, PROTOCOL_TCP } from './frames/ipv4.ts';
import { ACK, PSH, TCP_HEADER_BYTES } from './frames/tcp-segment.ts';
import { foldChecksum, pseudoHeaderSum, read16, read32, sumWords, write16 } from './wire.ts';

/** The longest IPv4 packet, in its frame. */
export const joinedBytesMax = ETHERNET_HEADER_BYTES + 0xffff;

const ip = ETHERNET_HEADER_BYTES;
const tcp = ip + IPV4_HEADER_BYTES;
/** Where fields lie, for there is no tag and no IPv4 option in what is joined. */
const at = {
  etherType: 12,
  versionAndLength: ip,
  totalLength: ip + 2,
  fragment: ip + 6,
  protocol: ip + 9,
  ipChecksum: ip + 10,
  source: ip + 12,
  destination: ip + 16,
  sequence: tcp + 4,
  acknowledgement: tcp + 8,
  dataOffset: tcp + 12,
  flags: tcp + 13,
  window: tcp + 14,
  tcpChecksum: tcp + 16,
  urgent: tcp + 18,
  options: tcp + TCP_HEADER_BYTES,
} as const;
const versionFourWithoutOptions = 0x45;
const dontFragment = 0x4000;

/** Gets a frame, and the bytes of data in each segment but the last; 0: it is as it came. */
export type TakeFrame = (frame: Uint8Array, segmentBytes: number) => void;

export class ReceiveOffload {
  readonly #deliver: TakeFrame;
  /** Segments that follow each other; all carry as much as the first. */
  #run: Uint8Array[] = [];
  #headerBytes = 0;
  #segmentBytes = 0;
  #nextSequence = 0;
  #bytes = 0;

  constructor(deliver: TakeFrame) {
    this.#deliver = deliver;
  }

  /** @param frame must stay as it is until `flush` */
  push(frame: Uint8Array): void {
    const headerBytes = headerBytesOf(frame);
    if (headerBytes === 0) {
      this.flush();
      this.#deliver(frame, 0);
      return;
    }
    const dataBytes = frame.length - headerBytes;
    if (this.#continuedBy(frame, headerBytes)) {
      this.#run.push(frame);
      this.#bytes += dataBytes;
    } else {
      this.flush();
      this.#run.push(frame);
      this.#headerBytes = headerBytes;
      this.#segmentBytes = dataBytes;
      this.#bytes = frame.length;
    }
    this.#nextSequence = (read32(frame, at.sequence) + dataBytes) >>> 0;
    // The sender has no more for now.
    if (frame[at.flags]! & PSH || dataBytes < this.#segmentBytes) this.flush();
  }

  /** All that has come: whoever sent it waits for nothing else. */
  flush(): void {
    const run = this.#run;
    if (run.length === 0) return;
    this.#run = [];
    if (run.length === 1) this.#deliver(run[0]!, 0);
    else this.#deliver(this.#joined(run), this.#segmentBytes);
  }

  #continuedBy(frame: Uint8Array, headerBytes: number): boolean {
    const first = this.#run[0];
    const dataBytes = frame.length - headerBytes;
    return (
      first !== undefined &&
      dataBytes <= this.#segmentBytes &&
      this.#bytes + dataBytes <= joinedBytesMax &&
      read32(frame, at.sequence) === this.#nextSequence &&
      headerBytes === this.#headerBytes &&
      sameHeaders(first, frame, headerBytes) &&
      (this.#run.length > 1 || isIntact(first)) &&
      isIntact(frame)
    );
  }

  #joined(run: readonly Uint8Array[]): Uint8Array {
    const frame = new Uint8Array(this.#bytes);
    frame.set(run[0]!);
    let end = run[0]!.length;
    for (let index = 1; index < run.length; index++) {
      const data = run[index]!.subarray(this.#headerBytes);
      frame.set(data, end);
      end += data.length;
    }
    frame[at.flags] = frame[at.flags]! | run.at(-1)![at.flags]!;
    write16(frame, at.totalLength, frame.length - ETHERNET_HEADER_BYTES);
    write16(frame, at.ipChecksum, 0);
    write16(frame, at.ipChecksum, foldChecksum(sumWords(frame, ip, tcp)));
    // The guest takes the rest as seen to: the sum of the pseudo-header stands for a checksum.
    write16(frame, at.tcpChecksum, ~foldChecksum(pseudoHeader(frame)));
    return frame;
  }
}

/** Of a segment that may be joined with others: bytes before its data. Otherwise 0. */
function headerBytesOf(frame: Uint8Array): number {
  if (frame.length <= at.options) return 0;
  if (read16(frame, at.etherType) !== ETHERTYPE_IPV4) return 0;
  if (frame[at.versionAndLength] !== versionFourWithoutOptions) return 0;
  if (frame[at.protocol] !== PROTOCOL_TCP) return 0;
  if ((read16(frame, at.fragment) & ~dontFragment) !== 0) return 0;
  // A short frame may be padded.
  if (read16(frame, at.totalLength) !== frame.length - ETHERNET_HEADER_BYTES) return 0;
  if ((frame[at.flags]! & ~PSH) !== ACK) return 0;
  const tcpHeaderBytes = (frame[at.dataOffset]! >> 4) * 4;
  const headerBytes = tcp + tcpHeaderBytes;
  return tcpHeaderBytes >= TCP_HEADER_BYTES && headerBytes < frame.length ? headerBytes : 0;
}

/** But for lengths, identification, sequence, PSH and checksums. */
function sameHeaders(one: Uint8Array, other: Uint8Array, headerBytes: number): boolean {
  return (
    same(one, other, 0, at.totalLength) &&
    same(one, other, at.fragment, at.ipChecksum) &&
    same(one, other, at.source, at.sequence) &&
    same(one, other, at.acknowledgement, at.flags) &&
    same(one, other, at.window, at.tcpChecksum) &&
    same(one, other, at.urgent, headerBytes)
  );
}

function same(one: Uint8Array, other: Uint8Array, start: number, end: number): boolean {
  for (let index = start; index < end; index++) if (one[index] !== other[index]) return false;
  return true;
}

function isIntact(frame: Uint8Array): boolean {
  return (
    foldChecksum(sumWords(frame, ip, tcp)) === 0 &&
    foldChecksum(sumWords(frame, tcp, frame.length, pseudoHeader(frame))) === 0
  );
}

function pseudoHeader(frame: Uint8Array): number {
  const [source, destination] = [read32(frame, at.source), read32(frame, at.destination)];
  return pseudoHeaderSum(source, destination, PROTOCOL_TCP, frame.length - tcp);
}
