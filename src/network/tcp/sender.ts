/**
 * The sending half of a connection: what to send now, what to send again, and when.
 *
 * Windows of peer and congestion (RFC 5681), fast recovery guided by SACK where the peer speaks it
 * (RFC 6675) and by duplicate acknowledgements where not (RFC 6582), time-outs (RFC 6298), probes
 * into a closed window (RFC 9293, 3.8.6.1). The host's stream is a service for programs that have
 * their own idea of small writes, so there is no Nagle delay.
 *
 * Invariant: una <= next <= max, and queue offset 0 is the byte at una (once the SYN is acknowledged).
 */
import { FIN, PSH, type TcpSegment } from '../frames/tcp-segment.ts';
import { Congestion } from './congestion.ts';
import { RoundTrip, type RoundTripOptions } from './round-trip.ts';
import { Scoreboard } from './scoreboard.ts';
import { SendQueue } from './send-queue.ts';
import { advance, distance, isAfter, isBefore, type Sequence } from './sequence.ts';

/** With doubling waits this is minutes: a guest that is gone for good is given up. */
const RETRIES_MAX = 12;
const DUPLICATES_MAX = 3;

/** Sends `length` bytes of the queue from `offset` on, as sequence number `sequence`. */
export type Emit = (sequence: Sequence, flags: number, offset: number, length: number) => void;

export class TcpSender {
  /** First byte not acknowledged, next to send, and behind the last ever sent. */
  una: Sequence;
  next: Sequence;
  max: Sequence;
  readonly queue = new SendQueue();
  readonly roundTrip: RoundTrip;
  /** When `timeout` is to be called. */
  timerAt = Number.POSITIVE_INFINITY;
  sackPermitted = false;
  readonly #emitSegment: Emit;
  #mss: number;
  #congestion: Congestion;
  #window = 0;
  #windowMax = 0;
  #windowSequence: Sequence = 0;
  #windowAcknowledgement: Sequence = 0;
  #closing = false;
  #finEnd: Sequence | undefined;
  #retries = 0;
  #persisting = false;
  readonly #scoreboard = new Scoreboard();
  #duplicates = 0;
  #recovering = false;
  #recoverTo: Sequence;
  /** Holes below are sent again already in this recovery. */
  #resent: Sequence = 0;
  /** `max` at the latest resend: once the peer has more than that, what is missing is lost again. */
  #resentBefore: Sequence = 0;

  constructor(initial: Sequence, mss: number, roundTrip: RoundTripOptions, emit: Emit) {
    this.una = initial;
    this.next = initial;
    this.max = initial;
    this.#recoverTo = initial;
    this.#mss = mss;
    this.#congestion = new Congestion(mss);
    this.roundTrip = new RoundTrip(roundTrip);
    this.#emitSegment = emit;
  }

  /** The SYN leaves; it takes one sequence number and the timer. */
  synSent(now: number): void {
    const first = this.next === this.una;
    this.next = advance(this.una, 1);
    this.max = this.next;
    if (first) this.roundTrip.sent(this.una, 1, now);
    else this.roundTrip.retransmitted();
    this.timerAt = now + this.roundTrip.timeoutUs;
  }

  /** The peer has acknowledged our SYN, and said what it can take. */
  opened(peer: { mss: number; window: number; segment: TcpSegment }, now: number): void {
    this.roundTrip.acknowledged(this.max, now);
    this.una = this.max;
    this.#recoverTo = this.max;
    this.#mss = Math.min(this.#mss, peer.mss);
    this.#congestion = new Congestion(this.#mss);
    this.#retries = 0;
    this.#window = peer.window;
    this.#windowMax = peer.window;
    this.#windowSequence = peer.segment.sequence;
    this.#windowAcknowledgement = peer.segment.acknowledgement;
    this.timerAt = Number.POSITIVE_INFINITY;
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

  /**
   * Takes the acknowledgement, window and SACK blocks of a segment.
   * @param window scaled
   * @param pure whether the segment has neither payload nor SYN nor FIN
   * @returns false if it acknowledges what was never sent
   */
  acknowledge(segment: TcpSegment, window: number, pure: boolean, now: number): boolean {
    const acknowledgement = segment.acknowledgement;
    if (isAfter(acknowledgement, this.max)) return false;
    if (isBefore(acknowledgement, this.una)) return true;
    let windowChanged = false;
    if (
      isBefore(this.#windowSequence, segment.sequence) ||
      (this.#windowSequence === segment.sequence &&
        !isBefore(acknowledgement, this.#windowAcknowledgement))
    ) {
      windowChanged = window !== this.#window;
      this.#window = window;
      this.#windowMax = Math.max(this.#windowMax, window);
      this.#windowSequence = segment.sequence;
      this.#windowAcknowledgement = acknowledgement;
    }
    // A peer that answers lives, however long it keeps its window closed.
    if (this.#persisting || this.#window === 0) this.#retries = 0;
    const advanced = acknowledgement !== this.una;
    if (advanced) this.#advance(acknowledgement, now);
    let news = false;
    for (let i = 0; i < segment.sackCount; i++) {
      const left = segment.sack[i * 2]!;
      const right = segment.sack[i * 2 + 1]!;
      if (this.#scoreboard.add(left, right, this.una, this.max)) news = true;
    }
    const duplicate = pure && !advanced && !windowChanged && !this.sackPermitted;
    if (this.flight > 0 && (news || duplicate)) this.#duplicate(now);
    return true;
  }

  #advance(acknowledgement: Sequence, now: number): void {
    const bytes = distance(acknowledgement, this.una);
    const limited = distance(this.next, this.una) + 2 * this.#mss > this.#congestion.window;
    this.queue.drop(Math.min(bytes, this.queue.length));
    this.una = acknowledgement;
    if (isBefore(this.next, this.una)) this.next = this.una;
    this.#scoreboard.dropBefore(this.una);
    this.roundTrip.acknowledged(acknowledgement, now);
    this.#retries = 0;
    this.#duplicates = 0;
    if (!this.#recovering) {
      this.#congestion.onAcknowledged(bytes, limited);
    } else if (!isBefore(acknowledgement, this.#recoverTo)) {
      this.#recovering = false;
    } else if (!this.sackPermitted) {
      // A partial acknowledgement: the next hole begins right here (RFC 6582).
      this.#resend(this.una, this.#mss, now);
    } else if (isBefore(this.#resent, this.una)) {
      this.#resent = this.una;
    }
    this.#persisting = false;
    this.timerAt = this.flight > 0 ? now + this.roundTrip.timeoutUs : Number.POSITIVE_INFINITY;
  }

  #duplicate(now: number): void {
    this.#duplicates++;
    if (this.#recovering || this.next !== this.max || isBefore(this.una, this.#recoverTo)) return;
    const segments = Math.floor((this.flight + this.#mss - 1) / this.#mss);
    // With few segments in flight there cannot be three duplicates (early retransmit, RFC 5827).
    const enough = Math.max(1, Math.min(DUPLICATES_MAX, segments - 1));
    if (this.#duplicates < enough && this.#scoreboard.total <= 2 * this.#mss) return;
    this.#congestion.enterRecovery(this.flight);
    this.#recovering = true;
    this.#recoverTo = this.max;
    this.#resend(this.una, this.#headLength(), now);
    this.timerAt = now + this.roundTrip.timeoutUs;
  }

  /** @returns the sequence numbers sent again */
  #resend(hole: Sequence, length: number, now: number): number {
    const sent = this.#emit(hole, length, now);
    this.#resent = advance(hole, sent);
    this.#resentBefore = this.max;
    return sent;
  }

  #headLength(): number {
    return this.#scoreboard.isEmpty ? this.#mss : this.#scoreboard.holeLength(this.una, this.#mss);
  }

  /** Sends what the windows allow. */
  output(now: number): void {
    if (this.#recovering) this.#outputInRecovery(now);
    else while (this.#emitNext(now, this.#congestion.window - distance(this.next, this.una)));
    if (this.timerAt !== Number.POSITIVE_INFINITY && !this.#persisting) return;
    if (this.flight > 0) {
      this.#persisting = false;
      this.timerAt = now + this.roundTrip.timeoutUs;
    } else if (this.queue.length > 0 || (this.#closing && this.#finEnd === undefined)) {
      if (!this.#persisting) this.timerAt = now + this.roundTrip.timeoutUs;
      this.#persisting = true;
    }
  }

  /**
   * Sends the next segment in sequence if there is one and it may go.
   * @param allowance what congestion control allows, in bytes
   */
  #emitNext(now: number, allowance: number): boolean {
    const flight = distance(this.next, this.una);
    const unsent = this.queue.length - flight;
    if (unsent <= 0 && (!this.#closing || this.next === this.#finEnd)) return false;
    const room = Math.min(allowance, this.#window - flight);
    if (room <= 0) return false;
    const length = Math.min(unsent, this.#mss, room);
    // Silly window syndrome, the sender's part (RFC 9293, 3.8.6.2.1).
    if (length < unsent && length < this.#mss && length < this.#windowMax >> 1) return false;
    this.next = advance(this.next, this.#emit(this.next, length, now));
    return true;
  }

  #outputInRecovery(now: number): void {
    const board = this.#scoreboard;
    let pipe = this.flight - this.#duplicates * this.#mss;
    if (!board.isEmpty) {
      if (distance(board.highest, this.#resentBefore) > 2 * this.#mss) this.#resent = this.una;
      pipe = distance(this.max, board.highest) + board.missing(this.una, this.#resent);
    }
    while (pipe < this.#congestion.window) {
      const hole = board.holeAt(this.#resent);
      if (hole !== undefined) {
        pipe += this.#resend(hole, board.holeLength(hole, this.#mss), now);
        if (hole === this.una) this.timerAt = now + this.roundTrip.timeoutUs;
      } else {
        const before = this.next;
        if (!this.#emitNext(now, this.#congestion.window - pipe)) return;
        pipe += distance(this.next, before);
      }
    }
  }

  /** @returns how many sequence numbers left: bytes, and one for a FIN */
  #emit(sequence: Sequence, lengthMax: number, now: number): number {
    const offset = distance(sequence, this.una);
    const length = Math.max(0, Math.min(lengthMax, this.queue.length - offset));
    const last = offset + length === this.queue.length;
    const fin = last && this.#closing ? 1 : 0;
    const end = advance(sequence, length + fin);
    if (fin === 1) this.#finEnd = end;
    if (isAfter(end, this.max)) {
      // A segment that is partly old cannot be timed either.
      if (sequence === this.max) this.roundTrip.sent(sequence, length + fin, now);
      else this.roundTrip.retransmitted();
      this.max = end;
      if (isBefore(this.next, sequence)) this.next = sequence;
    } else {
      this.roundTrip.retransmitted();
    }
    this.#emitSegment(sequence, (fin ? FIN : 0) | (last ? PSH : 0), offset, length);
    return length + fin;
  }

  /** The timer has expired. @returns false if the peer is to be given up */
  timeout(now: number): boolean {
    if (++this.#retries > RETRIES_MAX) return false;
    this.roundTrip.backOff();
    if (this.flight > 0) {
      this.#congestion.onTimeout(this.flight);
      this.#restart(now);
    } else {
      this.#probe(now);
    }
    this.timerAt = now + this.roundTrip.timeoutUs;
    return true;
  }

  /** The guest has a new place: what is under way to the old one is lost, so go again at once. */
  retransmitNow(now: number): void {
    if (this.timerAt === Number.POSITIVE_INFINITY) return;
    this.roundTrip.resetBackoff();
    this.#congestion.onMoved();
    this.#retries = 0;
    if (this.flight > 0) this.#restart(now);
    else this.#probe(now);
    this.timerAt = now + this.roundTrip.timeoutUs;
    this.output(now);
  }

  /** Goes back to the first unacknowledged byte; the window of a dead receiver does not count. */
  #restart(now: number): void {
    this.#recovering = false;
    this.#recoverTo = this.max;
    this.#duplicates = 0;
    this.#scoreboard.clear();
    this.next = advance(this.una, this.#emit(this.una, this.#mss, now));
  }

  /** A closed window: a segment that the peer must answer, with a byte if it may have one. */
  #probe(now: number): void {
    const length = Math.min(this.#window, this.#mss, this.queue.length);
    if (length > 0) this.next = advance(this.next, this.#emit(this.next, length, now));
    else this.#emitSegment(advance(this.una, -1), 0, 0, 0);
  }
}
