/**
 * What is said on a VM's console, `GET /api/v1/vms/:vm/console` as a WebSocket: one JSON object a
 * message, bytes as base64.
 *
 * Offsets count console bytes since power-on, whoever was live when they were written: a viewer
 * that takes only what is at or beyond its offset shows each byte exactly once.
 */
export type ConsoleToViewer =
  | { readonly kind: 'output'; readonly offset: string; readonly bytes: string }
  /** Powered on anew: offsets begin again at 0. */
  | { readonly kind: 'poweredOn' };

export interface ConsoleFromViewer {
  readonly kind: 'input';
  readonly bytes: string;
}

/** Where a viewer is in the stream. Kept over reconnections, it shows no byte twice. */
export class ConsolePlace {
  #next = 0n;

  /** Powered on anew. */
  restart(): void {
    this.#next = 0n;
  }

  /** @returns what of these bytes is new, and the offset at which that begins */
  take(offset: bigint, bytes: Uint8Array): { readonly bytes: Uint8Array; readonly offset: bigint } {
    const end = offset + BigInt(bytes.length);
    if (end <= this.#next) return { bytes: bytes.subarray(bytes.length), offset: this.#next };
    const fresh = offset >= this.#next ? bytes : bytes.subarray(Number(this.#next - offset));
    this.#next = end;
    return { bytes: fresh, offset: end - BigInt(fresh.length) };
  }
}
