/**
 * The gateway's DHCP server (RFC 2131): one subnet, addresses by MAC.
 *
 * Invariant: an address has at most one holder, and a MAC at most one address. A MAC keeps its
 * address as long as nobody else needs it, beyond the end of its lease; leases survive a restart of
 * the gateway through `save` and `restore` (and where they were lost, a client that asks for the
 * address it has gets it, if it is free).
 */
import { ByteReader, ByteWriter, MalformedBytes } from '../../base/bytes.ts';
import {
  BOOTREPLY,
  BOOTREQUEST,
  DHCPACK,
  DHCPDECLINE,
  DHCPDISCOVER,
  DHCPINFORM,
  DHCPNAK,
  DHCPOFFER,
  DHCPRELEASE,
  DHCPREQUEST,
  type DhcpMessage,
  messageType,
  OPTION,
  option32,
} from '../frames/dhcp.ts';
import { type Ipv4, type Mac, write16, write32 } from '../wire.ts';
import type { Subnet } from './subnet.ts';

const SAVED_VERSION = 1;
const LEASES_MAX = 4096;
const OFFER_US = 60_000_000;
const DECLINED_US = 600_000_000;
const SECOND_US = 1_000_000;

export interface DhcpConfig {
  readonly subnet: Subnet;
  readonly leaseSeconds: number;
  readonly mtu: number;
  readonly domain: string | undefined;
  /** Fixed addresses, as the center gives them; never given to another MAC. */
  readonly reservations: ReadonlyMap<Mac, Ipv4>;
}

interface Lease {
  readonly mac: Mac;
  readonly address: Ipv4;
  expiresAt: number;
}

const u32 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  write32(bytes, 0, value);
  return bytes;
};

export class DhcpServer {
  readonly #config: DhcpConfig;
  readonly #byMac = new Map<Mac, Lease>();
  readonly #byAddress = new Map<Ipv4, Lease>();
  /** Addresses that a client found in use by somebody else, and until when they are shunned. */
  readonly #declined = new Map<Ipv4, number>();
  readonly #reserved: ReadonlySet<Ipv4>;
  #changed = false;

  constructor(config: DhcpConfig) {
    this.#config = config;
    this.#reserved = new Set(config.reservations.values());
  }

  /** Whether a lease was given or returned since the last call: time to save. */
  takeChanged(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  /** The address that a MAC has, or undefined. */
  addressOf(mac: Mac): Ipv4 | undefined {
    return this.#byMac.get(mac)?.address;
  }

  /** The MAC that an address is reserved for or leased to, or undefined. */
  holderOf(address: Ipv4, now: number): Mac | undefined {
    if (this.#reserved.has(address)) {
      for (const [mac, reserved] of this.#config.reservations) if (reserved === address) return mac;
    }
    const lease = this.#byAddress.get(address);
    return lease !== undefined && lease.expiresAt > now ? lease.mac : undefined;
  }

  /** @returns the answer, if there is one */
  receive(message: DhcpMessage, now: number): DhcpMessage | undefined {
    if (message.operation !== BOOTREQUEST) return undefined;
    const mac = message.clientMac;
    switch (messageType(message)) {
      case DHCPDISCOVER: {
        const lease = this.#grant(mac, option32(message, OPTION.requestedAddress), now);
        if (lease === undefined) return undefined;
        lease.expiresAt = Math.max(lease.expiresAt, now + OFFER_US);
        return this.#reply(message, DHCPOFFER, lease.address);
      }
      case DHCPREQUEST:
        return this.#request(message, now);
      case DHCPDECLINE: {
        const lease = this.#byMac.get(mac);
        if (lease === undefined) return undefined;
        this.#forget(lease);
        this.#declined.set(lease.address, now + DECLINED_US);
        return undefined;
      }
      case DHCPRELEASE: {
        const lease = this.#byMac.get(mac);
        if (lease?.address === message.clientAddress) {
          lease.expiresAt = now;
          this.#changed = true;
        }
        return undefined;
      }
      case DHCPINFORM:
        return this.#reply(message, DHCPACK, 0);
      default:
        return undefined;
    }
  }

  #request(message: DhcpMessage, now: number): DhcpMessage | undefined {
    const server = option32(message, OPTION.serverIdentifier);
    if (server !== undefined && server !== this.#config.subnet.gateway) return undefined;
    const wanted = option32(message, OPTION.requestedAddress) ?? message.clientAddress;
    const lease = this.#grant(message.clientMac, wanted, now);
    if (lease === undefined || lease.address !== wanted) return this.#reply(message, DHCPNAK, 0);
    lease.expiresAt = now + this.#config.leaseSeconds * SECOND_US;
    this.#changed = true;
    return this.#reply(message, DHCPACK, lease.address);
  }

  /** The reserved address, the one it has, the one it asks for, one that is free, one that expired. */
  #grant(mac: Mac, wanted: Ipv4 | undefined, now: number): Lease | undefined {
    const reserved = this.#config.reservations.get(mac);
    const held = this.#byMac.get(mac);
    if (reserved !== undefined) {
      if (held?.address === reserved) return held;
      return this.#give(mac, reserved);
    }
    if (held !== undefined && !this.#reserved.has(held.address)) return held;
    if (wanted !== undefined && this.#isFree(wanted, now)) return this.#give(mac, wanted);
    const { first, broadcast } = this.#config.subnet;
    let oldest: Lease | undefined;
    for (let address = first + 1; address < broadcast; address++) {
      const lease = this.#byAddress.get(address);
      if (lease === undefined) {
        if (this.#isFree(address, now)) return this.#give(mac, address);
      } else if (lease.expiresAt <= now && lease.expiresAt < (oldest?.expiresAt ?? now + 1)) {
        if (!this.#reserved.has(address)) oldest = lease;
      }
      if (address - first > LEASES_MAX) break;
    }
    return oldest === undefined ? undefined : this.#give(mac, oldest.address);
  }

  #isFree(address: Ipv4, now: number): boolean {
    return (
      this.#config.subnet.isGuest(address) &&
      !this.#reserved.has(address) &&
      (this.#byAddress.get(address)?.expiresAt ?? now) <= now &&
      (this.#declined.get(address) ?? now) <= now
    );
  }

  #give(mac: Mac, address: Ipv4): Lease {
    for (const old of [this.#byMac.get(mac), this.#byAddress.get(address)]) {
      if (old !== undefined) this.#forget(old);
    }
    const lease = { mac, address, expiresAt: 0 };
    this.#byMac.set(mac, lease);
    this.#byAddress.set(address, lease);
    this.#declined.delete(address);
    return lease;
  }

  #forget(lease: Lease): void {
    this.#byMac.delete(lease.mac);
    this.#byAddress.delete(lease.address);
    this.#changed = true;
  }

  #reply(message: DhcpMessage, type: number, address: Ipv4): DhcpMessage {
    const { subnet, leaseSeconds, mtu, domain } = this.#config;
    const options = new Map<number, Uint8Array>([
      [OPTION.messageType, Uint8Array.of(type)],
      [OPTION.serverIdentifier, u32(subnet.gateway)],
    ]);
    if (type !== DHCPNAK) {
      if (address !== 0) {
        options.set(OPTION.leaseTime, u32(leaseSeconds));
        options.set(OPTION.renewalTime, u32(leaseSeconds >>> 1));
        options.set(OPTION.rebindingTime, u32(Math.floor((leaseSeconds * 7) / 8)));
      }
      options.set(OPTION.subnetMask, u32(subnet.mask));
      options.set(OPTION.router, u32(subnet.gateway));
      options.set(OPTION.domainNameServer, u32(subnet.gateway));
      options.set(OPTION.broadcastAddress, u32(subnet.broadcast));
      const mtuBytes = new Uint8Array(2);
      write16(mtuBytes, 0, mtu);
      options.set(OPTION.interfaceMtu, mtuBytes);
      if (domain !== undefined) options.set(OPTION.domainName, new TextEncoder().encode(domain));
    }
    return {
      operation: BOOTREPLY,
      transaction: message.transaction,
      broadcast: message.broadcast || type === DHCPNAK,
      clientAddress: type === DHCPACK ? message.clientAddress : 0,
      yourAddress: address,
      clientMac: message.clientMac,
      options,
    };
  }

  /** Leases with what is left of them: the clock of the next process begins elsewhere. */
  save(now: number): Uint8Array {
    const writer = new ByteWriter().u8(SAVED_VERSION).varint(this.#byMac.size);
    for (const { mac, address, expiresAt } of this.#byMac.values()) {
      const secondsLeft = Math.max(0, Math.ceil((expiresAt - now) / SECOND_US));
      writer.varint(mac).u32(address).varint(secondsLeft);
    }
    return writer.finish();
  }

  /** Twin of `save`. Addresses that no longer lie in the subnet are left out. */
  restore(bytes: Uint8Array, now: number): void {
    const reader = new ByteReader(bytes);
    const version = reader.u8();
    if (version !== SAVED_VERSION) throw new MalformedBytes(`leases of version ${version}`);
    const count = reader.varint();
    const read = [];
    for (let index = 0; index < count; index++) {
      read.push({ mac: reader.varint(), address: reader.u32(), seconds: reader.varint() });
    }
    reader.end();
    for (const { mac, address, seconds } of read) {
      if (mac >= 2 ** 48 || !this.#config.subnet.isGuest(address)) continue;
      this.#give(mac, address).expiresAt = now + seconds * SECOND_US;
    }
  }
}
