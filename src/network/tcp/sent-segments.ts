/**
 * What was sent and is not acknowledged: one record for each segment, in sequence, and what has
 * become of it. Losses are told by the order of transmissions, not of sequence numbers (RACK,
 * RFC 8985; RFC 9002, 6.1): a segment is lost if one that was sent three transmissions later, or a
 * good round trip later, has arrived. So a retransmission that is lost is found like any other loss.
 *
 * Invariant: the records cover [una, max) without gap or overlap, and `pipe` is the sum of those in
 * flight.
 */
import { advance, distance, isAfter, isBefore, type Sequence } from './sequence.ts';

const IN_FLIGHT = 0;
const SACKED = 1;
const LOST = 2;

const ORDER_THRESHOLD = 3;

export interface SentSegment {
  start: Sequence;
  end: Sequence;
  /** Numbers transmissions: a segment sent again gets a new one. */
  order: number;
  sentAt: number;
  again: boolean;
  state: number;
}

export class SentSegments {
  readonly #segments: SentSegment[] = [];
  /** Records that are done with, to be used again. */
  readonly #spare: SentSegment[] = [];
  #order = 0;
  /** The latest transmission that is known to have arrived. */
  #arrived = -1;
  #lost = 0;
  /** Bytes in flight: neither arrived nor lost. */
  pipe = 0;

  get isEmpty(): boolean {
    return this.#segments.length === 0;
  }

  get length(): number {
    return this.#segments.length;
  }

  get hasLost(): boolean {
    return this.#lost > 0;
  }

  sent(start: Sequence, end: Sequence, now: number): void {
    const order = this.#order++;
    const segment = this.#spare.pop() ?? { start, end, order, sentAt: now, again: false, state: 0 };
    segment.start = start;
    segment.end = end;
    segment.order = order;
    segment.sentAt = now;
    segment.again = false;
    segment.state = IN_FLIGHT;
    this.#segments.push(segment);
    this.pipe += distance(end, start);
  }

  sentAgain(segment: SentSegment, now: number): void {
    if (segment.state === LOST) this.#lost--;
    if (segment.state !== IN_FLIGHT) this.pipe += distance(segment.end, segment.start);
    segment.state = IN_FLIGHT;
    segment.order = this.#order++;
    segment.sentAt = now;
    segment.again = true;
  }

  /** Everything before `una` has arrived. */
  acknowledged(una: Sequence, now: number, roundTripUs: number): void {
    const segments = this.#segments;
    let done = 0;
    for (; done < segments.length && !isAfter(segments[done]!.end, una); done++) {
      this.#arrive(segments[done]!, now, roundTripUs);
      this.#spare.push(segments[done]!);
    }
    if (done > 0) segments.splice(0, done);
    const first = segments[0];
    if (first !== undefined && isBefore(first.start, una)) {
      if (first.state === IN_FLIGHT) this.pipe -= distance(una, first.start);
      first.start = una;
    }
  }

  /** The peer has [left, right) already. @returns whether that was news */
  sacked(left: Sequence, right: Sequence, now: number, roundTripUs: number): boolean {
    let news = false;
    for (const segment of this.#segments) {
      if (!isBefore(segment.start, right)) break;
      if (segment.state === SACKED || isBefore(segment.start, left)) continue;
      if (isAfter(segment.end, right)) break;
      this.#arrive(segment, now, roundTripUs);
      segment.state = SACKED;
      news = true;
    }
    return news;
  }

  #arrive(segment: SentSegment, now: number, roundTripUs: number): void {
    if (segment.state === SACKED) return;
    if (segment.state === LOST) this.#lost--;
    else this.pipe -= distance(segment.end, segment.start);
    // So soon after it was sent again, it was the first one that has arrived.
    if (segment.again && now - segment.sentAt < roundTripUs / 2) return;
    this.#arrived = Math.max(this.#arrived, segment.order);
  }

  /**
   * Finds what is lost by now.
   * @param delayUs how much later than others a segment may arrive
   * @returns when to look again; Infinity if nothing is overdue
   */
  detect(now: number, delayUs: number): number {
    let again = Number.POSITIVE_INFINITY;
    for (const segment of this.#segments) {
      if (segment.state !== IN_FLIGHT || segment.order > this.#arrived) continue;
      const overdueAt = segment.sentAt + delayUs;
      if (segment.order <= this.#arrived - ORDER_THRESHOLD || overdueAt <= now) this.#lose(segment);
      else again = Math.min(again, overdueAt);
    }
    return again;
  }

  #lose(segment: SentSegment): void {
    if (segment.state === LOST) return;
    if (segment.state === IN_FLIGHT) this.pipe -= distance(segment.end, segment.start);
    segment.state = LOST;
    this.#lost++;
  }

  loseFirst(): void {
    if (this.#segments[0]?.state === IN_FLIGHT) this.#lose(this.#segments[0]);
  }

  /** @param renege whether also what the peer once said to have is to be sent again */
  loseAll(renege: boolean): void {
    for (const segment of this.#segments) {
      if (renege || segment.state === IN_FLIGHT) this.#lose(segment);
    }
  }

  firstLost(): SentSegment | undefined {
    if (this.#lost === 0) return undefined;
    return this.#segments.find(({ state }) => state === LOST);
  }

  /** The last one that has not arrived: what a probe for a lost tail repeats. */
  lastMissing(): SentSegment | undefined {
    return this.#segments.findLast(({ state }) => state !== SACKED);
  }

  clear(): void {
    this.#segments.length = 0;
    this.#lost = 0;
    this.pipe = 0;
  }

  /** For tests: the invariant above. */
  covers(una: Sequence, max: Sequence): boolean {
    let at = una;
    let pipe = 0;
    for (const { start, end, state } of this.#segments) {
      if (start !== at || !isBefore(start, end)) return false;
      at = end;
      if (state === IN_FLIGHT) pipe += distance(end, start);
    }
    return at === advance(max, 0) && pipe === this.pipe;
  }
}
