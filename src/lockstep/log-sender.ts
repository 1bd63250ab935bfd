/**
 * The primary's end of the log: sends batches, keeps them until they are acknowledged, sends them
 * again where a link flapped, and tells how far the shadow lags behind.
 *
 * From: the recorder's batches. To: the link. Invariant: every entry after the acknowledged position
 * is retained, so a resumed link loses nothing; when that memory is full the primary stops.
 */
import { MalformedBytes } from '../base/bytes.ts';
import { RecentLeast } from '../base/recent-least.ts';
import { type Ack, encodeInFront, encodeMessage } from './messages.ts';
import type { Link, Micros } from './ports.ts';
import type { Batch } from './recorder.ts';

const roundTripWindow: Micros = 5_000_000;
/** A batch for which nobody waits is answered at once so often, for the sake of the round trip. */
const probeMicros: Micros = 1_000_000;

export class LogSender {
  readonly #bytesMax: number;
  #link: Link | undefined;
  #retained: Batch[] = [];
  #retainedBytes = 0;
  /** Batches not yet executed, with the time at which they were sent and the work done by then. */
  #unexecuted: { lastPosition: number; sentAt: Micros; work: Micros }[] = [];
  #executedWork: Micros = 0;
  #sentAt: Micros = 0;
  #lastPosition: number;
  #acknowledged: number;
  #executed: number;
  #bytesSent = 0;
  /** The batch whose acknowledgement is being waited for to measure the way there and back. */
  #probe: { readonly position: number; readonly sentAt: Micros } | undefined;
  #probedAt: Micros = Number.NEGATIVE_INFINITY;
  readonly #roundTrips = new RecentLeast(roundTripWindow);

  /** @param position of the checkpoint from which the shadow starts */
  constructor(position: number, bytesMax = 64 * 1024 * 1024) {
    this.#lastPosition = position;
    this.#acknowledged = position;
    this.#executed = position;
    this.#bytesMax = bytesMax;
  }

  get acknowledgedPosition(): number {
    return this.#acknowledged;
  }

  get executedPosition(): number {
    return this.#executed;
  }

  /** What `send` was told with the last batch that the shadow has executed. */
  get executedWork(): Micros {
    return this.#executedWork;
  }

  get lastPosition(): number {
    return this.#lastPosition;
  }

  get sentAt(): Micros {
    return this.#sentAt;
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  /** The least lately from a batch to its acknowledgement; undefined before the first. */
  get roundTripMicros(): Micros | undefined {
    return this.#roundTrips.value;
  }

  get full(): boolean {
    return this.#retainedBytes > this.#bytesMax;
  }

  /** How long ago the oldest entry that the shadow has not executed was sent. */
  lag(now: Micros): Micros {
    const oldest = this.#unexecuted[0];
    return oldest === undefined ? 0 : now - oldest.sentAt;
  }

  /**
   * @param released the last position whose outputs have left, or that had none
   * @param work for how long the primary has executed, for flow control
   */
  send(batch: Batch, released: number, work: Micros, now: Micros): void {
    const { firstPosition, lastPosition, entries } = batch;
    this.#retained.push(batch);
    this.#retainedBytes += entries.length + 64;
    this.#unexecuted.push({ lastPosition, sentAt: now, work });
    this.#lastPosition = lastPosition;
    const probes = now - this.#probedAt >= probeMicros;
    const releasedPosition = probes ? Math.min(released, firstPosition - 1) : released;
    if (releasedPosition < lastPosition && this.#link !== undefined && this.#probe === undefined) {
      this.#probe = { position: lastPosition, sentAt: now };
      this.#probedAt = now;
    }
    const message = { kind: 'batch', firstPosition, releasedPosition, entries } as const;
    const inFront = encodeInFront(message);
    this.#transmit(inFront.message, now, inFront.headroomBytes);
  }

  /** An empty batch: the primary lives, and has released so far. */
  heartbeat(releasedPosition: number, now: Micros): void {
    const firstPosition = this.#lastPosition + 1;
    const entries = new Uint8Array(0);
    this.#transmit(encodeMessage({ kind: 'batch', firstPosition, releasedPosition, entries }), now);
  }

  acknowledged(ack: Ack, now: Micros): void {
    const { receivedPosition, executedPosition } = ack;
    if (receivedPosition > this.#lastPosition || executedPosition > receivedPosition) {
      throw new MalformedBytes(`acknowledgement ${receivedPosition} of ${this.#lastPosition} sent`);
    }
    this.#acknowledged = Math.max(this.#acknowledged, receivedPosition);
    this.#executed = Math.max(this.#executed, executedPosition);
    if (this.#probe !== undefined && receivedPosition >= this.#probe.position) {
      this.#roundTrips.add(now - this.#probe.sentAt, now);
      this.#probe = undefined;
    }
    let received = 0;
    for (const batch of this.#retained) {
      if (batch.lastPosition > this.#acknowledged) break;
      this.#retainedBytes -= batch.entries.length + 64;
      received++;
    }
    this.#retained.splice(0, received);
    const pending = this.#unexecuted.findIndex((sent) => sent.lastPosition > this.#executed);
    const executed = this.#unexecuted.splice(0, pending < 0 ? this.#unexecuted.length : pending);
    this.#executedWork = executed.at(-1)?.work ?? this.#executedWork;
  }

  canResume(received: number): boolean {
    const first = this.#retained[0]?.firstPosition ?? this.#lastPosition + 1;
    return received >= first - 1 && received <= this.#lastPosition;
  }

  /** A new link to the same shadow: everything it has not got, again, in order. */
  resume(link: Link, received: number, releasedPosition: number, now: Micros): void {
    this.#link = link;
    this.#probe = undefined;
    for (const { firstPosition, lastPosition, entries } of this.#retained) {
      if (lastPosition <= received) continue;
      // In memory of its own: the old link may still hold the message in front of the entries.
      const again = encodeMessage({ kind: 'batch', firstPosition, releasedPosition, entries });
      this.#transmit(again, now);
    }
  }

  detach(): void {
    this.#link = undefined;
  }

  #transmit(message: Uint8Array, now: Micros, headroomBytes?: number): void {
    if (this.#link === undefined) return;
    this.#bytesSent += message.length;
    this.#sentAt = now;
    this.#link.send(message, headroomBytes);
  }
}
