/**
 * One TCP connection (RFC 9293): the state machine between a segment that arrived, the stream of
 * the host, and the timers. The gateway holds one for each connection of a guest.
 *
 *   active:   syn-sent ------------------.
 *   passive:  accepting -> syn-received -+-> established
 *   we end first:    established -> fin-wait-1 -> fin-wait-2 | closing -> time-wait -> closed
 *   peer ends first: established -> close-wait -> last-ack -> closed
 *
 * `accepting` is ours: the peer's SYN is noted but not answered until the host has reached the
 * other side, so that a guest sees a refused connection as refused.
 *
 * Time is in microseconds and comes in with every call. After a batch of calls the owner calls
 * `flush`, which hands data to the host and sends the acknowledgement that is due: many segments,
 * one piece of data, one acknowledgement. It never throws for what a peer sends.
 */
import { ACK, emptySegment, FIN, RST, SYN, type TcpSegment } from '../frames/tcp-segment.ts';
import type { TcpEnd, TcpOptions, TcpPorts, TcpState } from './options.ts';
import { TcpReceiver } from './receiver.ts';
import { TcpSender } from './sender.ts';
import { advance, isAfter, isBefore, type Sequence } from './sequence.ts';

const WINDOW_SCALE = 5;
const WINDOW_SCALE_MAX = 14;
const MSS_MIN = 64;
const MSS_UNSAID = 536;
const SYN_RETRIES_MAX = 6;
const CHALLENGE_INTERVAL_US = 10_000;

const outgoing = emptySegment();

export class TcpConnection {
  #state: TcpState = 'closed';
  readonly #options: TcpOptions;
  readonly #ports: TcpPorts;
  readonly #sender: TcpSender;
  readonly #receiver: TcpReceiver;
  readonly #initial: Sequence;
  #sendScale = 0;
  #scaling = false;
  #sack = false;
  #peerMss = MSS_UNSAID;
  #ending = false;
  #peerEnded = false;
  #endReported = false;
  #paused = false;
  #reported = false;
  /** Segments and bytes in order that are not acknowledged yet. */
  #ackSegments = 0;
  #ackNow = false;
  #ackAt = Number.POSITIVE_INFINITY;
  #synRetries = 0;
  #synAt = Number.POSITIVE_INFINITY;
  #challengeAt = 0;
  #timeWaitAt = Number.POSITIVE_INFINITY;

  /** @param initial the initial sequence number, unpredictable to others (RFC 6528) */
  constructor(options: TcpOptions, ports: TcpPorts, initial: number) {
    this.#options = options;
    this.#ports = ports;
    this.#initial = initial | 0;
    this.#sender = new TcpSender(
      this.#initial,
      options.mss,
      options.roundTrip,
      (sequence, flags, offset, length) => this.#send(sequence, flags | ACK, offset, length),
    );
    this.#receiver = new TcpReceiver(options.receiveBytes, options.mss, (bytes) =>
      ports.data(bytes),
    );
  }

  get state(): TcpState {
    return this.#state;
  }

  /** When `timeout` is to be called next. */
  get deadline(): number {
    return Math.min(this.#sender.timerAt, this.#ackAt, this.#synAt, this.#timeWaitAt);
  }

  /** Active open. */
  connect(now: number): void {
    this.#state = 'syn-sent';
    this.#sendSyn(now);
  }

  /** Passive open, first half: notes the peer's SYN. `accept` or `abort` follows. */
  listen(syn: TcpSegment): void {
    this.#state = 'accepting';
    this.#noteSyn(syn);
  }

  /** Passive open, second half: the host has reached the other side. */
  accept(now: number): void {
    if (this.#state !== 'accepting') return;
    this.#state = 'syn-received';
    this.#sendSyn(now);
  }

  /**
   * Bytes of the host for the peer; ownership passes to the connection.
   * @returns false if the host is to pause until `writable`
   */
  write(bytes: Uint8Array, now: number): boolean {
    if (this.#ending || this.#reported) return true;
    this.#sender.queue.push(bytes);
    if (this.#isSynchronised) this.#sender.output(now);
    this.#paused = this.#sender.queue.length >= this.#options.sendBytes;
    return !this.#paused;
  }

  /** The host has ended its direction. */
  end(now: number): void {
    if (this.#ending || this.#reported) return;
    this.#ending = true;
    this.#sender.close();
    if (this.#state === 'established') this.#state = 'fin-wait-1';
    else if (this.#state === 'close-wait') this.#state = 'last-ack';
    else return;
    this.#sender.output(now);
  }

  /** The host gives up: the peer is told so. */
  abort(): void {
    if (this.#isSynchronised || this.#state === 'syn-received') {
      this.#send(this.#sender.max, RST | ACK, 0, 0);
    } else if (this.#state === 'accepting') {
      this.#send(0, RST | ACK, 0, 0);
    }
    this.#close('reset');
  }

  /** The host has passed on so many bytes: the window may open. */
  consumed(bytes: number): void {
    this.#receiver.consumed(bytes);
    if (this.#isSynchronised && !this.#peerEnded && this.#receiver.windowHasOpened) {
      this.#sendAck();
    }
  }

  /** The peer lives at a new place now: what is under way to the old one is sent again. */
  retransmitNow(now: number): void {
    if (this.#state === 'syn-sent' || this.#state === 'syn-received') this.#sendSyn(now);
    else if (this.#isSynchronised) this.#sender.retransmitNow(now);
  }

  /** A segment of this connection. `frame` holds its payload and is not kept. */
  receive(segment: TcpSegment, frame: Uint8Array, now: number): void {
    switch (this.#state) {
      case 'closed':
        return;
      case 'accepting':
        // A SYN again means only that the peer is as impatient as it should be.
        if (segment.flags & RST) this.#close('reset');
        return;
      case 'syn-sent':
        this.#receiveInSynSent(segment, now);
        return;
      default:
        this.#receiveSynchronised(segment, frame, now);
    }
  }

  /** Ends a batch: data to the host, the acknowledgement that is due. */
  flush(now: number): void {
    if (this.#state === 'closed') return;
    this.#receiver.flush();
    if (this.#peerEnded && !this.#endReported && !this.#reported) {
      this.#endReported = true;
      this.#ports.end();
      this.#reportIfOver();
    }
    if (this.#ackNow || this.#ackSegments >= 2) this.#sendAck();
    else if (this.#ackSegments > 0 && this.#ackAt === Number.POSITIVE_INFINITY) {
      this.#ackAt = now + this.#options.ackDelayUs;
    }
  }

  /** To be called at `deadline` or later. */
  timeout(now: number): void {
    if (now >= this.#timeWaitAt) {
      this.#close('done');
      return;
    }
    if (now >= this.#ackAt) this.#sendAck();
    if (now >= this.#synAt) {
      if (++this.#synRetries > SYN_RETRIES_MAX) {
        this.#close('timeout');
        return;
      }
      this.#sender.roundTrip.backOff();
      this.#sendSyn(now);
    }
    if (now >= this.#sender.timerAt && this.#isSynchronised) {
      if (this.#sender.timeout(now)) this.#sender.output(now);
      else this.abortBecause('timeout');
    }
  }

  /** Resets the connection and tells the host why. */
  abortBecause(why: TcpEnd): void {
    if (this.#isSynchronised) this.#send(this.#sender.max, RST | ACK, 0, 0);
    this.#close(why);
  }

  get #isSynchronised(): boolean {
    switch (this.#state) {
      case 'closed':
      case 'accepting':
      case 'syn-sent':
      case 'syn-received':
        return false;
      default:
        return true;
    }
  }

  #noteSyn(syn: TcpSegment): void {
    this.#receiver.open(syn.sequence);
    this.#peerMss = Math.max(MSS_MIN, syn.mss === 0 ? MSS_UNSAID : syn.mss);
    this.#scaling = syn.windowScale >= 0;
    this.#sendScale = this.#scaling ? Math.min(syn.windowScale, WINDOW_SCALE_MAX) : 0;
    this.#receiver.scale = this.#scaling ? WINDOW_SCALE : 0;
    this.#sack = syn.sackPermitted;
    this.#sender.sackPermitted = syn.sackPermitted;
  }

  #sendSyn(now: number): void {
    const passive = this.#state === 'syn-received';
    outgoing.mss = this.#options.mss;
    outgoing.windowScale = !passive || this.#scaling ? WINDOW_SCALE : -1;
    outgoing.sackPermitted = !passive || this.#sack;
    this.#send(this.#initial, passive ? SYN | ACK : SYN, 0, 0);
    this.#synAt = this.#sender.synSent(now);
  }

  #receiveInSynSent(segment: TcpSegment, now: number): void {
    const { flags, acknowledgement } = segment;
    const acknowledged = (flags & ACK) !== 0;
    if (acknowledged && acknowledgement !== advance(this.#initial, 1)) {
      if (!(flags & RST)) this.#send(acknowledgement, RST, 0, 0);
      return;
    }
    if (flags & RST) {
      if (acknowledged) this.#close('refused');
      return;
    }
    if (!(flags & SYN)) return;
    this.#noteSyn(segment);
    if (acknowledged) {
      this.#open(segment, segment.window, now);
      this.#ackNow = true;
    } else {
      // Both opened at once (RFC 9293, figure 7).
      this.#state = 'syn-received';
      this.#sendSyn(now);
    }
  }

  #open(segment: TcpSegment, window: number, now: number): void {
    this.#synAt = Number.POSITIVE_INFINITY;
    this.#sender.opened({ mss: this.#peerMss, window, segment }, now);
    this.#state = this.#ending ? 'fin-wait-1' : 'established';
    this.#ports.established();
    this.#sender.output(now);
  }

  #receiveSynchronised(segment: TcpSegment, frame: Uint8Array, now: number): void {
    const { flags, sequence } = segment;
    if (!this.#isAcceptable(segment)) {
      if (flags & RST) return;
      if (this.#state === 'syn-received' && flags & SYN) this.#receiveSynAgain(segment, now);
      else this.#challenge(segment, now);
      if (this.#state === 'time-wait' && flags & FIN) {
        this.#timeWaitAt = now + this.#options.timeWaitUs;
      }
      return;
    }
    if (flags & RST) {
      // Only the exact number resets; a near miss is asked to prove itself (RFC 5961, 3.2).
      if (sequence === this.#receiver.next) this.#close('reset');
      else this.#challenge(segment, now);
      return;
    }
    if (flags & SYN) {
      this.#challenge(segment, now);
      return;
    }
    if (!(flags & ACK)) return;
    if (!this.#receiveAcknowledgement(segment, now)) return;
    this.#receivePayload(segment, frame, now);
  }

  /** The peer missed our answer, or both opened at once and this is the peer's (figure 7). */
  #receiveSynAgain(segment: TcpSegment, now: number): void {
    const answered = segment.flags & ACK && segment.acknowledgement === this.#sender.max;
    if (!answered) {
      this.#sendSyn(now);
      return;
    }
    this.#open(segment, segment.window, now);
    this.#ackNow = true;
  }

  /**
   * Says where we are to a peer that seems to be elsewhere. Data are always answered; what carries
   * none seldom, or two ends that disagree would answer each other for ever (RFC 5961, 7).
   */
  #challenge(segment: TcpSegment, now: number): void {
    if (segment.payloadEnd === segment.payloadStart && !(segment.flags & FIN)) {
      if (now < this.#challengeAt) return;
      this.#challengeAt = now + CHALLENGE_INTERVAL_US;
    }
    this.#sendAck();
  }

  /** RFC 9293, 3.10.7.4, first check: does any of it lie in the window? */
  #isAcceptable(segment: TcpSegment): boolean {
    const length =
      segment.payloadEnd -
      segment.payloadStart +
      (segment.flags & SYN ? 1 : 0) +
      (segment.flags & FIN ? 1 : 0);
    const { next, windowRight } = this.#receiver;
    if (segment.sequence === next) return true;
    if (length === 0) {
      return isAfter(segment.sequence, next) && !isAfter(segment.sequence, windowRight);
    }
    return (
      isBefore(segment.sequence, windowRight) && isAfter(advance(segment.sequence, length), next)
    );
  }

  /** @returns false if the segment is to be dropped */
  #receiveAcknowledgement(segment: TcpSegment, now: number): boolean {
    const window = segment.window << this.#sendScale;
    if (this.#state === 'syn-received') {
      if (segment.acknowledgement !== this.#sender.max) {
        this.#send(segment.acknowledgement, RST, 0, 0);
        return false;
      }
      this.#open(segment, window, now);
    }
    const pure = segment.payloadEnd === segment.payloadStart && (segment.flags & (SYN | FIN)) === 0;
    if (!this.#sender.acknowledge(segment, window, pure, now)) {
      this.#challenge(segment, now);
      return false;
    }
    if (this.#sender.finAcknowledged) this.#finAcknowledged(now);
    if (!this.#isSynchronised) return false;
    this.#sender.output(now);
    if (this.#paused && this.#sender.queue.length <= this.#options.sendBytes >> 1) {
      this.#paused = false;
      this.#ports.writable();
    }
    return true;
  }

  #finAcknowledged(now: number): void {
    if (this.#state === 'fin-wait-1') this.#state = 'fin-wait-2';
    else if (this.#state === 'closing') this.#enterTimeWait(now);
    else if (this.#state === 'last-ack') this.#close('done');
  }

  #receivePayload(segment: TcpSegment, frame: Uint8Array, now: number): void {
    const { sequence, payloadStart, payloadEnd } = segment;
    const length = payloadEnd - payloadStart;
    const receiver = this.#receiver;
    if (length > 0 && !this.#peerEnded) {
      if (receiver.accept(sequence, frame, payloadStart, payloadEnd)) {
        if (++this.#ackSegments >= this.#options.ackSegments) this.#sendAck();
      } else if (receiver.hasGap) {
        // Each one out of order is reported: the peer counts them.
        this.#sendAck();
      } else {
        this.#ackNow = true;
      }
    } else if (length > 0) {
      this.#ackNow = true;
    }
    if (segment.flags & FIN) {
      const end = advance(sequence, length);
      if (!isBefore(end, receiver.next) && !isAfter(end, receiver.windowRight)) {
        receiver.finAt ??= end;
      }
    }
    if (receiver.finAt === receiver.next && !this.#peerEnded) this.#receiveFin(now);
  }

  #receiveFin(now: number): void {
    this.#peerEnded = true;
    this.#receiver.next = advance(this.#receiver.next, 1);
    this.#ackNow = true;
    if (this.#state === 'established') this.#state = 'close-wait';
    else if (this.#state === 'fin-wait-1') this.#state = 'closing';
    else if (this.#state === 'fin-wait-2') this.#enterTimeWait(now);
  }

  #enterTimeWait(now: number): void {
    this.#state = 'time-wait';
    this.#timeWaitAt = now + this.#options.timeWaitUs;
    this.#reportIfOver();
  }

  /** The host's part is over when both directions are, and it was told of the peer's end. */
  #reportIfOver(): void {
    if (this.#state === 'time-wait' && this.#endReported) this.#report('done');
  }

  #close(why: TcpEnd): void {
    if (this.#state === 'closed') return;
    if (why === 'done') this.#receiver.flush();
    this.#state = 'closed';
    this.#sender.clear();
    this.#ackAt = Number.POSITIVE_INFINITY;
    this.#synAt = Number.POSITIVE_INFINITY;
    this.#timeWaitAt = Number.POSITIVE_INFINITY;
    if (why === 'done' && this.#peerEnded && !this.#endReported && !this.#reported) {
      this.#endReported = true;
      this.#ports.end();
    }
    this.#report(why);
  }

  #report(why: TcpEnd): void {
    if (this.#reported) return;
    this.#reported = true;
    this.#ports.closed(why);
  }

  #sendAck(): void {
    this.#send(this.#sender.max, ACK, 0, 0);
  }

  /** Every segment leaves here; each one acknowledges all there is. */
  #send(sequence: Sequence, flags: number, offset: number, length: number): void {
    const receiver = this.#receiver;
    outgoing.sequence = sequence;
    outgoing.flags = flags;
    outgoing.window = receiver.advertise((flags & SYN) !== 0);
    outgoing.sackCount = 0;
    if (flags & ACK) {
      outgoing.acknowledgement = receiver.next;
      if (this.#sack && receiver.hasGap && length === 0) receiver.writeSack(outgoing);
      this.#ackSegments = 0;
      this.#ackNow = false;
      this.#ackAt = Number.POSITIVE_INFINITY;
    } else {
      outgoing.acknowledgement = 0;
    }
    if (!(flags & SYN)) {
      outgoing.mss = 0;
      outgoing.windowScale = -1;
      outgoing.sackPermitted = false;
    }
    this.#ports.send(outgoing, this.#sender.queue, offset, length);
  }

  /** Bytes that wait in either direction, for bounds and metrics. */
  get buffered(): number {
    return this.#sender.queue.length + this.#receiver.pending;
  }

  /** How far the peer is behind what was sent. */
  get unacknowledged(): number {
    return this.#sender.flight;
  }

  /** For tests: whether the sender's records agree with its numbers. */
  get isConsistent(): boolean {
    return !this.#isSynchronised || this.#sender.isConsistent;
  }
}
