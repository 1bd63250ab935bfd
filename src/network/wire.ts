/**
 * Big-endian integers at byte offsets, the Internet checksum (RFC 1071), and addresses.
 *
 * The caller has checked that the offsets lie inside: nothing here looks at lengths. An IPv4
 * address is an unsigned 32-bit number, a MAC an unsigned 48-bit number (so both are cheap keys of
 * a Map), an IPv6 address 16 bytes.
 */

export { foldChecksum, sumWords } from '../base/internet-checksum.ts';

export type Ipv4 = number;
export type Mac = number;

export const MAC_BROADCAST: Mac = 0xffffffffffff;

export function read16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function read32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  );
}

export function readMac(bytes: Uint8Array, at: number): Mac {
  return read16(bytes, at) * 0x1_0000_0000 + read32(bytes, at + 2);
}

export function write16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function write32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function writeMac(bytes: Uint8Array, at: number, mac: Mac): void {
  write16(bytes, at, Math.floor(mac / 0x1_0000_0000));
  write32(bytes, at + 2, mac >>> 0);
}

/** The sum of the IPv4 pseudo-header that TCP and UDP checksums cover (RFC 9293, 3.1). */
export function pseudoHeaderSum(
  source: Ipv4,
  destination: Ipv4,
  protocol: number,
  length: number,
): number {
  return (
    (source >>> 16) +
    (source & 0xffff) +
    (destination >>> 16) +
    (destination & 0xffff) +
    protocol +
    length
  );
}

/** Text of an IPv4 address as a number, or undefined. */
export function parseIpv4Text(text: string): Ipv4 | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let address = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    address = address * 256 + Number(part);
  }
  return address;
}

export function formatIpv4(address: Ipv4): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** Text of a MAC such as `52:54:00:12:34:56` as a number, or undefined. */
export function parseMacText(text: string): Mac | undefined {
  if (!/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(text)) return undefined;
  return Number.parseInt(text.replaceAll(':', ''), 16);
}

export function formatMac(mac: Mac): string {
  return mac
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?!$)/g, '$&:');
}

/** Text of an IPv6 address in the form of RFC 5952: lower case, the longest run of zeros as `::`. */
export function formatIpv6(address: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, index) => read16(address, index * 2).toString(16));
  const zeros = words.map((word) => (word === '0' ? '0' : 'x')).join('');
  const run = (zeros.match(/0+/g) ?? []).reduce((a, b) => (b.length > a.length ? b : a), '');
  if (run.length < 2) return words.join(':');
  const at = zeros.indexOf(run);
  return `${words.slice(0, at).join(':')}::${words.slice(at + run.length).join(':')}`;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}

/** A copy of its own. (`slice` of a Node Buffer, which may come from a host, would be a view.) */
export function copyBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}
