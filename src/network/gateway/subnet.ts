/** The guests' subnet, and which addresses a guest may ask the gateway for. */
import type { Ipv4 } from '../wire.ts';

export class Subnet {
  /** The gateway's own address in it. */
  readonly gateway: Ipv4;
  readonly mask: number;
  readonly first: Ipv4;
  readonly broadcast: Ipv4;

  /** @param prefixLength 8 to 30 */
  constructor(gateway: Ipv4, prefixLength: number) {
    this.gateway = gateway;
    this.mask = (-1 << (32 - prefixLength)) >>> 0;
    this.first = (gateway & this.mask) >>> 0;
    this.broadcast = (gateway | ~this.mask) >>> 0;
  }

  contains(address: Ipv4): boolean {
    return (address & this.mask) >>> 0 === this.first;
  }

  /** Whether a guest may have this address. */
  isGuest(address: Ipv4): boolean {
    return (
      this.contains(address) &&
      address !== this.first &&
      address !== this.broadcast &&
      address !== this.gateway
    );
  }
}

/** Unicast on the outside: not "this network", loopback, multicast or reserved (RFC 6890). */
export function isOutside(address: Ipv4): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}
