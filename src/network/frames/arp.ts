/**
 * ARP for IPv4 over Ethernet (RFC 826) and RARP (RFC 903), parsed from and built as whole frames.
 */
import {
  type Ipv4,
  MAC_BROADCAST,
  type Mac,
  read16,
  read32,
  readMac,
  write16,
  write32,
  writeMac,
} from '../wire.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_RARP,
  writeEthernet,
} from './ethernet.ts';

export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;
const RARP_REQUEST = 3;
const HARDWARE_ETHERNET = 1;
const ARP_BYTES = 28;

export interface Arp {
  readonly operation: number;
  readonly senderMac: Mac;
  readonly senderIp: Ipv4;
  readonly targetMac: Mac;
  readonly targetIp: Ipv4;
}

/** The ARP message in a frame of type ARP, or undefined if it is not one for IPv4 over Ethernet. */
export function parseArp(frame: Uint8Array): Arp | undefined {
  const at = ETHERNET_HEADER_BYTES;
  if (frame.length < at + ARP_BYTES) return undefined;
  if (read16(frame, at) !== HARDWARE_ETHERNET || read16(frame, at + 2) !== ETHERTYPE_IPV4) {
    return undefined;
  }
  if (frame[at + 4] !== 6 || frame[at + 5] !== 4) return undefined;
  return {
    operation: read16(frame, at + 6),
    senderMac: readMac(frame, at + 8),
    senderIp: read32(frame, at + 14),
    targetMac: readMac(frame, at + 18),
    targetIp: read32(frame, at + 24),
  };
}

function buildArpFrame(type: number, destination: Mac, arp: Arp): Uint8Array {
  const frame = new Uint8Array(ETHERNET_HEADER_BYTES + ARP_BYTES);
  const at = writeEthernet(frame, destination, arp.senderMac, type);
  write16(frame, at, HARDWARE_ETHERNET);
  write16(frame, at + 2, ETHERTYPE_IPV4);
  frame[at + 4] = 6;
  frame[at + 5] = 4;
  write16(frame, at + 6, arp.operation);
  writeMac(frame, at + 8, arp.senderMac);
  write32(frame, at + 14, arp.senderIp);
  writeMac(frame, at + 18, arp.targetMac);
  write32(frame, at + 24, arp.targetIp);
  return frame;
}

export function buildArp(destination: Mac, arp: Arp): Uint8Array {
  return buildArpFrame(ETHERTYPE_ARP, destination, arp);
}

/** "This address is here" to everybody (RFC 5227, section 3: an announcement is a request). */
export function buildGratuitousArp(mac: Mac, address: Ipv4): Uint8Array {
  return buildArp(MAC_BROADCAST, {
    operation: ARP_REQUEST,
    senderMac: mac,
    senderIp: address,
    targetMac: 0,
    targetIp: address,
  });
}

/** A RARP request moves a MAC in every switch it passes, without naming an IP address. */
export function buildRarp(mac: Mac): Uint8Array {
  return buildArpFrame(ETHERTYPE_RARP, MAC_BROADCAST, {
    operation: RARP_REQUEST,
    senderMac: mac,
    senderIp: 0,
    targetMac: mac,
    targetIp: 0,
  });
}
