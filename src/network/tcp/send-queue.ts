/**
 * The bytes of a stream that the peer has not acknowledged yet, sent or not: chunks as the host
 * gave them, copied only into the frames that carry them. Offset 0 is the first unacknowledged byte.
 */
import { assert } from '../../base/assert.ts';

export class SendQueue {
  #chunks: Uint8Array[] = [];
  /** Bytes of the first chunk that are acknowledged already. */
  #skipped = 0;
  #length = 0;
  /** Where the last copy ended, since the next one mostly begins there: chunk and its offset. */
  #cursorChunk = 0;
  #cursorOffset = 0;

  get length(): number {
    return this.#length;
  }

  /** Takes ownership: nobody may change the bytes any more. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#length += bytes.length;
  }

  /** Copies `length` bytes from `offset` on into `target`. */
  copy(offset: number, length: number, target: Uint8Array, at: number): void {
    assert(offset >= 0 && offset + length <= this.#length, 'a copy beyond the queue');
    if (offset < this.#cursorOffset) {
      this.#cursorChunk = 0;
      this.#cursorOffset = 0;
    }
    while (length > 0) {
      const chunk = this.#chunks[this.#cursorChunk]!;
      const skipped = this.#cursorChunk === 0 ? this.#skipped : 0;
      const inside = offset - this.#cursorOffset + skipped;
      if (inside >= chunk.length) {
        this.#cursorOffset += chunk.length - skipped;
        this.#cursorChunk++;
        continue;
      }
      const part = Math.min(length, chunk.length - inside);
      target.set(chunk.subarray(inside, inside + part), at);
      at += part;
      offset += part;
      length -= part;
    }
  }

  /** The first `bytes` are acknowledged. */
  drop(bytes: number): void {
    assert(bytes >= 0 && bytes <= this.#length, 'more acknowledged than queued');
    this.#length -= bytes;
    this.#skipped += bytes;
    this.#cursorOffset -= bytes;
    let whole = 0;
    while (whole < this.#chunks.length && this.#skipped >= this.#chunks[whole]!.length) {
      this.#skipped -= this.#chunks[whole]!.length;
      whole++;
    }
    if (whole > 0) this.#chunks.splice(0, whole);
    this.#cursorChunk -= whole;
    if (this.#cursorChunk <= 0 || this.#cursorOffset < 0) {
      this.#cursorChunk = 0;
      this.#cursorOffset = 0;
    }
  }

  clear(): void {
    this.#chunks = [];
    this.#skipped = 0;
    this.#length = 0;
    this.#cursorChunk = 0;
    this.#cursorOffset = 0;
  }
}
