/**
 * The output gate: nothing that the world can see leaves before the shadow could repeat it.
 *
 * From: the machine's outputs. To: the world (`release`, on the primary), or nowhere (`forget`, on
 * the shadow, whose gate holds what it would have to send again when it goes live).
 *
 * Invariant: an output leaves a closed gate only when the entry that sealed it, a progress entry
 * recorded after the output was produced, has been acknowledged. Sealing goes by position rather
 * than by count, since inputs at one and the same count may follow a progress entry at that count.
 *
 * Memory is bounded: the oldest frames are dropped, which TCP absorbs. Nothing else may be; when
 * that alone fills the gate, `full` tells the primary to stop running.
 */
import { assert } from '../base/assert.ts';
import type { Output } from '../machine/effects.ts';
import { GateDelays } from './gate-delays.ts';
import type { Micros } from './ports.ts';

interface Held {
  readonly output: Output;
  readonly bytes: number;
  /** Position of the entry whose acknowledgement releases it; Infinity until it is sealed. */
  position: number;
  /** undefined on a shadow: nobody waits for what it holds. */
  readonly heldAt: Micros | undefined;
}

const overheadBytes = 128;

export class OutputGate {
  /** Of what has waited for an acknowledgement. */
  readonly delays = new GateDelays();
  readonly #bytesMax: number;
  #held: Held[] = [];
  #unsealed = 0;
  #bytes = 0;
  #droppableBytes = 0;
  #closed = false;
  #droppedFrames = 0;
  #releasedPosition: number;
  #acknowledgedPosition: number;

  /** @param releasedPosition everything up to here has left, or belongs to the past */
  constructor(releasedPosition: number, bytesMax = 64 * 1024 * 1024) {
    this.#releasedPosition = releasedPosition;
    this.#acknowledgedPosition = releasedPosition;
    this.#bytesMax = bytesMax;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get length(): number {
    return this.#held.length;
  }

  /** Outputs that no progress entry covers yet: the log is to be flushed at once for them. */
  get unsealed(): number {
    return this.#unsealed;
  }

  get full(): boolean {
    return this.#bytes > this.#bytesMax;
  }

  get droppedFrames(): number {
    return this.#droppedFrames;
  }

  /** Every output sealed up to this position has left; also where there was none to be sealed. */
  get releasedPosition(): number {
    return this.#releasedPosition;
  }

  /** What the shadow has for certain. */
  get acknowledgedPosition(): number {
    return this.#acknowledgedPosition;
  }

  close(): void {
    this.#closed = true;
  }

  /** @param heldAt now, where it is to be known how long it waits */
  hold(output: Output, heldAt?: Micros): void {
    assert(this.#closed, 'an open gate holds nothing');
    const bytes = overheadBytes + sizeOf(output);
    this.#held.push({ output, bytes, position: Number.POSITIVE_INFINITY, heldAt });
    this.#unsealed++;
    this.#bytes += bytes;
    if (output.kind === 'frame') this.#droppableBytes += bytes;
    if (this.#bytes > this.#bytesMax && this.#droppableBytes > 0) this.#dropOldestFrames();
  }

  /** A progress entry has been recorded (or replayed) at this position. */
  seal(position: number): void {
    for (let at = this.#held.length - this.#unsealed; at < this.#held.length; at++) {
      this.#held[at]!.position = position;
    }
    this.#unsealed = 0;
    if (this.#held.length === 0) this.#released(position);
  }

  /** The shadow has received everything up to this position: what may leave now, in order. */
  release(acknowledged: number, now?: Micros): Output[] {
    const outputs = this.#take(acknowledged, now);
    this.#acknowledgedPosition = Math.max(this.#acknowledgedPosition, acknowledged);
    this.#released(acknowledged);
    return outputs;
  }

  /** Twin of `release` on the shadow: the primary has sent these. @returns how many */
  forget(released: number): number {
    return this.release(released).length;
  }

  /** No shadow is eligible any more, or this copy has just become live: all that is held leaves. */
  open(): Output[] {
    this.#closed = false;
    return this.#take(Number.POSITIVE_INFINITY);
  }

  /** Whether a request that changes this disk is held; reads must not overtake it. */
  holdsDisk(disk: number): boolean {
    return this.#held.some(({ output }) => output.kind === 'disk' && output.request.disk === disk);
  }

  #released(position: number): void {
    this.#releasedPosition = Math.max(this.#releasedPosition, position);
  }

  #take(limit: number, now?: Micros): Output[] {
    let end = 0;
    while (end < this.#held.length && this.#held[end]!.position <= limit) end++;
    if (end === 0) return [];
    const leaving = this.#held.splice(0, end);
    this.#unsealed = Math.min(this.#unsealed, this.#held.length);
    for (const held of leaving) {
      this.#account(held);
      if (held.heldAt !== undefined && now !== undefined) this.delays.left(held.heldAt, now);
    }
    return leaving.map((held) => held.output);
  }

  #account(held: Held): void {
    this.#bytes -= held.bytes;
    if (held.output.kind === 'frame') this.#droppableBytes -= held.bytes;
  }

  /** Frees an eighth of the gate at once, so that a full gate does not search for every frame. */
  #dropOldestFrames(): void {
    const target = this.#bytesMax - this.#bytesMax / 8;
    const kept: Held[] = [];
    let unsealed = 0;
    for (const held of this.#held) {
      if (this.#bytes > target && held.output.kind === 'frame') {
        this.#account(held);
        this.#droppedFrames++;
        continue;
      }
      kept.push(held);
      if (held.position === Number.POSITIVE_INFINITY) unsealed++;
    }
    this.#held = kept;
    this.#unsealed = unsealed;
  }
}

function sizeOf(output: Output): number {
  switch (output.kind) {
    case 'frame':
      return output.frame.length;
    case 'console':
      return output.bytes.length;
    case 'disk':
      return output.request.data.length;
    default:
      return 0;
  }
}
