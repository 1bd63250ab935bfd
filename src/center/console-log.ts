/**
 * The last console bytes of one VM, put together from whichever copies were live.
 *
 * From: hosts, each message with the offset of its first byte since power-on. To: viewers. Each
 * byte is kept and passed on once: after a failover the new live copy may send again what the old
 * one had sent already.
 */
export type ConsoleViewer = (
  output: { readonly offset: bigint; readonly bytes: Uint8Array } | 'poweredOn',
) => void;

const keptBytesMax = 256 * 1024;

export class ConsoleLog {
  /** Offset of the next byte that is new. */
  #next = 0n;
  #kept: Buffer = Buffer.alloc(0);
  readonly #viewers = new Set<ConsoleViewer>();

  /** The VM is powered on anew. */
  restart(): void {
    this.#next = 0n;
    this.#kept = Buffer.alloc(0);
    for (const viewer of this.#viewers) viewer('poweredOn');
  }

  take(offset: bigint, bytes: Uint8Array): void {
    const known = this.#next - offset;
    if (known >= BigInt(bytes.length)) return;
    const fresh = known > 0n ? bytes.subarray(Number(known)) : bytes;
    const from = known > 0n ? this.#next : offset;
    // Bytes that were lost with their sender: what is kept must be of one piece.
    if (from > this.#next) this.#kept = Buffer.alloc(0);
    this.#next = from + BigInt(fresh.length);
    this.#kept = Buffer.concat([this.#kept, fresh]).subarray(-keptBytesMax);
    for (const viewer of this.#viewers) viewer({ offset: from, bytes: fresh });
  }

  /** Shows what is kept and all that comes. @returns how to stop */
  watch(viewer: ConsoleViewer): () => void {
    if (this.#kept.length > 0) {
      viewer({ offset: this.#next - BigInt(this.#kept.length), bytes: this.#kept });
    }
    this.#viewers.add(viewer);
    return () => this.#viewers.delete(viewer);
  }
}
