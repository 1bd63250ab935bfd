/**
 * For tests: two connections joined by a simulated link that loses, delays, reorders, duplicates
 * and corrupts, all from one seed. Segments cross it as real frames, built and parsed.
 */
import { assert } from '../../base/assert.ts';
import type { SeededRandom } from '../../base/random.ts';
import { emptyIpv4Header, parseIpv4 } from '../frames/ipv4.ts';
import { emptySegment, parseTcp } from '../frames/tcp-segment.ts';
import { TcpConnection } from './connection.ts';
import { TCP_OPTIONS, type TcpEnd, type TcpOptions } from './options.ts';
import { SegmentFrames } from './segment-frame.ts';

export interface LinkFaults {
  readonly loss: number;
  readonly duplicate: number;
  readonly reorder: number;
  readonly corrupt: number;
  readonly delayUs: number;
  readonly jitterUs: number;
}

export const PERFECT: LinkFaults = {
  loss: 0,
  duplicate: 0,
  reorder: 0,
  corrupt: 0,
  delayUs: 100,
  jitterUs: 0,
};

/** One end: sends `toSend`, ends, and consumes what arrives at its own pace. */
export class Endpoint {
  readonly connection: TcpConnection;
  readonly received: Uint8Array[] = [];
  receivedBytes = 0;
  unconsumed = 0;
  unconsumedMax = 0;
  bufferedMax = 0;
  sent = 0;
  writable = true;
  established = false;
  peerEnded = false;
  ended = false;
  closed: TcpEnd | undefined;
  segments = 0;
  readonly toSend: Uint8Array;
  readonly chunkBytes: number;

  constructor(
    link: Link,
    side: 0 | 1,
    toSend: Uint8Array,
    chunkBytes: number,
    options: Partial<TcpOptions>,
    initial: number,
  ) {
    this.toSend = toSend;
    this.chunkBytes = chunkBytes;
    const all = { ...TCP_OPTIONS, ...options };
    const frames = new SegmentFrames(all.mss);
    const envelope = {
      sourceMac: 2 + side,
      destinationMac: 3 - side,
      source: 10 + side,
      destination: 11 - side,
    };
    this.connection = new TcpConnection(
      all,
      {
        send: (segment, queue, offset, length) => {
          segment.sourcePort = 1000 + side;
          segment.destinationPort = 1001 - side;
          this.segments++;
          link.transmit(side, frames.write(envelope, segment, queue, offset, length));
        },
        established: () => {
          this.established = true;
        },
        data: (bytes) => {
          this.received.push(bytes);
          this.receivedBytes += bytes.length;
          this.unconsumed += bytes.length;
          this.unconsumedMax = Math.max(this.unconsumedMax, this.unconsumed);
        },
        end: () => {
          this.peerEnded = true;
        },
        writable: () => {
          this.writable = true;
        },
        closed: (why) => {
          this.closed = why;
        },
      },
      initial,
    );
  }

  /** What a host would do: write while there is room, end after the last byte. */
  pump(now: number): void {
    while (this.writable && this.sent < this.toSend.length) {
      const chunk = this.toSend.subarray(this.sent, this.sent + this.chunkBytes);
      this.sent += chunk.length;
      this.writable = this.connection.write(chunk, now);
      this.bufferedMax = Math.max(this.bufferedMax, this.connection.buffered);
    }
    if (this.sent === this.toSend.length && !this.ended) {
      this.ended = true;
      this.connection.end(now);
    }
  }

  consume(bytes: number): void {
    const part = Math.min(bytes, this.unconsumed);
    this.unconsumed -= part;
    if (part > 0) this.connection.consumed(part);
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.receivedBytes);
    let at = 0;
    for (const part of this.received) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

interface InFlight {
  readonly at: number;
  readonly order: number;
  readonly to: 0 | 1;
  readonly frame: Uint8Array;
}

export class Link {
  now = 0;
  /** The option is lost on the way: neither end may use SACK. */
  withoutSack = false;
  faults: LinkFaults;
  readonly ends: [Endpoint, Endpoint];
  readonly #random: SeededRandom;
  readonly #flying: InFlight[] = [];
  readonly #ip = emptyIpv4Header();
  readonly #segment = emptySegment();
  #order = 0;

  constructor(
    random: SeededRandom,
    faults: LinkFaults,
    data: readonly [Uint8Array, Uint8Array],
    options: Partial<TcpOptions> = {},
    chunkBytes = 10_000,
  ) {
    this.#random = random;
    this.faults = faults;
    this.ends = [
      new Endpoint(this, 0, data[0], chunkBytes, options, random.u32()),
      new Endpoint(this, 1, data[1], chunkBytes, options, random.u32()),
    ];
  }

  transmit(from: 0 | 1, frame: Uint8Array): void {
    const { loss, duplicate, reorder, corrupt, delayUs, jitterUs } = this.faults;
    const copies = this.#random.chance(duplicate) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.#random.chance(loss)) continue;
      const bytes = frame.slice();
      if (this.#random.chance(corrupt)) {
        const at = this.#random.below(bytes.length);
        bytes[at] = bytes[at]! ^ (1 << this.#random.below(8));
      }
      let at = this.now + delayUs + (jitterUs > 0 ? this.#random.below(jitterUs) : 0);
      if (this.#random.chance(reorder)) at += this.#random.below(5 * delayUs + 1000);
      this.#flying.push({ at, order: this.#order++, to: from === 0 ? 1 : 0, frame: bytes });
    }
  }

  /** One event: a delivery or a timer, whichever comes first. @returns false if there is none */
  step(): boolean {
    for (const end of this.ends) end.pump(this.now);
    let next: InFlight | undefined;
    for (const packet of this.#flying) {
      if (next === undefined || packet.at < next.at) next = packet;
      else if (packet.at === next.at && packet.order < next.order) next = packet;
    }
    const timer = Math.min(this.ends[0].connection.deadline, this.ends[1].connection.deadline);
    const at = Math.min(next?.at ?? Number.POSITIVE_INFINITY, timer);
    if (at === Number.POSITIVE_INFINITY) return false;
    this.now = Math.max(this.now, at);
    if (next !== undefined && next.at <= timer) {
      this.#flying.splice(this.#flying.indexOf(next), 1);
      this.#deliver(next);
    } else {
      for (const { connection } of this.ends) {
        if (connection.deadline <= this.now) connection.timeout(this.now);
        connection.flush(this.now);
      }
    }
    assert(
      this.ends.every(({ connection }) => connection.isConsistent),
      'the records of what was sent do not cover it',
    );
    return true;
  }

  #deliver({ to, frame }: InFlight): void {
    const { connection } = this.ends[to];
    const segment = this.#segment;
    if (!parseIpv4(frame, 14, this.#ip) || !parseTcp(frame, this.#ip, segment)) return;
    if (this.withoutSack) segment.sackPermitted = false;
    if (connection.state === 'closed' && this.#segment.flags === 2 && this.onSyn?.()) {
      connection.listen(this.#segment);
      connection.accept(this.now);
      return;
    }
    connection.receive(this.#segment, frame, this.now);
    connection.flush(this.now);
  }

  /** Whether a closed end takes a SYN as a listener would. */
  onSyn: (() => boolean) | undefined;

  /** Opens from end 0; end 1 listens, once. */
  open(): void {
    let listening = true;
    this.onSyn = () => {
      const was = listening;
      listening = false;
      return was;
    };
    this.ends[0].connection.connect(this.now);
  }

  get idle(): boolean {
    return this.#flying.length === 0;
  }
}
