/**
 * TCP through the gateway: for each connection of a guest a stream, which ends here and goes on as
 * a socket of the host. Outbound: the guest's SYN waits until the host has connected. Inbound: the
 * host has accepted on a published port, and the gateway connects to the guest.
 *
 * Invariant: a stream is known by its number until the host was told `closed`, and by its four-tuple
 * until its connection is closed, TIME-WAIT included. Both tables are bounded.
 */

import type { Ipv4Header } from '../frames/ipv4.ts';
import {
  ACK,
  emptySegment,
  FIN,
  parseTcp,
  RST,
  SYN,
  type TcpSegment,
} from '../frames/tcp-segment.ts';
import { TcpConnection } from '../tcp/connection.ts';
import type { TcpEnd, TcpOptions } from '../tcp/options.ts';
import { type SegmentEnvelope, SegmentFrames } from '../tcp/segment-frame.ts';
import { SendQueue } from '../tcp/send-queue.ts';
import { advance } from '../tcp/sequence.ts';
import type { Ipv4, Mac } from '../wire.ts';
import type { Translate } from './datagrams.ts';
import { type Deadline, Deadlines } from './deadlines.ts';
import { FourTuples } from './four-tuples.ts';
import type { Neighbour, Neighbours } from './neighbours.ts';
import type { ConnectFailure, GatewayPorts, StreamId } from './ports.ts';

export interface TcpStreamsOptions {
  readonly tcp: TcpOptions;
  readonly mac: Mac;
  /** The gateway's own address: where inbound connections seem to come from. */
  readonly address: Ipv4;
  readonly connectionsMax: number;
  readonly connectionsPerGuestMax: number;
}

const EPHEMERAL_FIRST = 49_152;
const EPHEMERAL_COUNT = 65_536 - EPHEMERAL_FIRST;
const noQueue = new SendQueue();

/** One connection of one guest. */
class Stream implements Deadline {
  readonly id: StreamId;
  readonly guest: Neighbour;
  readonly guestPort: number;
  readonly remote: Ipv4;
  readonly remotePort: number;
  readonly connection: TcpConnection;
  scheduledAt = Number.POSITIVE_INFINITY;
  touched = false;
  reported = false;

  constructor(
    id: StreamId,
    guest: Neighbour,
    guestPort: number,
    remote: Ipv4,
    remotePort: number,
    connect: (stream: Stream) => TcpConnection,
  ) {
    this.id = id;
    this.guest = guest;
    this.guestPort = guestPort;
    this.remote = remote;
    this.remotePort = remotePort;
    this.connection = connect(this);
  }

  get deadline(): number {
    return this.connection.deadline;
  }
}

export class TcpStreams {
  readonly #options: TcpStreamsOptions;
  readonly #ports: GatewayPorts;
  readonly #neighbours: Neighbours;
  readonly #translate: Translate;
  readonly #byId = new Map<StreamId, Stream>();
  readonly #tuples = new FourTuples<Stream>();
  readonly #streams = new Set<Stream>();
  readonly #deadlines = new Deadlines<Stream>();
  #touched: Stream[] = [];
  #last: Stream | undefined;
  #nextId: StreamId = 1;
  #nextPort: number;
  /** The time of the call under way, for what is sent out of it. */
  #now = 0;
  readonly #segment = emptySegment();
  readonly #frames: SegmentFrames;
  readonly #envelope: SegmentEnvelope;

  /** @param translate where the host shall connect for what a guest asked; undefined: refused */
  constructor(
    options: TcpStreamsOptions,
    ports: GatewayPorts,
    neighbours: Neighbours,
    translate: Translate,
  ) {
    this.#options = options;
    this.#ports = ports;
    this.#neighbours = neighbours;
    this.#translate = translate;
    this.#nextPort = ports.random32() % EPHEMERAL_COUNT;
    this.#frames = new SegmentFrames(options.tcp.mss);
    this.#envelope = { sourceMac: options.mac, destinationMac: 0, source: 0, destination: 0 };
  }

  get size(): number {
    return this.#streams.size;
  }

  get next(): number {
    return this.#deadlines.next;
  }

  /** A TCP packet of a guest; `guest` is where it came from. */
  receive(frame: Uint8Array, ip: Ipv4Header, guest: Neighbour, now: number): void {
    const segment = this.#segment;
    if (!parseTcp(frame, ip, segment)) return;
    this.#now = now;
    const { sourcePort, destinationPort } = segment;
    let stream = this.#last;
    if (
      stream === undefined ||
      stream.guestPort !== sourcePort ||
      stream.remotePort !== destinationPort ||
      stream.remote !== ip.destination ||
      stream.guest !== guest
    ) {
      stream = this.#tuples.get(ip.source, sourcePort, ip.destination, destinationPort);
    }
    const opens = (segment.flags & (SYN | ACK | RST)) === SYN;
    if (stream !== undefined && opens && stream.connection.state === 'time-wait') {
      // The guest uses the port again (RFC 9293, 3.6.1): the old connection is over for it.
      this.#forget(stream);
      stream = undefined;
    }
    if (stream !== undefined) {
      this.#last = stream;
      stream.connection.receive(segment, frame, now);
      this.#touch(stream);
    } else if (opens) {
      this.#listen(segment, ip, guest);
    } else if (!(segment.flags & RST)) {
      this.#refuse(segment, ip, guest);
    }
  }

  #listen(syn: TcpSegment, ip: Ipv4Header, guest: Neighbour): void {
    const target = this.#translate(ip.destination, syn.destinationPort);
    if (target === undefined) {
      this.#refuse(syn, ip, guest);
      return;
    }
    const stream = this.#add(guest, syn.sourcePort, ip.destination, syn.destinationPort);
    if (stream === undefined) return;
    stream.connection.listen(syn);
    this.#ports.connect(stream.id, target.address, target.port);
  }

  /** @returns undefined if the tables are full; the guest's SYN will come again */
  #add(guest: Neighbour, guestPort: number, remote: Ipv4, remotePort: number): Stream | undefined {
    const { connectionsMax, connectionsPerGuestMax, tcp } = this.#options;
    if (this.#streams.size >= connectionsMax || guest.connections >= connectionsPerGuestMax) {
      if (!this.#forgetOneInTimeWait(guest)) return undefined;
    }
    const id = this.#nextId++;
    const stream = new Stream(id, guest, guestPort, remote, remotePort, (self) => {
      const ports = this.#ports;
      return new TcpConnection(
        tcp,
        {
          send: (segment, queue, offset, length) =>
            this.#send(self, segment, queue, offset, length),
          established() {},
          data: (bytes) => ports.data(id, bytes),
          end: () => ports.end(id),
          writable: () => ports.writable(id),
          closed: (why) => this.#report(self, why),
        },
        ports.random32(),
      );
    });
    this.#byId.set(id, stream);
    this.#streams.add(stream);
    this.#tuples.set(guest.address, guestPort, remote, remotePort, stream);
    guest.connections++;
    return stream;
  }

  #forgetOneInTimeWait(guest: Neighbour): boolean {
    const ofGuest = guest.connections >= this.#options.connectionsPerGuestMax;
    for (const stream of this.#streams) {
      if (stream.connection.state !== 'time-wait' || (ofGuest && stream.guest !== guest)) continue;
      this.#forget(stream);
      return true;
    }
    return false;
  }

  #forget(stream: Stream): void {
    if (!this.#streams.delete(stream)) return;
    this.#byId.delete(stream.id);
    this.#tuples.delete(stream.guest.address, stream.guestPort, stream.remote, stream.remotePort);
    stream.guest.connections--;
    if (this.#last === stream) this.#last = undefined;
  }

  #report(stream: Stream, why: TcpEnd): void {
    stream.reported = true;
    this.#byId.delete(stream.id);
    this.#touch(stream);
    this.#ports.closed(stream.id, why);
  }

  #send(
    stream: Stream,
    segment: TcpSegment,
    queue: SendQueue,
    offset: number,
    length: number,
  ): void {
    const { guest } = stream;
    if (guest.mac === undefined) {
      // Lost like any other segment; it goes again when the answer has come.
      this.#neighbours.ask(guest, this.#now);
      return;
    }
    segment.sourcePort = stream.remotePort;
    segment.destinationPort = stream.guestPort;
    const envelope = this.#envelope;
    envelope.destinationMac = guest.mac;
    envelope.source = stream.remote;
    envelope.destination = guest.address;
    this.#ports.frame(this.#frames.write(envelope, segment, queue, offset, length));
  }

  /** Answers a segment of no connection with a reset (RFC 9293, 3.10.7.1). */
  #refuse(segment: TcpSegment, ip: Ipv4Header, guest: Neighbour): void {
    if (guest.mac === undefined) return;
    const length =
      segment.payloadEnd -
      segment.payloadStart +
      (segment.flags & SYN ? 1 : 0) +
      (segment.flags & FIN ? 1 : 0);
    const reset = emptySegment();
    reset.sourcePort = segment.destinationPort;
    reset.destinationPort = segment.sourcePort;
    if (segment.flags & ACK) {
      reset.sequence = segment.acknowledgement;
      reset.flags = RST;
    } else {
      reset.acknowledgement = advance(segment.sequence, length);
      reset.flags = RST | ACK;
    }
    const envelope = this.#envelope;
    envelope.destinationMac = guest.mac;
    envelope.source = ip.destination;
    envelope.destination = ip.source;
    this.#ports.frame(this.#frames.write(envelope, reset, noQueue, 0, 0));
  }

  /** @returns the stream's number, or undefined if there is no room for it */
  open(guest: Neighbour, guestPort: number, now: number): StreamId | undefined {
    this.#now = now;
    const { address } = this.#options;
    for (let tries = 0; tries < EPHEMERAL_COUNT; tries++) {
      const port = EPHEMERAL_FIRST + this.#nextPort;
      this.#nextPort = (this.#nextPort + 1) % EPHEMERAL_COUNT;
      if (this.#tuples.get(guest.address, guestPort, address, port) !== undefined) continue;
      const stream = this.#add(guest, guestPort, address, port);
      if (stream === undefined) return undefined;
      stream.connection.connect(now);
      this.#touch(stream);
      return stream.id;
    }
    return undefined;
  }

  connected(id: StreamId, now: number): void {
    this.#with(id, now)?.connection.accept(now);
  }

  refused(id: StreamId, why: ConnectFailure, now: number): void {
    const stream = this.#with(id, now);
    if (stream === undefined) return;
    // A guest whose SYN times out on the outside shall see it time out, not be refused.
    if (why === 'timeout') {
      this.#forget(stream);
      this.#ports.closed(id, 'timeout');
    } else {
      stream.connection.abort();
    }
  }

  write(id: StreamId, bytes: Uint8Array, now: number): boolean {
    return this.#with(id, now)?.connection.write(bytes, now) ?? true;
  }

  consumed(id: StreamId, bytes: number, now: number): void {
    this.#with(id, now)?.connection.consumed(bytes);
  }

  end(id: StreamId, now: number): void {
    this.#with(id, now)?.connection.end(now);
  }

  reset(id: StreamId, now: number): void {
    this.#with(id, now)?.connection.abort();
  }

  /** The guest lives at a new place: everything under way to it goes again. */
  retransmitTo(guest: Neighbour, now: number): void {
    this.#now = now;
    for (const stream of this.#streams) {
      if (stream.guest !== guest) continue;
      stream.connection.retransmitNow(now);
      this.#touch(stream);
    }
  }

  /** The guest is gone for good. */
  forgetGuest(guest: Neighbour, now: number): void {
    this.#now = now;
    for (const stream of [...this.#streams]) {
      if (stream.guest !== guest) continue;
      stream.connection.abort();
      this.#forget(stream);
    }
  }

  /** Timers, then the end of the batch for whatever was touched in it. */
  tick(now: number): void {
    this.#now = now;
    for (let stream = this.#deadlines.due(now); stream; stream = this.#deadlines.due(now)) {
      stream.connection.timeout(now);
      this.#touch(stream);
    }
    while (this.#touched.length > 0) {
      const touched = this.#touched;
      this.#touched = [];
      for (const stream of touched) {
        stream.touched = false;
        stream.connection.flush(now);
        if (stream.connection.state === 'closed') this.#forget(stream);
        else this.#deadlines.update(stream);
      }
    }
  }

  #with(id: StreamId, now: number): Stream | undefined {
    this.#now = now;
    const stream = this.#byId.get(id);
    if (stream !== undefined) this.#touch(stream);
    return stream;
  }

  #touch(stream: Stream): void {
    if (stream.touched) return;
    stream.touched = true;
    this.#touched.push(stream);
  }
}
