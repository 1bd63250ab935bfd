/**
 * Byte cursors: the one way in which Umbra's own formats are written and read.
 *
 * Integers are little-endian; varints are LEB128, unsigned, at most 64 bits. A reader never reads
 * beyond its end and never trusts a length: whatever does not fit is a `MalformedBytes`.
 */
import { assert } from './assert.ts';

export class MalformedBytes extends Error {
  override readonly name = 'MalformedBytes';
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

const nothing = new Uint8Array(0);

export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  constructor(capacity = 64) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#take(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#take(2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  u32(value: number): this {
    const at = this.#take(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  u64(value: bigint): this {
    const at = this.#take(8);
    this.#view.setBigUint64(at, value, true);
    return this;
  }

  bool(value: boolean): this {
    return this.u8(value ? 1 : 0);
  }

  /** An unsigned integer of at most 53 bits, in one to eight bytes. */
  varint(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, `not a varint: ${value}`);
    while (value >= 0x80) {
      this.u8((value % 0x80) | 0x80);
      value = Math.floor(value / 0x80);
    }
    return this.u8(value);
  }

  /** An unsigned integer of at most 64 bits, in one to ten bytes. */
  varint64(value: bigint): this {
    assert(value >= 0n && value < 1n << 64n, `not a 64-bit varint: ${value}`);
    while (value >= 0x80n) {
      this.u8(Number(value & 0x7fn) | 0x80);
      value >>= 7n;
    }
    return this.u8(Number(value));
  }

  /** Bytes as they are; the reader must know how many. */
  raw(bytes: Uint8Array): this {
    const at = this.#take(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** Bytes behind their length. */
  bytes(bytes: Uint8Array): this {
    return this.varint(bytes.length).raw(bytes);
  }

  text(text: string): this {
    return this.bytes(encoder.encode(text));
  }

  /**
   * The bytes written so far, as a copy that later writes do not change.
   *
   * @param headroomBytes of its buffer that lie free in front of it
   */
  finish(headroomBytes = 0): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(headroomBytes + this.#length).subarray(headroomBytes);
    bytes.set(this.#bytes.subarray(0, this.#length));
    return bytes;
  }

  /** The bytes written, as they lie: no copy is made, and nothing more can be written. */
  close(): Uint8Array<ArrayBuffer> {
    const bytes = this.#bytes.subarray(0, this.#length);
    this.#bytes = nothing;
    this.#view = new DataView(nothing.buffer);
    this.#length = 0;
    return bytes;
  }

  /** Begins anew, in the same memory. */
  clear(): void {
    this.#length = 0;
  }

  /** Makes room and gives its place. It may replace both arrays: call it before touching either. */
  #take(count: number): number {
    const at = this.#length;
    const needed = at + count;
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#length = needed;
    return at;
  }
}

export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get at(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  bool(): boolean {
    const value = this.u8();
    if (value > 1) throw new MalformedBytes(`not a boolean: ${value}`);
    return value === 1;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (!Number.isSafeInteger(value)) throw new MalformedBytes('a varint of more than 53 bits');
      if (byte < 0x80) return value;
      scale *= 0x80;
      if (scale > 2 ** 56) throw new MalformedBytes('a varint of more than 53 bits');
    }
  }

  varint64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (value >= 1n << 64n) break;
        return value;
      }
    }
    throw new MalformedBytes('a varint of more than 64 bits');
  }

  /** A view of the next `count` bytes, not a copy. */
  raw(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  bytes(): Uint8Array {
    return this.raw(this.varint());
  }

  text(): string {
    try {
      return decoder.decode(this.bytes());
    } catch (error) {
      if (error instanceof MalformedBytes) throw error;
      throw new MalformedBytes('text that is not UTF-8');
    }
  }

  /** Items behind their number; each has at least a byte, so a number cannot ask for more. */
  list<Item>(item: () => Item): Item[] {
    const count = this.varint();
    if (count > this.remaining) {
      throw new MalformedBytes(`${count} items in ${this.remaining} bytes`);
    }
    return Array.from({ length: count }, item);
  }

  /** Whoever has read a whole message says so: trailing bytes are malformed too. */
  end(): void {
    if (this.remaining > 0) throw new MalformedBytes(`${this.remaining} bytes too many`);
  }

  #take(count: number): number {
    if (count > this.remaining) {
      throw new MalformedBytes(`${count} bytes wanted where ${this.remaining} are left`);
    }
    const at = this.#at;
    this.#at += count;
    return at;
  }
}
