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
  | { readonly kind: 'poweredOn' }
  /** So much of what this viewer types has been taken; said to viewers that count. */
  | { readonly kind: 'typed'; readonly upTo: number };

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
  /**
   * A viewer that counts: a name of its own, at most 64 characters, and the place of the first byte
   * in all that it types. What comes again after a lost connection is then typed once.
   */
  readonly viewer?: string;
  readonly at?: number;
}

/** Without an answer no more is kept; the rest is lost, as on a console without a line. */
const unansweredBytesMax = 64 * 1024;

/** What a viewer types, kept until the center has taken it. */
export class ConsoleKeys {
  readonly #viewer: string;
  /** The place of the first byte that is kept. */
  #taken = 0;
  #kept = new Uint8Array(0);

  /** @param viewer a name that no other viewer has */
  constructor(viewer: string) {
    this.#viewer = viewer;
  }

  /** @returns what is to be sent, now or by `unanswered` when the connection is there again */
  type(bytes: Uint8Array): ConsoleFromViewer {
    const fresh = bytes.subarray(0, unansweredBytesMax - this.#kept.length);
    const at = this.#taken + this.#kept.length;
    const kept = new Uint8Array(this.#kept.length + fresh.length);
    kept.set(this.#kept);
    kept.set(fresh, this.#kept.length);
    this.#kept = kept;
    return this.#message(fresh, at);
  }

  taken({ upTo }: { readonly upTo: number }): void {
    if (upTo <= this.#taken) return;
    this.#kept = this.#kept.slice(upTo - this.#taken);
    this.#taken = upTo;
  }

  /** At the beginning of a connection: what no center may have heard. */
  unanswered(): ConsoleFromViewer | undefined {
    return this.#kept.length === 0 ? undefined : this.#message(this.#kept, this.#taken);
  }

  #message(bytes: Uint8Array, at: number): ConsoleFromViewer {
    const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
    return { kind: 'input', bytes: text, viewer: this.#viewer, at };
  }
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
