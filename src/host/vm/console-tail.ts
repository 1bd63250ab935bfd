/**
 * Console bytes on their way to whoever watches: with the offset since power-on, so a byte that
 * both copies had in hand is shown once. The last part is kept for those who attach later.
 */
const keptBytesMax = 64 * 1024;

export class ConsoleTail {
  readonly #send: (offset: bigint, bytes: Uint8Array) => void;
  #sent = 0n;
  #kept = Buffer.alloc(0);

  constructor(send: (offset: bigint, bytes: Uint8Array) => void) {
    this.#send = send;
  }

  /** Bytes that the guest wrote; what has been sent before is left out. */
  write(offset: bigint, bytes: Uint8Array): void {
    const known = Number(this.#sent > offset ? this.#sent - offset : 0n);
    if (known >= bytes.length) return;
    const fresh = bytes.subarray(known);
    this.#send(offset + BigInt(known), fresh);
    this.#sent = offset + BigInt(bytes.length);
    this.#kept = Buffer.concat([this.#kept, fresh]).subarray(-keptBytesMax);
  }

  /** The end of what was written, and the offset of its first byte. */
  tail(): { offset: bigint; bytes: Uint8Array } {
    return { offset: this.#sent - BigInt(this.#kept.length), bytes: this.#kept };
  }
}
