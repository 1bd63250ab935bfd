/**
 * The gateway: the guests' way to the outside, without a kernel's help. It joins as one more switch
 * and answers there as a router would: ARP, ICMP echo, DHCP, DNS; it ends the guests' TCP and UDP
 * and goes on with sockets of its host, and it opens connections to guests for published ports.
 *
 * A frame of a guest comes in by `receiveFrame`; what follows leaves by the calls of `GatewayPorts`.
 * After any call or batch of calls the host calls `tick`, which ends the batch (data handed over in
 * large pieces, one acknowledgement for many segments) and says when it wants to be called again.
 * Time is in microseconds of any monotonic clock of the host.
 *
 * Invariants: nothing that a guest sends makes it throw; all tables and buffers are bounded; a
 * connection outlives the host its guest runs on, since what is unacknowledged is sent again when
 * the guest's new place is announced (DESIGN 7).
 */
import { ARP_REPLY, ARP_REQUEST, buildArp, parseArp } from '../frames/arp.ts';
import {
  buildDhcp,
  DHCP_CLIENT_PORT,
  DHCP_SERVER_PORT,
  DHCPNAK,
  messageType,
  parseDhcp,
} from '../frames/dhcp.ts';
import { DNS_PORT } from '../frames/dns.ts';
import {
  destinationMac,
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_RARP,
  etherType,
  isFrame,
  isGroupMac,
  sourceMac,
} from '../frames/ethernet.ts';
import { buildEchoReply, isEchoRequest } from '../frames/icmp.ts';
import {
  emptyIpv4Header,
  type Ipv4Header,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  parseIpv4,
} from '../frames/ipv4.ts';
import { buildUdp, parseUdp } from '../frames/udp.ts';
import { TCP_OPTIONS, type TcpOptions } from '../tcp/options.ts';
import type { VmAddresses } from '../trunk.ts';
import { type Ipv4, MAC_BROADCAST, type Mac } from '../wire.ts';
import { Datagrams, type Translate } from './datagrams.ts';
import { DhcpServer } from './dhcp-server.ts';
import { Fragments } from './fragments.ts';
import { type Neighbour, Neighbours } from './neighbours.ts';
import type { ConnectFailure, FlowId, GatewayPorts, StreamId } from './ports.ts';
import { isOutside, Subnet } from './subnet.ts';
import { TcpStreams } from './tcp-streams.ts';

export interface GatewayConfig {
  readonly mac: Mac;
  /** The gateway's own address, with the length of its subnet's prefix. */
  readonly address: Ipv4;
  readonly prefixLength: number;
  readonly mtu?: number;
  /** Where queries go that the gateway cannot answer itself; without it they fail. */
  readonly dnsForward?: { readonly address: Ipv4; readonly port: number };
  /** Names that the gateway answers itself, in lower case; also whole, with the domain. */
  readonly names?: ReadonlyMap<string, Ipv4>;
  readonly domain?: string;
  readonly leaseSeconds?: number;
  readonly reservations?: ReadonlyMap<Mac, Ipv4>;
  /** Whether guests reach the host's loopback at the gateway's address, as QEMU's user network. */
  readonly hostLoopback?: boolean;
  readonly connectionsMax?: number;
  readonly connectionsPerGuestMax?: number;
  readonly flowsMax?: number;
  readonly tcp?: Partial<TcpOptions>;
}

const LOOPBACK: Ipv4 = 0x7f000001;
const HOUSEKEEPING_US = 5_000_000;

export class Gateway {
  readonly #config: GatewayConfig;
  readonly #ports: GatewayPorts;
  readonly #subnet: Subnet;
  readonly #mtu: number;
  readonly #neighbours: Neighbours;
  readonly #dhcp: DhcpServer;
  readonly #streams: TcpStreams;
  readonly #datagrams: Datagrams;
  readonly #fragments = new Fragments();
  readonly #ip: Ipv4Header = emptyIpv4Header();
  #housekeepingAt = Number.NEGATIVE_INFINITY;

  constructor(config: GatewayConfig, ports: GatewayPorts) {
    this.#config = config;
    this.#ports = ports;
    this.#subnet = new Subnet(config.address, config.prefixLength);
    this.#mtu = config.mtu ?? 1500;
    this.#neighbours = new Neighbours(config.mac, this.#subnet, (frame) => ports.frame(frame));
    this.#dhcp = new DhcpServer({
      subnet: this.#subnet,
      leaseSeconds: config.leaseSeconds ?? 86_400,
      mtu: this.#mtu,
      domain: config.domain,
      reservations: config.reservations ?? new Map(),
    });
    const translate: Translate = (address, port) => this.#translate(address, port);
    this.#streams = new TcpStreams(
      {
        tcp: { ...TCP_OPTIONS, mss: this.#mtu - 40, ...config.tcp },
        mac: config.mac,
        address: config.address,
        connectionsMax: config.connectionsMax ?? 4096,
        connectionsPerGuestMax: config.connectionsPerGuestMax ?? 1024,
      },
      ports,
      this.#neighbours,
      translate,
    );
    this.#datagrams = new Datagrams(
      {
        mac: config.mac,
        address: config.address,
        mtu: this.#mtu,
        flowsMax: config.flowsMax ?? 1024,
        forwards: config.dnsForward !== undefined,
        names: config.names ?? new Map(),
        domain: config.domain,
      },
      ports,
      this.#neighbours,
      translate,
    );
  }

  // From the switch.

  receiveFrame(frame: Uint8Array, now: number): void {
    if (!isFrame(frame)) return;
    const source = sourceMac(frame);
    const destination = destinationMac(frame);
    if (isGroupMac(source) || source === this.#config.mac) return;
    const toUs = destination === this.#config.mac;
    switch (etherType(frame)) {
      case ETHERTYPE_IPV4:
        if (toUs || isGroupMac(destination)) this.#receiveIpv4(frame, source, toUs, now);
        break;
      case ETHERTYPE_ARP:
        this.#receiveArp(frame, now);
        break;
      case ETHERTYPE_RARP:
        this.#moved(source, now);
        break;
    }
  }

  /** A trunk or the center says where these addresses are now. */
  announced(addresses: readonly VmAddresses[], now: number): void {
    for (const { mac, ipv4 } of addresses) {
      for (const address of ipv4) this.#learn(address, mac, now);
      this.#moved(mac, now);
    }
  }

  // From the host's sockets.

  /**
   * The host has accepted a connection on a published port: opens one to the guest.
   * @returns its number; `closed` follows with 'refused' or 'timeout' if the guest does not take it
   */
  open(guest: Ipv4, guestPort: number, now: number): StreamId | undefined {
    const neighbour = this.#neighbours.get(guest);
    return neighbour && this.#streams.open(neighbour, guestPort, now);
  }

  /** What a `connect` has come to. */
  connected(id: StreamId, now: number): void {
    this.#streams.connected(id, now);
  }

  refused(id: StreamId, why: ConnectFailure, now: number): void {
    this.#streams.refused(id, why, now);
  }

  /**
   * Bytes from the host's socket, whose ownership passes to the gateway.
   * @returns false if the socket is to be paused until `writable`
   */
  write(id: StreamId, bytes: Uint8Array, now: number): boolean {
    return this.#streams.write(id, bytes, now);
  }

  /** So many bytes of `data` have left through the host's socket: the guest may send more. */
  consumed(id: StreamId, bytes: number, now: number): void {
    this.#streams.consumed(id, bytes, now);
  }

  /** The other side has ended its direction. */
  end(id: StreamId, now: number): void {
    this.#streams.end(id, now);
  }

  /** The host's socket has failed: the guest's connection is reset. */
  reset(id: StreamId, now: number): void {
    this.#streams.reset(id, now);
  }

  /** A datagram for the guest has come to the flow's socket. */
  datagram(id: FlowId, bytes: Uint8Array, now: number): void {
    this.#datagrams.answer(id, bytes, now);
  }

  /** The flow's socket has failed: the guest learns that the port is unreachable. */
  flowFailed(id: FlowId): void {
    this.#datagrams.failed(id);
  }

  /**
   * A datagram has come to a published UDP port: the flow on which it and the answers travel.
   * @param port a port of the gateway that stands for the sender, the same for all its datagrams
   */
  openFlow(guest: Ipv4, guestPort: number, port: number, now: number): FlowId | undefined {
    const neighbour = this.#neighbours.get(guest);
    return neighbour && this.#datagrams.open(neighbour, guestPort, port, now);
  }

  /** A VM is deleted or stopped for good: its connections are reset and its flows closed. */
  forgetGuest(guest: Ipv4, now: number): void {
    const neighbour = this.#neighbours.get(guest);
    if (neighbour === undefined) return;
    this.#streams.forgetGuest(neighbour, now);
    this.#datagrams.forgetGuest(neighbour);
    this.#neighbours.forget(guest);
  }

  /** Ends a batch. @returns when to be called again at the latest; Infinity: only after a call */
  tick(now: number): number {
    if (now >= this.#housekeepingAt) {
      this.#housekeepingAt = now + HOUSEKEEPING_US;
      this.#datagrams.expire(now);
      this.#fragments.expire(now);
    }
    this.#streams.tick(now);
    const busy = this.#datagrams.size > 0 || this.#fragments.size > 0;
    return Math.min(this.#streams.next, busy ? this.#housekeepingAt : Number.POSITIVE_INFINITY);
  }

  // Leases.

  get connections(): number {
    return this.#streams.size;
  }

  /** The address that DHCP gave to a MAC, or undefined. */
  leaseOf(mac: Mac): Ipv4 | undefined {
    return this.#dhcp.addressOf(mac);
  }

  /** Whether `saveLeases` would give something new since the last call of this. */
  takeLeasesChanged(): boolean {
    return this.#dhcp.takeChanged();
  }

  saveLeases(now: number): Uint8Array {
    return this.#dhcp.save(now);
  }

  /** @throws MalformedBytes if these are no saved leases; nothing is changed then */
  restoreLeases(bytes: Uint8Array, now: number): void {
    this.#dhcp.restore(bytes, now);
  }

  // Inside.

  /** An address that DHCP has given away is believed to its holder only. */
  #learn(address: Ipv4, mac: Mac, now: number): Neighbour | undefined {
    const holder = this.#dhcp.holderOf(address, now);
    if (holder !== undefined && holder !== mac) return undefined;
    const news = this.#neighbours.learn(address, mac);
    if (news === undefined) return undefined;
    news.movedAt = now;
    this.#streams.retransmitTo(news, now);
    return news;
  }

  #moved(mac: Mac, now: number): void {
    for (const neighbour of this.#neighbours.moved(mac, now)) {
      this.#streams.retransmitTo(neighbour, now);
    }
  }

  #receiveArp(frame: Uint8Array, now: number): void {
    const arp = parseArp(frame);
    if (arp === undefined || arp.senderMac !== sourceMac(frame)) return;
    this.#learn(arp.senderIp, arp.senderMac, now);
    if (arp.senderIp === arp.targetIp) this.#moved(arp.senderMac, now);
    if (arp.operation !== ARP_REQUEST || arp.targetIp !== this.#config.address) return;
    this.#ports.frame(
      buildArp(arp.senderMac, {
        operation: ARP_REPLY,
        senderMac: this.#config.mac,
        senderIp: this.#config.address,
        targetMac: arp.senderMac,
        targetIp: arp.senderIp,
      }),
    );
  }

  /** @param toUs false for broadcasts, of which only DHCP is of interest */
  #receiveIpv4(frame: Uint8Array, source: Mac, toUs: boolean, now: number): void {
    const ip = this.#ip;
    if (!parseIpv4(frame, ETHERNET_HEADER_BYTES, ip)) return;
    if (ip.moreFragments || ip.fragmentOffset > 0) {
      const whole = this.#fragments.add(frame, ip, now);
      if (whole !== undefined) this.#receiveIpv4(whole, source, toUs, now);
      return;
    }
    if (ip.protocol === PROTOCOL_UDP && ip.source === 0) {
      this.#receiveUdp(frame, undefined, source, now);
      return;
    }
    const guest = this.#neighbours.get(ip.source);
    if (guest === undefined) return;
    if (guest.mac !== source && this.#learn(ip.source, source, now) === undefined) return;
    switch (ip.protocol) {
      case PROTOCOL_TCP:
        if (toUs) this.#streams.receive(frame, ip, guest, now);
        break;
      case PROTOCOL_UDP:
        this.#receiveUdp(frame, toUs ? guest : undefined, source, now);
        break;
      case PROTOCOL_ICMP:
        if (toUs && ip.destination === this.#config.address && isEchoRequest(frame, ip)) {
          this.#ports.frame(buildEchoReply(frame, ip, this.#config.mac, source));
        }
        break;
    }
  }

  #receiveUdp(frame: Uint8Array, guest: Neighbour | undefined, source: Mac, now: number): void {
    const { destination } = this.#ip;
    const datagram = parseUdp(frame, this.#ip);
    if (datagram === undefined) return;
    if (datagram.destinationPort === DHCP_SERVER_PORT) {
      if (destination === 0xffffffff || destination === this.#config.address) {
        this.#receiveDhcp(datagram.payload, source, now);
      }
      return;
    }
    if (guest !== undefined) this.#datagrams.receive(guest, datagram, destination, now);
  }

  /** Where the host finds what a guest asks for; undefined where it may not or cannot go. */
  #translate(address: Ipv4, port: number): { address: Ipv4; port: number } | undefined {
    if (address === this.#config.address) {
      if (port === DNS_PORT && this.#config.dnsForward !== undefined)
        return this.#config.dnsForward;
      return this.#config.hostLoopback === true ? { address: LOOPBACK, port } : undefined;
    }
    if (this.#subnet.contains(address) || !isOutside(address)) return undefined;
    return { address, port };
  }

  #receiveDhcp(payload: Uint8Array, source: Mac, now: number): void {
    const message = parseDhcp(payload);
    if (message === undefined || message.clientMac !== source) return;
    const reply = this.#dhcp.receive(message, now);
    if (reply === undefined) return;
    // RFC 2131, 4.1: to the address in use, else by broadcast or straight to the new address.
    const inUse = message.clientAddress !== 0 && messageType(reply) !== DHCPNAK;
    const broadcast = !inUse && reply.broadcast;
    const address = inUse ? message.clientAddress : reply.yourAddress;
    const envelope = {
      sourceMac: this.#config.mac,
      destinationMac: broadcast ? MAC_BROADCAST : source,
      source: this.#config.address,
      destination: broadcast ? 0xffffffff : address,
      sourcePort: DHCP_SERVER_PORT,
      destinationPort: DHCP_CLIENT_PORT,
    };
    for (const frame of buildUdp(envelope, buildDhcp(reply), this.#mtu, 0)) {
      this.#ports.frame(frame);
    }
  }
}
