/**
 * For tests: a guest made of our own TCP, without a machine under it. It asks for an address by
 * DHCP, answers ARP, echoes what comes on any TCP or UDP port, and may move to another cable in the
 * middle of a connection, as a shadow does that goes live.
 */
import { ARP_REPLY, ARP_REQUEST, buildArp, parseArp } from '../network/frames/arp.ts';
import {
  BOOTREQUEST,
  buildDhcp,
  DHCPDISCOVER,
  DHCPOFFER,
  DHCPREQUEST,
  messageType,
  OPTION,
  parseDhcp,
} from '../network/frames/dhcp.ts';
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, etherType, sourceMac } from '../network/frames/ethernet.ts';
import { emptyIpv4Header, PROTOCOL_TCP, PROTOCOL_UDP, parseIpv4 } from '../network/frames/ipv4.ts';
import { ACK, emptySegment, parseTcp, RST, SYN } from '../network/frames/tcp-segment.ts';
import { buildUdp, parseUdp } from '../network/frames/udp.ts';
import { TcpConnection } from '../network/tcp/connection.ts';
import { TCP_OPTIONS } from '../network/tcp/options.ts';
import { SegmentFrames } from '../network/tcp/segment-frame.ts';
import { copyBytes, type Ipv4, MAC_BROADCAST, type Mac, write32 } from '../network/wire.ts';
import { Alarm, nowUs } from './clock.ts';

export class EchoGuest {
  readonly mac: Mac;
  address: Ipv4 = 0;
  /** The cable: where frames go. */
  send: (frame: Uint8Array) => void;
  readonly #connections = new Map<string, TcpConnection>();
  readonly #ip = emptyIpv4Header();
  readonly #segment = emptySegment();
  readonly #alarm = new Alarm(() => this.#tick());

  constructor(mac: Mac, send: (frame: Uint8Array) => void) {
    this.mac = mac;
    this.send = send;
  }

  /** Asks for an address; it has one when `address` is not 0. */
  requestAddress(): void {
    this.#dhcp(DHCPDISCOVER);
  }

  receive(frame: Uint8Array): void {
    if (etherType(frame) === ETHERTYPE_ARP) this.#receiveArp(frame);
    if (etherType(frame) !== ETHERTYPE_IPV4 || !parseIpv4(frame, 14, this.#ip)) return;
    if (this.#ip.protocol === PROTOCOL_UDP) this.#receiveUdp(frame);
    else if (this.#ip.protocol === PROTOCOL_TCP && this.#ip.destination === this.address) {
      this.#receiveTcp(frame);
      this.#tick();
    }
  }

  close(): void {
    this.#alarm.clear();
  }

  #receiveArp(frame: Uint8Array): void {
    const arp = parseArp(frame);
    if (arp?.operation !== ARP_REQUEST || arp.targetIp !== this.address) return;
    this.send(
      buildArp(arp.senderMac, {
        operation: ARP_REPLY,
        senderMac: this.mac,
        senderIp: this.address,
        targetMac: arp.senderMac,
        targetIp: arp.senderIp,
      }),
    );
  }

  #receiveUdp(frame: Uint8Array): void {
    const datagram = parseUdp(frame, this.#ip);
    if (datagram === undefined) return;
    if (datagram.destinationPort === 68) {
      this.#receiveDhcp(datagram.payload);
      return;
    }
    const envelope = {
      sourceMac: this.mac,
      destinationMac: sourceMac(frame),
      source: this.address,
      destination: this.#ip.source,
      sourcePort: datagram.destinationPort,
      destinationPort: datagram.sourcePort,
    };
    for (const answer of buildUdp(envelope, datagram.payload, 1500, 1)) this.send(answer);
  }

  #receiveDhcp(payload: Uint8Array): void {
    const reply = parseDhcp(payload);
    if (reply?.clientMac !== this.mac) return;
    if (messageType(reply) === DHCPOFFER) this.#dhcp(DHCPREQUEST, reply.yourAddress);
    else this.address = reply.yourAddress;
  }

  #dhcp(type: number, requested?: Ipv4): void {
    const options = new Map([[OPTION.messageType as number, Uint8Array.of(type)]]);
    if (requested !== undefined) {
      const bytes = new Uint8Array(4);
      write32(bytes, 0, requested);
      options.set(OPTION.requestedAddress, bytes);
    }
    const message = buildDhcp({
      operation: BOOTREQUEST,
      transaction: 7,
      broadcast: true,
      clientAddress: 0,
      yourAddress: 0,
      clientMac: this.mac,
      options,
    });
    const envelope = {
      sourceMac: this.mac,
      destinationMac: MAC_BROADCAST,
      source: 0,
      destination: 0xffffffff,
      sourcePort: 68,
      destinationPort: 67,
    };
    for (const frame of buildUdp(envelope, message, 1500, 0)) this.send(frame);
  }

  #receiveTcp(frame: Uint8Array): void {
    const segment = this.#segment;
    if (!parseTcp(frame, this.#ip, segment)) return;
    const key = `${this.#ip.source} ${segment.sourcePort} ${segment.destinationPort}`;
    let connection = this.#connections.get(key);
    if (connection !== undefined) {
      connection.receive(segment, frame, nowUs());
    } else if ((segment.flags & (SYN | ACK | RST)) === SYN) {
      connection = this.#accept(
        { destinationMac: sourceMac(frame), destination: this.#ip.source },
        { sourcePort: segment.destinationPort, destinationPort: segment.sourcePort },
      );
      this.#connections.set(key, connection);
      connection.listen(segment);
      connection.accept(nowUs());
    }
  }

  #accept(
    peer: { readonly destinationMac: Mac; readonly destination: Ipv4 },
    ports: { readonly sourcePort: number; readonly destinationPort: number },
  ): TcpConnection {
    const frames = new SegmentFrames(1460);
    const envelope = { sourceMac: this.mac, source: this.address, ...peer };
    const connection: TcpConnection = new TcpConnection(
      TCP_OPTIONS,
      {
        send: (segment, queue, offset, length) => {
          Object.assign(segment, ports);
          this.send(frames.write(envelope, segment, queue, offset, length));
        },
        established() {},
        data: (bytes) => {
          connection.write(copyBytes(bytes), nowUs());
          connection.consumed(bytes.length);
        },
        end: () => connection.end(nowUs()),
        writable() {},
        closed() {},
      },
      nowUs(),
    );
    return connection;
  }

  #tick(): void {
    const now = nowUs();
    let next = Number.POSITIVE_INFINITY;
    for (const [key, connection] of this.#connections) {
      if (connection.deadline <= now) connection.timeout(now);
      connection.flush(now);
      if (connection.state === 'closed') this.#connections.delete(key);
      else next = Math.min(next, connection.deadline);
    }
    this.#alarm.set(next);
  }
}
