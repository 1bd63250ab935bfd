/**
 * Frames on a byte stream: each behind its length, 4 bytes big-endian, as QEMU's `stream` netdev
 * and passt speak it on UNIX-domain sockets. The decoder takes chunks cut anywhere; the batch is
 * what goes into one write of the socket.
 *
 * Invariant: neither holds more than its bound. A length beyond it cannot be skipped, since the
 * stream has then lost its rhythm: it is a `MalformedBytes`, and the connection ends.
 */
import { assert } from '../base/assert.ts';
import { MalformedBytes } from '../base/bytes.ts';
import { FRAME_BYTES_MAX } from './frames/ethernet.ts';
import { read32, write32 } from './wire.ts';

export const LENGTH_BYTES = 4;

/**
 * Control messages beside frames, on links where both ends are ours: the bit in the length that
 * marks one, which no frame's length can have, and the most bytes of one.
 */
export interface ControlFraming {
  readonly bit: number;
  readonly bytesMax: number;
}

export class FrameDecoder {
  readonly #bytesMax: number;
  readonly #control: ControlFraming | undefined;
  #isControl = false;
  readonly #length = new Uint8Array(LENGTH_BYTES);
  #lengthHave = 0;
  /** A message cut by the end of a chunk; its whole length is `#wanted`. */
  #partial: Uint8Array;
  #partialHave = 0;
  #wanted = -1;

  constructor(bytesMax = FRAME_BYTES_MAX, control?: ControlFraming) {
    this.#bytesMax = bytesMax;
    this.#control = control;
    this.#partial = new Uint8Array(Math.min(2048, bytesMax));
  }

  /**
   * Calls `deliver` with each message that `chunk` completes. A message is a view that is valid
   * until `deliver` returns. Empty messages are passed on; whoever wants frames drops them.
   */
  push(chunk: Uint8Array, deliver: (message: Uint8Array, isControl: boolean) => void): void {
    // A Node Buffer becomes a plain array: views of it cost less and behave the same everywhere.
    chunk = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
    let at = 0;
    while (at < chunk.length) {
      if (this.#wanted < 0) {
        if (this.#lengthHave === 0 && chunk.length - at >= LENGTH_BYTES) {
          this.#expect(read32(chunk, at));
          at += LENGTH_BYTES;
        } else {
          this.#length[this.#lengthHave++] = chunk[at++]!;
          if (this.#lengthHave < LENGTH_BYTES) continue;
          this.#lengthHave = 0;
          this.#expect(read32(this.#length, 0));
        }
      }
      const needed = this.#wanted - this.#partialHave;
      const taken = Math.min(needed, chunk.length - at);
      if (this.#partialHave === 0 && taken === needed) {
        this.#wanted = -1;
        deliver(chunk.subarray(at, at + taken), this.#isControl);
      } else {
        this.#keep(chunk.subarray(at, at + taken));
        if (taken === needed) {
          const message = this.#partial.subarray(0, this.#wanted);
          this.#wanted = -1;
          this.#partialHave = 0;
          deliver(message, this.#isControl);
        }
      }
      at += taken;
    }
  }

  #expect(length: number): void {
    const control = this.#control;
    this.#isControl = control !== undefined && length >= control.bit;
    let most = this.#bytesMax;
    if (control !== undefined && this.#isControl) {
      length -= control.bit;
      most = control.bytesMax;
    }
    if (length > most) {
      throw new MalformedBytes(`a message of ${length} bytes where ${most} is the most`);
    }
    this.#wanted = length;
  }

  #keep(part: Uint8Array): void {
    if (this.#partial.length < this.#wanted) {
      const larger = new Uint8Array(
        Math.max(this.#wanted, Math.min(this.#bytesMax, this.#wanted * 2)),
      );
      larger.set(this.#partial.subarray(0, this.#partialHave));
      this.#partial = larger;
    }
    this.#partial.set(part, this.#partialHave);
    this.#partialHave += part.length;
  }
}

/**
 * Collects messages behind their lengths until the socket is written: many frames, one system call.
 * A full batch drops, as a full queue of a network card does, and counts it.
 */
export class FrameBatch {
  readonly #bytesMax: number;
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;
  #dropped = 0;

  constructor(bytesMax = 4 << 20) {
    this.#bytesMax = bytesMax;
    this.#bytes = new Uint8Array(Math.min(64 << 10, bytesMax));
  }

  /** Bytes that wait to be taken. */
  get length(): number {
    return this.#length;
  }

  /** Messages that found the batch full, since the beginning. */
  get dropped(): number {
    return this.#dropped;
  }

  add(message: Uint8Array): void {
    const at = this.#reserve(message.length);
    if (at >= 0) this.#bytes.set(message, at);
  }

  /** A message that must not be lost: few and short, so the bound is not for them. */
  addAlways(message: Uint8Array): void {
    this.#bytes.set(message, this.#reserve(message.length, Number.POSITIVE_INFINITY));
  }

  /** A message of two parts: a short header, then a frame. */
  addParts(header: Uint8Array, body: Uint8Array): void {
    const at = this.#reserve(header.length + body.length);
    if (at < 0) return;
    this.#bytes.set(header, at);
    this.#bytes.set(body, at + header.length);
  }

  /** All that was added, in order; the batch is empty then. The caller owns the bytes. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#bytes.subarray(0, this.#length);
    // The rest of the buffer is used for the next batch while it is large enough to be of use.
    const rest = this.#bytes.subarray(this.#length);
    this.#bytes = rest.length >= 16 << 10 ? rest : new Uint8Array(256 << 10);
    this.#length = 0;
    return taken;
  }

  /** Writes the length and returns the offset for the message itself, or -1 if it is dropped. */
  #reserve(length: number, bytesMax = this.#bytesMax): number {
    assert(length <= 0xffff_ffff, 'a message beyond its length field');
    const end = this.#length + LENGTH_BYTES + length;
    if (end > bytesMax) {
      this.#dropped++;
      return -1;
    }
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.min(bytesMax, Math.max(end, this.#length * 2)));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    write32(this.#bytes, this.#length, length);
    const at = this.#length + LENGTH_BYTES;
    this.#length = end;
    return at;
  }
}
