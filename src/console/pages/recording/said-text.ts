/**
 * What a guest said, by the moments at which it did, as it comes from the center page by page; and
 * which part of it a terminal has to be given to show the screen of a moment. Knows no DOM.
 */
import type { RecordingConsolePage } from '../../../api/timeline-endpoints.ts';

/** So much makes a screen; what is further back has scrolled off it. */
const behindMax = 1 << 20;
const newLine = 0x0a;

export class SaidText {
  /** Of each piece: when it was said, and where it ends in `#bytes`. */
  readonly #seconds: number[] = [];
  readonly #ends: number[] = [];
  #bytes = new Uint8Array(1 << 16);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add({ seconds, lengths, bytes }: RecordingConsolePage): void {
    const fresh = Uint8Array.from(atob(bytes), (char) => char.charCodeAt(0));
    this.#makeRoom(fresh.length);
    this.#bytes.set(fresh, this.#length);
    for (const [index, at] of seconds.entries()) {
      this.#length += lengths[index]!;
      this.#seconds.push(at);
      this.#ends.push(this.#length);
    }
  }

  /** How much had been said by then. @param seconds of the guest's clock */
  lengthAt(seconds: number): number {
    let [low, high] = [0, this.#seconds.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#seconds[middle]! <= seconds) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : this.#ends[low - 1]!;
  }

  slice(from: number, to: number): Uint8Array {
    return this.#bytes.subarray(from, to);
  }

  /** From where an empty terminal has to be given what was said, to show the screen at `to`. */
  beginningOf(to: number): number {
    const far = to - behindMax;
    if (far <= 0) return 0;
    const line = this.#bytes.subarray(far, to).indexOf(newLine);
    return line < 0 ? far : far + line + 1;
  }

  #makeRoom(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + more));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
