/**
 * Ethernet II headers (IEEE 802.3): destination, source, type. Frames carry no check sequence, as
 * between virtio and TAP; whatever is shorter than a header is dropped by whoever receives it.
 */
import { type Mac, read16, readMac, write16, writeMac } from '../wire.ts';

export const ETHERNET_HEADER_BYTES = 14;
/** The largest IP packet behind a header with one VLAN tag: large-receive guests send such. */
export const FRAME_BYTES_MAX = 65_535 + ETHERNET_HEADER_BYTES + 4;

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_RARP = 0x8035;
export const ETHERTYPE_IPV6 = 0x86dd;

export function isFrame(frame: Uint8Array): boolean {
  return frame.length >= ETHERNET_HEADER_BYTES && frame.length <= FRAME_BYTES_MAX;
}

export function destinationMac(frame: Uint8Array): Mac {
  return readMac(frame, 0);
}

export function sourceMac(frame: Uint8Array): Mac {
  return readMac(frame, 6);
}

export function etherType(frame: Uint8Array): number {
  return read16(frame, 12);
}

/** Group addresses: multicast and broadcast. */
export function isGroupMac(mac: Mac): boolean {
  return (Math.floor(mac / 0x100_0000_0000) & 1) === 1;
}

export function writeEthernet(
  frame: Uint8Array,
  destination: Mac,
  source: Mac,
  type: number,
): number {
  writeMac(frame, 0, destination);
  writeMac(frame, 6, source);
  write16(frame, 12, type);
  return ETHERNET_HEADER_BYTES;
}
