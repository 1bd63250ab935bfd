/**
 * The sending half of a connection: what to send now, what to send again, and when.
 *
 * Windows of peer and congestion (RFC 5681), losses by SACK and the order of transmissions (RFC
 * 8985) or by duplicate acknowledgements where the peer has no SACK (RFC 6582), a probe for a lost
 * tail, time-outs (RFC 6298), probes into a closed window (RFC 9293, 3.8.6.1). The host's stream
 * serves programs that have their own idea of small writes, so there is no Nagle delay.
 *
 * Invariant: una <= max, queue offset 0 is the byte at una (once the SYN is acknowledged), and the
 * records of what was sent cover exactly [una, max).
 */
import { FIN, PSH, type TcpSegment } from '../frames/tcp-segment.ts';
import { Congestion } from './congestion.ts';
import { RoundTrip, type RoundTripOptions } from './round-trip.ts';
import { SendQueue } from './send-queue.ts';
import { type SentSegment, SentSegments } from './sent-segments.ts';
import { advance, distance, isAfter, isBefore, type Sequence } from './sequence.ts';

/** With doubling waits this is minutes: a guest that is gone for good is given up. */
const RETRIES_MAX = 12;
const DUPLICATES_MAX = 3;
/** A peer may hold back the acknowledgement of a lone segment this long (Linux: 40 ms). */
const PEER_ACK_DELAY_US = 50_000;
const GRANULARITY_US = 1000;
const NEVER = Number.POSITIVE_INFINITY;

/** Sends `length` bytes of the queue from `offset` on, as sequence number `sequence`. */
export type Emit = (sequence: Sequence, flags: number, offset: number, length: number) => void;

export class TcpSender {
  /** First byte not acknowledged. */
  una: Sequence;
  /** Behind the last ever sent. */
  max: Sequence;
  readonly queue = new SendQueue();
  readonly roundTrip: RoundTrip;
  sackPermitted = false;
  readonly #emitSegment: Emit;
  readonly #sent = new SentSegments();
  #mss: number;
  #congestion: Congestion;
  #window = 0;
  #windowMax = 0;
  #windowSequence: Sequence = 0;
  #windowAcknowledgement: Sequence = 0;
  #closing = false;
  #finEnd: Sequence | undefined;
  #retries = 0;
  #duplicates = 0;
  /** Between a loss and the acknowledgement of all that was under way when it was found. */
  #recovering = false;
  #recoverTo: Sequence = 0;
  /** When to look for losses again, to probe for a lost tail, to time out, to probe the window. */
  #lossAt = NEVER;
  #tailAt = NEVER;
  #timeoutAt = NEVER;
  #persistAt = NEVER;

  constructor(initial: Sequence, mss: number, roundTrip: RoundTripOptions, emit: Emit) {
    this.una = initial;
    this.max = initial;
    this.#mss = mss;
    this.#congestion = new Congestion(mss);
    this.roundTrip = new RoundTrip(roundTrip);
    this.#emitSegment = emit;
  }

  /** When `timeout` is to be called. */
  get timerAt(): number {
    return Math.min(this.#lossAt, this.#tailAt, this.#timeoutAt, this.#persistAt);
  }

  /** The SYN leaves; it takes one sequence number. @returns when to send it again */
  synSent(now: number): number {
    if (this.max === this.una) this.roundTrip.sent(this.una, 1, now);
    else this.roundTrip.retransmitted();
    this.max = advance(this.una, 1);
    return now + this.roundTrip.timeoutUs;
  }

  /** The peer has acknowledged our SYN, and said what it can take. */
  opened(peer: { mss: number; window: number; segment: TcpSegment }, now: number): void {
    this.roundTrip.acknowledged(this.max, now);
    this.una = this.max;
    this.#mss = Math.min(this.#mss, peer.mss);
    this.#congestion = new Congestion(this.#mss);
    this.#window = peer.window;
    this.#windowMax = peer.window;
    this.#windowSequence = peer.segment.sequence;
    this.#windowAcknowledgement = peer.segment.acknowledgement;
  }

  get flight(): number {
    return distance(this.max, this.una);
  }

  get finAcknowledged(): boolean {
    return this.#finEnd !== undefined && !isBefore(this.una, this.#finEnd);
  }

  /** No more bytes will be pushed: a FIN follows the last. */
  close(): void {
    this.#closing = true;
  }

  /** The connection is over: nothing is kept, no timer runs. */
  clear(): void {
    this.queue.clear();
    this.#sent.clear();
    this.#stopTimers();
  }

  /**
   * Takes the acknowledgement, window and SACK blocks of a segment. `output` is to follow.
   * @param window scaled
   * @param pure whether the segment has neither payload nor SYN nor FIN
   * @returns false if it acknowledges what was never sent
   */
  acknowledge(segment: TcpSegment, window: number, pure: boolean, now: number): boolean {
    const acknowledgement = segment.acknowledgement;
    if (isAfter(acknowledgement, this.max)) return false;
    if (isBefore(acknowledgement, this.una)) return true;
    const windowChanged = this.#takeWindow(segment, window);
    // A peer that answers lives, however long it keeps its window closed.
    if (this.#persistAt !== NEVER || this.#window === 0) this.#retries = 0;
    const advanced = acknowledgement !== this.una;
    if (advanced) this.#advance(acknowledgement, now);
    if (this.#sent.isEmpty) return true;
    if (this.sackPermitted) {
      const roundTripUs = this.roundTrip.smoothedUs;
      for (let i = 0; i < segment.sackCount; i++) {
        const left = segment.sack[i * 2]!;
        const right = segment.sack[i * 2 + 1]!;
        if (isAfter(left, this.una) && !isAfter(right, this.max)) {
          this.#sent.sacked(left, right, now, roundTripUs);
        }
      }
      // While all arrives in sequence there is nothing to find.
      if (segment.sackCount > 0 || this.#recovering || this.#lossAt !== NEVER) this.#detect(now);
    } else if (pure && !advanced && !windowChanged) {
      this.#duplicate();
    }
    return true;
  }

  #takeWindow(segment: TcpSegment, window: number): boolean {
    const { sequence, acknowledgement } = segment;
    const newer =
      isBefore(this.#windowSequence, sequence) ||
      (this.#windowSequence === sequence &&
        !isBefore(acknowledgement, this.#windowAcknowledgement));
    if (!newer) return false;
    const changed = window !== this.#window;
    this.#window = window;
    this.#windowMax = Math.max(this.#windowMax, window);
    this.#windowSequence = sequence;
    this.#windowAcknowledgement = acknowledgement;
    return changed;
  }

  #advance(acknowledgement: Sequence, now: number): void {
    const bytes = distance(acknowledgement, this.una);
    const limited = this.#sent.pipe + 2 * this.#mss > this.#congestion.window;
    this.queue.drop(Math.min(bytes, this.queue.length));
    this.una = acknowledgement;
    this.roundTrip.acknowledged(acknowledgement, now);
    this.#sent.acknowledged(acknowledgement, now, this.roundTrip.smoothedUs);
    this.#retries = 0;
    this.#duplicates = 0;
    if (this.#recovering && !isBefore(acknowledgement, this.#recoverTo)) this.#recovering = false;
    // A partial acknowledgement without SACK: the next hole begins right here (RFC 6582).
    else if (this.#recovering && !this.sackPermitted) this.#sent.loseFirst();
    // After a time-out the window grows also while the holes are filled.
    if (!this.#recovering || this.#congestion.isSlowStart) {
      this.#congestion.onAcknowledged(bytes, limited);
    }
    this.#stopTimers();
    if (!this.#sent.isEmpty) {
      this.#timeoutAt = now + this.roundTrip.timeoutUs;
      this.#armTail(now);
    }
  }

  #detect(now: number): void {
    const delayUs = Math.max(this.roundTrip.smoothedUs * 1.125, GRANULARITY_US);
    this.#lossAt = this.#sent.detect(now, delayUs);
    if (this.#sent.hasLost) this.#enterRecovery();
  }

  #duplicate(): void {
    this.#duplicates++;
    // With few segments in flight there cannot be three duplicates (early retransmit, RFC 5827).
    const enough = Math.max(1, Math.min(DUPLICATES_MAX, this.#sent.length - 1));
    if (this.#recovering || this.#duplicates < enough) return;
    this.#sent.loseFirst();
    this.#enterRecovery();
  }

  /** The congestion window is halved once for all that is lost in one flight. */
  #enterRecovery(): void {
    if (this.#recovering) return;
    this.#recovering = true;
    this.#recoverTo = this.max;
    this.#congestion.enterRecovery(this.flight);
  }

  /** Sends what the windows allow: first what is lost, then what is new. */
  output(now: number): void {
    const { window } = this.#congestion;
    let sent = false;
    for (let lost = this.#sent.firstLost(); lost; lost = this.#sent.firstLost()) {
      if (this.#sent.pipe > 0 && this.#sent.pipe + distance(lost.end, lost.start) > window) break;
      this.#sendAgain(lost, now);
      sent = true;
    }
    if (!this.#sent.hasLost) while (this.#sendNext(now, window - this.#sent.pipe)) sent = true;
    if (sent) {
      if (this.#timeoutAt === NEVER) this.#timeoutAt = now + this.roundTrip.timeoutUs;
      this.#armTail(now);
      this.#persistAt = NEVER;
    } else if (this.#sent.isEmpty && this.#persistAt === NEVER && this.#hasUnsent) {
      this.#persistAt = now + this.roundTrip.timeoutUs;
    }
  }

  get #hasUnsent(): boolean {
    return this.queue.length > 0 || (this.#closing && this.#finEnd === undefined);
  }

  /**
   * Sends the next segment in sequence if there is one and it may go.
   * @param allowance what congestion control allows, in bytes
   */
  #sendNext(now: number, allowance: number): boolean {
    if (this.#finEnd !== undefined) return false;
    const unsent = this.queue.length - this.flight;
    if (unsent === 0 && !this.#closing) return false;
    const room = Math.min(allowance, this.#window - this.flight);
    if (room <= 0) return false;
    const length = Math.min(unsent, this.#mss, room);
    // Silly window syndrome, the sender's part (RFC 9293, 3.8.6.2.1).
    if (length < unsent && length < this.#mss && length < this.#windowMax >> 1) return false;
    this.#sendNew(length, now);
    return true;
  }

  #sendNew(length: number, now: number): void {
    const start = this.max;
    const offset = this.flight;
    const last = offset + length === this.queue.length;
    const fin = last && this.#closing;
    this.max = advance(start, length + (fin ? 1 : 0));
    if (fin) this.#finEnd = this.max;
    this.#sent.sent(start, this.max, now);
    this.roundTrip.sent(start, distance(this.max, start), now);
    this.#emitSegment(start, (fin ? FIN : 0) | (last ? PSH : 0), offset, length);
  }

  #sendAgain(segment: SentSegment, now: number): void {
    const { start, end } = segment;
    const fin = end === this.#finEnd;
    const offset = distance(start, this.una);
    const length = distance(end, start) - (fin ? 1 : 0);
    const last = offset + length === this.queue.length;
    this.#sent.sentAgain(segment, now);
    this.roundTrip.retransmitted();
    this.#emitSegment(start, (fin ? FIN : 0) | (last ? PSH : 0), offset, length);
  }

  /** One probe, two round trips after the last transmission, shows what of the tail is lost. */
  #armTail(now: number): void {
    const roundTripUs = this.roundTrip.smoothedUs;
    if (roundTripUs === 0 || this.#retries > 0 || !this.sackPermitted) return;
    const alone = this.#sent.length === 1 ? PEER_ACK_DELAY_US : 0;
    this.#tailAt = now + 2 * roundTripUs + GRANULARITY_US + alone;
  }

  /** A timer has expired. `output` is to follow. @returns false if the peer is to be given up */
  timeout(now: number): boolean {
    if (now >= this.#lossAt) this.#detect(now);
    if (now >= this.#timeoutAt) {
      if (++this.#retries > RETRIES_MAX) return false;
      this.roundTrip.backOff();
      this.#congestion.onTimeout(this.flight);
      this.#startOver(now, this.#retries > 1);
    } else if (now >= this.#tailAt) {
      this.#tailAt = NEVER;
      this.#probeTail(now);
    }
    if (now >= this.#persistAt) {
      if (++this.#retries > RETRIES_MAX) return false;
      this.roundTrip.backOff();
      this.#probeWindow(now);
    }
    return true;
  }

  #probeTail(now: number): void {
    const last = this.#sent.lastMissing();
    if (last === undefined || this.#sent.hasLost) return;
    this.#sendAgain(last, now);
    this.#timeoutAt = now + this.roundTrip.timeoutUs;
  }

  /** The guest has a new place: what is under way to the old one is lost, so go again at once. */
  retransmitNow(now: number): void {
    if (this.#sent.isEmpty && this.#persistAt === NEVER) return;
    this.roundTrip.resetBackoff();
    this.#congestion.onMoved();
    this.#retries = 0;
    if (this.#sent.isEmpty) this.#probeWindow(now);
    else this.#startOver(now, true);
    this.output(now);
  }

  /** All that is under way counts as lost. */
  #startOver(now: number, renege: boolean): void {
    this.#recovering = true;
    this.#recoverTo = this.max;
    this.#duplicates = 0;
    this.#sent.loseAll(renege);
    this.#stopTimers();
    this.#timeoutAt = now + this.roundTrip.timeoutUs;
  }

  /** A closed window: a segment that the peer must answer, with bytes if it may have some. */
  #probeWindow(now: number): void {
    const length = Math.min(this.#window, this.#mss, this.queue.length);
    if (length > 0) {
      this.#persistAt = NEVER;
      this.#sendNew(length, now);
      this.#timeoutAt = now + this.roundTrip.timeoutUs;
    } else {
      this.#persistAt = now + this.roundTrip.timeoutUs;
      this.#emitSegment(advance(this.una, -1), 0, 0, 0);
    }
  }

  #stopTimers(): void {
    this.#lossAt = NEVER;
    this.#tailAt = NEVER;
    this.#timeoutAt = NEVER;
    this.#persistAt = NEVER;
  }

  /** For tests: the invariant above. */
  get isConsistent(): boolean {
    return this.#sent.covers(this.una, this.max);
  }
}
