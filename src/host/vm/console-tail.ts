/**
 * Console bytes on their way to whoever watches, with their offset since power-on.
 *
 * Bytes that the primary let go may die with its host before anybody has read them, so a shadow
 * keeps the end of what its machine says and says it on go-live. Whoever watches shows each byte
 * once, by its offset (center/console-log.ts).
 */
/** As much as a center shows of the past. */
const keptBytesMax = 256 * 1024;

export class ConsoleTail {
  readonly #say: (offset: bigint, bytes: Uint8Array) => void;
  /** Offset of the next byte that is new. */
  #next = 0n;
  #kept = Buffer.alloc(0);

  constructor(say: (offset: bigint, bytes: Uint8Array) => void) {
    this.#say = say;
  }

  /** Bytes that a shadow computed. @returns those that are new */
  keep(offset: bigint, bytes: Uint8Array): Uint8Array {
    const known = this.#next > offset ? this.#next - offset : 0n;
    if (known >= bytes.length) return bytes.subarray(bytes.length);
    const fresh = bytes.subarray(Number(known));
    // What is kept is of one piece.
    const before = offset > this.#next ? Buffer.alloc(0) : this.#kept;
    this.#next = offset + BigInt(bytes.length);
    this.#kept = Buffer.concat([before, fresh]).subarray(-keptBytesMax);
    return fresh;
  }

  /** Bytes that the live copy lets go. */
  write(offset: bigint, bytes: Uint8Array): void {
    const fresh = this.keep(offset, bytes);
    if (fresh.length > 0) this.#say(this.#next - BigInt(fresh.length), fresh);
  }

  /** The end of what was said. */
  get kept(): { readonly offset: bigint; readonly bytes: Uint8Array } {
    return { offset: this.#next - BigInt(this.#kept.length), bytes: this.#kept };
  }

  /** This copy is live now: what may have been lost with the other one, again. */
  sayKept(): void {
    const { offset, bytes } = this.kept;
    if (bytes.length > 0) this.#say(offset, bytes);
  }
}
