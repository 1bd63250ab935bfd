/**
 * What is said on a VM's console, `GET /api/v1/vms/:vm/console` as a WebSocket: one JSON object a
 * message, bytes as base64.
 *
 * Offsets count console bytes since power-on, whoever was live when they were written: a viewer
 * that takes only what is at or beyond its offset shows each byte exactly once, also where the
 * center that it watched at was lost and another one shows it what its hosts still have.
 */
export type ConsoleToViewer =
  | ConsoleOutput
  /** Powered on anew: offsets begin again at 0. */
  | { readonly kind: 'poweredOn' };

export interface ConsoleOutput {
  readonly kind: 'output';
  readonly offset: string;
  readonly bytes: string;
  /** Which power-on offsets count from; another one: they begin again. */
  readonly powerOn: number;
}

export interface ConsoleFromViewer {
  readonly kind: 'input';
  readonly bytes: string;
}

/** Where a viewer is in the stream. Kept over reconnections, it shows no byte twice. */
export class ConsolePlace {
  #next = 0n;
  #powerOn: number | undefined;

  /** Powered on anew. */
  restart(): void {
    this.#next = 0n;
  }

  /**
   * @param bytes of the message, decoded
   * @returns what of them is new, and the offset at which that begins
   */
  take(
    { offset: text, powerOn }: Pick<ConsoleOutput, 'offset' | 'powerOn'>,
    bytes: Uint8Array,
  ): { readonly bytes: Uint8Array; readonly offset: bigint } {
    // It was powered on while no center was there to say so.
    if (this.#powerOn !== undefined && powerOn !== this.#powerOn) this.restart();
    this.#powerOn = powerOn;
    const offset = BigInt(text);
    const end = offset + BigInt(bytes.length);
    if (end <= this.#next) return { bytes: bytes.subarray(bytes.length), offset: this.#next };
    const fresh = offset >= this.#next ? bytes : bytes.subarray(Number(this.#next - offset));
    this.#next = end;
    return { bytes: fresh, offset: end - BigInt(fresh.length) };
  }
}
