/**
 * struct virtio_net_hdr (virtio 1.2, 5.1.6): what precedes every frame on a network card's queues,
 * and says what one side has left to the other: a checksum, or cutting data into segments of TCP.
 */
import { foldChecksum, sumWords } from '../../base/internet-checksum.ts';

export const headerBytes = 12;

/** Where fields lie; those of two bytes are little-endian. */
const at = {
  flags: 0,
  gsoType: 1,
  hdrLen: 2,
  gsoSize: 4,
  csumStart: 6,
  csumOffset: 8,
  numBuffers: 10,
} as const;
const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
const VIRTIO_NET_HDR_GSO_NONE = 0;
const VIRTIO_NET_HDR_GSO_TCPV4 = 1;

/** Offsets in a frame of joined segments, which has no VLAN tag. */
const ipv4At = 14;
const tcpDataOffset = 12;
const tcpChecksum = 16;
/** Headers of Ethernet, IPv4 and TCP without options, and some data. */
export const joinedBytesMin = ipv4At + 20 + 20 + 1;

/** A checksum that is to be put into a frame: over all from `start` on, `offset` behind it. */
export interface LeftChecksum {
  readonly start: number;
  readonly offset: number;
}

export interface LeftToDevice {
  readonly checksum: LeftChecksum | undefined;
  /** Bytes of data in each segment but the last; 0: it is to leave as it is. */
  readonly segmentBytes: number;
}

/** What a driver leaves to the device, or undefined if that is something it does not offer. */
export function leftToDevice(header: Uint8Array): LeftToDevice | undefined {
  const needsChecksum = (header[at.flags]! & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0;
  const checksum = needsChecksum
    ? { start: u16(header, at.csumStart), offset: u16(header, at.csumOffset) }
    : undefined;
  const segmentBytes = u16(header, at.gsoSize);
  switch (header[at.gsoType]) {
    case VIRTIO_NET_HDR_GSO_NONE:
      return { checksum, segmentBytes: 0 };
    case VIRTIO_NET_HDR_GSO_TCPV4:
      return segmentBytes > 0 ? { checksum, segmentBytes } : undefined;
    default:
      return undefined;
  }
}

/** The driver has put in the sum of the pseudo-header. @returns false if it lies outside the frame */
export function putChecksum(frame: Uint8Array, { start, offset }: LeftChecksum): boolean {
  const place = start + offset;
  if (place + 2 > frame.length) return false;
  // UDP's zero means that there is none; the other zero is as good, for TCP too.
  const checksum = foldChecksum(sumWords(frame, start, frame.length)) || 0xffff;
  frame[place] = checksum >>> 8;
  frame[place + 1] = checksum & 0xff;
  return true;
}

/**
 * The header of a frame for the guest. Of joined segments it says how large they were, and where a
 * checksum would have to be, which nobody needs any more.
 */
export function writeHeader(
  header: DataView,
  buffers: number,
  frame: Uint8Array,
  segmentBytes: number,
): void {
  for (let index = 0; index < headerBytes; index++) header.setUint8(index, 0);
  header.setUint16(at.numBuffers, buffers, true);
  if (segmentBytes === 0) return;
  const tcpAt = ipv4At + (frame[ipv4At]! & 15) * 4;
  const tcpHeaderBytes = (frame[tcpAt + tcpDataOffset]! >> 4) * 4;
  header.setUint8(at.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
  header.setUint8(at.gsoType, VIRTIO_NET_HDR_GSO_TCPV4);
  header.setUint16(at.hdrLen, tcpAt + tcpHeaderBytes, true);
  header.setUint16(at.gsoSize, segmentBytes, true);
  header.setUint16(at.csumStart, tcpAt, true);
  header.setUint16(at.csumOffset, tcpChecksum, true);
}

function u16(header: Uint8Array, offset: number): number {
  return header[offset]! | (header[offset + 1]! << 8);
}
