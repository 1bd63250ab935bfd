/**
 * UDP through the gateway: guests' datagrams go out on flows, answers come back on them; queries for
 * names are answered here where the gateway knows the name, and forwarded otherwise.
 */
import {
  buildDnsAnswer,
  DNS_PORT,
  parseDnsQuery,
  RCODE_OK,
  RCODE_SERVFAIL,
  TYPE_A,
} from '../frames/dns.ts';
import { buildUnreachable, UNREACHABLE_PORT } from '../frames/icmp.ts';
import { IPV4_HEADER_BYTES, PROTOCOL_UDP, writeIpv4 } from '../frames/ipv4.ts';
import {
  buildUdp,
  UDP_HEADER_BYTES,
  UDP_PAYLOAD_BYTES_MAX,
  type UdpDatagram,
} from '../frames/udp.ts';
import { copyBytes, type Ipv4, type Mac, write16 } from '../wire.ts';
import type { Neighbour, Neighbours } from './neighbours.ts';
import type { FlowId, GatewayPorts } from './ports.ts';
import { type Flow, UdpFlows } from './udp-flows.ts';

const ANSWER_SECONDS = 30;

/** Where the host finds what a guest asks for; undefined where it may not or cannot go. */
export type Translate = (
  address: Ipv4,
  port: number,
) => { address: Ipv4; port: number } | undefined;

export interface DatagramsOptions {
  readonly mac: Mac;
  readonly address: Ipv4;
  readonly mtu: number;
  readonly flowsMax: number;
  /** Whether there is somebody to forward queries to. */
  readonly forwards: boolean;
  readonly names: ReadonlyMap<string, Ipv4>;
  readonly domain: string | undefined;
}

export class Datagrams {
  readonly #options: DatagramsOptions;
  readonly #ports: GatewayPorts;
  readonly #neighbours: Neighbours;
  readonly #translate: Translate;
  readonly #flows: UdpFlows;
  #identification = 0;

  constructor(
    options: DatagramsOptions,
    ports: GatewayPorts,
    neighbours: Neighbours,
    translate: Translate,
  ) {
    this.#options = options;
    this.#ports = ports;
    this.#neighbours = neighbours;
    this.#translate = translate;
    this.#flows = new UdpFlows(options.flowsMax, (id) => ports.flowClosed(id));
  }

  get size(): number {
    return this.#flows.size;
  }

  /** A guest's datagram to `remote`. */
  receive(guest: Neighbour, datagram: UdpDatagram, remote: Ipv4, now: number): void {
    if (remote === this.#options.address && datagram.destinationPort === DNS_PORT) {
      if (this.#answerQuery(guest, datagram, now)) return;
    }
    const { sourcePort: guestPort, destinationPort: remotePort } = datagram;
    let flow = this.#flows.find(guest, guestPort, remote, remotePort);
    if (flow === undefined) {
      const target = this.#translate(remote, remotePort);
      if (target === undefined) {
        if (remote === this.#options.address) {
          this.#sendUnreachable({ guest, guestPort, remote, remotePort });
        }
        return;
      }
      flow = this.#flows.add({ guest, guestPort, remote, remotePort, ...target }, now);
    } else {
      this.#flows.use(flow, now);
    }
    this.#ports.datagram(flow.id, flow.address, flow.port, copyBytes(datagram.payload));
  }

  /** A datagram has come to the flow's socket. */
  answer(id: FlowId, bytes: Uint8Array, now: number): void {
    const flow = this.#flows.byId(id);
    if (flow === undefined || bytes.length > UDP_PAYLOAD_BYTES_MAX) return;
    this.#flows.use(flow, now);
    this.#send(flow.guest, flow.remote, flow.remotePort, flow.guestPort, bytes, now);
  }

  /** The flow's socket has failed. */
  failed(id: FlowId): void {
    const flow = this.#flows.byId(id);
    if (flow !== undefined) this.#sendUnreachable(flow);
  }

  /** The flow between a guest's published port and a port of the gateway. */
  open(guest: Neighbour, guestPort: number, port: number, now: number): FlowId {
    const { address } = this.#options;
    const known = this.#flows.find(guest, guestPort, address, port);
    if (known !== undefined) return known.id;
    const flow = { guest, guestPort, remote: address, remotePort: port, address, port };
    return this.#flows.add(flow, now).id;
  }

  expire(now: number): void {
    this.#flows.expire(now);
  }

  forgetGuest(guest: Neighbour): void {
    this.#flows.forgetGuest(guest);
  }

  /** @returns whether the query is dealt with; otherwise it is to be forwarded */
  #answerQuery(guest: Neighbour, datagram: UdpDatagram, now: number): boolean {
    const query = datagram.payload;
    const question = parseDnsQuery(query);
    if (question === undefined) return true;
    const known = this.#addressOf(question.name);
    if (known === undefined && this.#options.forwards) return false;
    const code = known === undefined ? RCODE_SERVFAIL : RCODE_OK;
    const addresses = known !== undefined && question.type === TYPE_A ? [known] : [];
    const answer = buildDnsAnswer(query, question, code, addresses, ANSWER_SECONDS);
    this.#send(guest, this.#options.address, DNS_PORT, datagram.sourcePort, answer, now);
    return true;
  }

  /** A name is known bare and with the domain behind it. */
  #addressOf(name: string): Ipv4 | undefined {
    const { names, domain } = this.#options;
    const suffix = `.${domain}`;
    const bare =
      domain !== undefined && name.endsWith(suffix)
        ? name.slice(0, name.length - suffix.length)
        : name;
    return names.get(bare) ?? names.get(name);
  }

  #send(
    guest: Neighbour,
    source: Ipv4,
    sourcePort: number,
    guestPort: number,
    payload: Uint8Array,
    now: number,
  ): void {
    if (guest.mac === undefined) {
      this.#neighbours.ask(guest, now);
      return;
    }
    this.#identification = (this.#identification + 1) & 0xffff;
    const envelope = {
      sourceMac: this.#options.mac,
      destinationMac: guest.mac,
      source,
      destination: guest.address,
      sourcePort,
      destinationPort: guestPort,
    };
    for (const frame of buildUdp(envelope, payload, this.#options.mtu, this.#identification)) {
      this.#ports.frame(frame);
    }
  }

  /** Port unreachable, quoting what the guest must have sent. */
  #sendUnreachable(flow: Pick<Flow, 'guest' | 'guestPort' | 'remote' | 'remotePort'>): void {
    const { guest, guestPort, remote, remotePort } = flow;
    if (guest.mac === undefined) return;
    const packet = new Uint8Array(IPV4_HEADER_BYTES + UDP_HEADER_BYTES);
    const at = writeIpv4(packet, 0, guest.address, remote, PROTOCOL_UDP, UDP_HEADER_BYTES);
    write16(packet, at, guestPort);
    write16(packet, at + 2, remotePort);
    write16(packet, at + 4, UDP_HEADER_BYTES);
    const { mac, address } = this.#options;
    this.#ports.frame(
      buildUnreachable([mac, address], [guest.mac, guest.address], UNREACHABLE_PORT, packet),
    );
  }
}
