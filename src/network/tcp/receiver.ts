/**
 * The receiving half of a connection: puts segments in order, hands the bytes to the host in few
 * large pieces, and says how much more may come.
 *
 * Invariants: every byte is handed over exactly once and in order; what lies here, out of order or
 * not yet consumed by the host, never exceeds the window that was advertised; the right edge of the
 * window never moves back (RFC 9293, 3.8.6.2: it advances in useful steps, not byte by byte).
 */
import { SACK_BLOCKS_MAX, type TcpSegment } from '../frames/tcp-segment.ts';
import { copyBytes } from '../wire.ts';
import { advance, distance, isAfter, isBefore, type Sequence } from './sequence.ts';

const SLAB_BYTES_MIN = 4 << 10;
const SLAB_BYTES_MAX = 128 << 10;
/** Islands out of order; one-byte segments must not cost more memory than the window allows. */
const ISLANDS_MAX = 1024;

interface Island {
  readonly sequence: Sequence;
  readonly bytes: Uint8Array;
}

export class TcpReceiver {
  /** RCV.NXT: the next byte expected. */
  next: Sequence = 0;
  /** The peer's FIN, once it was seen: the sequence number behind its last byte. */
  finAt: Sequence | undefined;
  #capacity: number;
  readonly #step: number;
  readonly #deliver: (bytes: Uint8Array) => void;
  /** Highest right edge that was advertised. */
  #edge: Sequence = 0;
  #scale = 0;
  /** Handed to the host and not yet consumed by it. */
  #unconsumed = 0;
  #slab = new Uint8Array(0);
  #slabStart = 0;
  #slabEnd = 0;
  /** Sorted by sequence, not overlapping. */
  readonly #islands: Island[] = [];
  /** The island that grew last: RFC 2018 wants it reported first. */
  #latest: Sequence = 0;

  /**
   * @param capacity bytes that may wait for the host
   * @param mss the step in which the window opens
   */
  constructor(capacity: number, mss: number, deliver: (bytes: Uint8Array) => void) {
    this.#capacity = capacity;
    this.#step = Math.min(mss * 2, capacity >> 1);
    this.#deliver = deliver;
  }

  /** @param first the peer's initial sequence number, its SYN */
  open(first: Sequence): void {
    this.next = advance(first, 1);
    this.#edge = this.next;
  }

  /** The shift of our window field, once both sides have offered one; without it 64 KiB are all. */
  set scale(scale: number) {
    this.#scale = scale;
    this.#capacity = Math.min(this.#capacity, 0xffff << scale);
  }

  get windowRight(): Sequence {
    return this.#edge;
  }

  get hasGap(): boolean {
    return this.#islands.length > 0;
  }

  /** Bytes that lie in order and were not handed over yet. */
  get pending(): number {
    return this.#slabEnd - this.#slabStart;
  }

  #free(): number {
    return Math.max(0, this.#capacity - this.#unconsumed - this.pending);
  }

  /** The window field of the segment that is being sent now; remembers what it promised. */
  advertise(unscaled: boolean): number {
    const scale = unscaled ? 0 : this.#scale;
    const edge = advance(this.next, this.#free());
    if (distance(edge, this.#edge) >= this.#step) this.#edge = edge;
    const window = Math.min(Math.max(0, distance(this.#edge, this.next)) >> scale, 0xffff);
    // With a small window field the promise is what the field could say.
    const promised = advance(this.next, window << scale);
    if (unscaled && isBefore(promised, this.#edge)) this.#edge = promised;
    return window;
  }

  /** Whether a window update would tell the peer something worth a segment. */
  get windowHasOpened(): boolean {
    const gain = distance(advance(this.next, this.#free()), this.#edge);
    const left = distance(this.#edge, this.next);
    return gain >= this.#capacity >> 2 || (gain >= this.#step && left < this.#step);
  }

  consumed(bytes: number): void {
    this.#unconsumed = Math.max(0, this.#unconsumed - bytes);
  }

  /**
   * Takes the payload `frame[start, end)` that begins at `sequence`.
   * @returns whether it was the next in order; otherwise it wants an acknowledgement at once
   */
  accept(sequence: Sequence, frame: Uint8Array, start: number, end: number): boolean {
    const old = distance(this.next, sequence);
    if (old > 0) {
      start += old;
      sequence = this.next;
    }
    const beyond = distance(advance(sequence, end - start), this.#edge);
    if (beyond > 0) end -= beyond;
    if (start >= end) return false;
    if (sequence !== this.next) {
      this.#keep(sequence, frame.subarray(start, end));
      return false;
    }
    const filledGap = this.hasGap;
    this.#append(frame, start, end);
    if (filledGap) this.#joinIslands();
    return !filledGap && old <= 0;
  }

  /** Hands over what lies in order. */
  flush(): void {
    if (this.pending === 0) return;
    const bytes = this.#slab.subarray(this.#slabStart, this.#slabEnd);
    this.#slabStart = this.#slabEnd;
    this.#unconsumed += bytes.length;
    this.#deliver(bytes);
  }

  #append(frame: Uint8Array, start: number, end: number): void {
    this.next = advance(this.next, end - start);
    while (start < end) {
      if (this.#slabEnd === this.#slab.length) {
        this.flush();
        const bytes = Math.min(SLAB_BYTES_MAX, Math.max(SLAB_BYTES_MIN, this.#slab.length * 2));
        this.#slab = new Uint8Array(bytes);
        this.#slabStart = 0;
        this.#slabEnd = 0;
      }
      const part = Math.min(end - start, this.#slab.length - this.#slabEnd);
      this.#slab.set(frame.subarray(start, start + part), this.#slabEnd);
      this.#slabEnd += part;
      start += part;
    }
  }

  /** Keeps the parts of a segment that no island holds yet. */
  #keep(sequence: Sequence, bytes: Uint8Array): void {
    this.#latest = sequence;
    let index = 0;
    const islands = this.#islands;
    while (bytes.length > 0 && islands.length < ISLANDS_MAX) {
      while (index < islands.length && !isAfter(islandEnd(islands[index]!), sequence)) index++;
      const island = islands[index];
      const gap = island === undefined ? bytes.length : distance(island.sequence, sequence);
      if (gap > 0) {
        islands.splice(index++, 0, { sequence, bytes: copyBytes(bytes.subarray(0, gap)) });
      }
      if (island === undefined) return;
      const next = distance(islandEnd(island), sequence);
      sequence = islandEnd(island);
      bytes = bytes.subarray(Math.min(next, bytes.length));
    }
  }

  #joinIslands(): void {
    const islands = this.#islands;
    let joined = 0;
    for (; joined < islands.length && !isAfter(islands[joined]!.sequence, this.next); joined++) {
      const { sequence, bytes } = islands[joined]!;
      const old = distance(this.next, sequence);
      if (old < bytes.length) this.#append(bytes, old, bytes.length);
    }
    islands.splice(0, joined);
  }

  /** Fills in the SACK blocks of an outgoing segment: the latest first (RFC 2018, 4). */
  writeSack(segment: TcpSegment): void {
    const runs = this.#runs();
    const latest = runs.findIndex(
      ({ left, right }) => !isAfter(left, this.#latest) && isBefore(this.#latest, right),
    );
    if (latest > 0) runs.unshift(...runs.splice(latest, 1));
    segment.sackCount = Math.min(runs.length, SACK_BLOCKS_MAX);
    for (let i = 0; i < segment.sackCount; i++) {
      segment.sack[i * 2] = runs[i]!.left;
      segment.sack[i * 2 + 1] = runs[i]!.right;
    }
  }

  /** Islands that touch are one run to the peer. */
  #runs(): { left: Sequence; right: Sequence }[] {
    const runs: { left: Sequence; right: Sequence }[] = [];
    for (const island of this.#islands) {
      const last = runs.at(-1);
      if (last?.right === island.sequence) last.right = islandEnd(island);
      else runs.push({ left: island.sequence, right: islandEnd(island) });
    }
    return runs;
  }
}

function islandEnd(island: Island): Sequence {
  return advance(island.sequence, island.bytes.length);
}
