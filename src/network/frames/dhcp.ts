/**
 * DHCP messages (RFC 2131, RFC 2132) as the payload of UDP datagrams. Parsing gives up on whatever
 * is cut short; options may repeat, in which case they are joined (RFC 3396).
 */
import {
  type Ipv4,
  type Mac,
  read16,
  read32,
  readMac,
  write16,
  write32,
  writeMac,
} from '../wire.ts';

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;
export const BOOTREQUEST = 1;
export const BOOTREPLY = 2;

export const DHCPDISCOVER = 1;
export const DHCPOFFER = 2;
export const DHCPREQUEST = 3;
export const DHCPDECLINE = 4;
export const DHCPACK = 5;
export const DHCPNAK = 6;
export const DHCPRELEASE = 7;
export const DHCPINFORM = 8;

/** Option codes, RFC 2132. */
export const OPTION = {
  subnetMask: 1,
  router: 3,
  domainNameServer: 6,
  domainName: 15,
  interfaceMtu: 26,
  broadcastAddress: 28,
  requestedAddress: 50,
  leaseTime: 51,
  messageType: 53,
  serverIdentifier: 54,
  renewalTime: 58,
  rebindingTime: 59,
} as const;

const PAD = 0;
const END = 255;
const FIXED_BYTES = 236;
const MAGIC_COOKIE = 0x63825363;
const HARDWARE_ETHERNET = 1;
const FLAG_BROADCAST = 0x8000;
/** Clients may drop anything shorter (RFC 1542, 2.1). */
const MESSAGE_BYTES_MIN = 300;

export interface DhcpMessage {
  readonly operation: number;
  readonly transaction: number;
  readonly broadcast: boolean;
  /** ciaddr: the address that the client uses already. */
  readonly clientAddress: Ipv4;
  /** yiaddr: the address that it gets. */
  readonly yourAddress: Ipv4;
  readonly clientMac: Mac;
  readonly options: ReadonlyMap<number, Uint8Array>;
}

export function parseDhcp(bytes: Uint8Array): DhcpMessage | undefined {
  if (bytes.length < FIXED_BYTES + 4 || read32(bytes, FIXED_BYTES) !== MAGIC_COOKIE) {
    return undefined;
  }
  if (bytes[1] !== HARDWARE_ETHERNET || bytes[2] !== 6) return undefined;
  const options = new Map<number, Uint8Array>();
  for (let at = FIXED_BYTES + 4; at < bytes.length; ) {
    const code = bytes[at++]!;
    if (code === PAD) continue;
    if (code === END) break;
    const length = at < bytes.length ? bytes[at]! : 256;
    if (at + 1 + length > bytes.length) return undefined;
    const value = bytes.subarray(at + 1, at + 1 + length);
    const earlier = options.get(code);
    options.set(code, earlier === undefined ? value : Uint8Array.of(...earlier, ...value));
    at += 1 + length;
  }
  return {
    operation: bytes[0]!,
    transaction: read32(bytes, 4),
    broadcast: (read16(bytes, 10) & FLAG_BROADCAST) !== 0,
    clientAddress: read32(bytes, 12),
    yourAddress: read32(bytes, 16),
    clientMac: readMac(bytes, 28),
    options,
  };
}

export function buildDhcp(message: DhcpMessage): Uint8Array {
  let optionBytes = 1;
  for (const value of message.options.values()) optionBytes += 2 + value.length;
  const bytes = new Uint8Array(Math.max(MESSAGE_BYTES_MIN, FIXED_BYTES + 4 + optionBytes));
  bytes[0] = message.operation;
  bytes[1] = HARDWARE_ETHERNET;
  bytes[2] = 6;
  write32(bytes, 4, message.transaction);
  write16(bytes, 10, message.broadcast ? FLAG_BROADCAST : 0);
  write32(bytes, 12, message.clientAddress);
  write32(bytes, 16, message.yourAddress);
  writeMac(bytes, 28, message.clientMac);
  write32(bytes, FIXED_BYTES, MAGIC_COOKIE);
  let at = FIXED_BYTES + 4;
  for (const [code, value] of message.options) {
    bytes[at] = code;
    bytes[at + 1] = value.length;
    bytes.set(value, at + 2);
    at += 2 + value.length;
  }
  bytes[at] = END;
  return bytes;
}

/** An option of exactly four bytes as a number, or undefined. */
export function option32(message: DhcpMessage, code: number): number | undefined {
  const value = message.options.get(code);
  return value?.length === 4 ? read32(value, 0) : undefined;
}

export function messageType(message: DhcpMessage): number {
  const value = message.options.get(OPTION.messageType);
  return value?.length === 1 ? value[0]! : 0;
}
