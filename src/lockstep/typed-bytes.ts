/**
 * How much has been typed on the machine's console since its copies began: so that what somebody
 * types is typed once, whoever is live when it arrives.
 *
 * From: console inputs, each with the place of its first byte in all that is typed. To: the machine's
 * queue, without what it has had already, and to whoever types, how far a failover loses nothing any
 * more. Both copies count alike: a shadow begins with the primary's number at its checkpoint and goes
 * on with the log. Invariant: `safe` never counts a byte that the copy that goes live would not have.
 */
import type { OutputGate } from './output-gate.ts';

interface Mark {
  /** Of the entry in the log. */
  readonly position: number;
  readonly total: number;
}

export class TypedBytes {
  #queued: number;
  #recorded: number;
  #safe: number;
  readonly #marks: Mark[] = [];

  /** @param total what the machine has been given before */
  constructor(total: number) {
    this.#queued = total;
    this.#recorded = total;
    this.#safe = total;
  }

  /** What is in the log. */
  get recorded(): number {
    return this.#recorded;
  }

  /**
   * Bytes on their way to the machine.
   * @param at the place of the first; undefined: whoever types does not count
   * @returns what of them is new; nothing, if some before them are missing: they are sent again
   */
  take(bytes: Uint8Array, at: number | undefined): Uint8Array {
    const known = at === undefined ? 0 : this.#queued - at;
    const fresh = known < 0 ? bytes.subarray(bytes.length) : bytes.subarray(known);
    this.#queued += fresh.length;
    return fresh;
  }

  /** An input of so many bytes has been recorded at this position. */
  record(length: number, position: number): void {
    this.#recorded += length;
    this.#marks.push({ position, total: this.#recorded });
  }

  /** What the shadow has, too, or this copy alone where nobody else may go live. */
  safe(gate: Pick<OutputGate, 'closed' | 'acknowledgedPosition'>): number {
    const { closed, acknowledgedPosition } = gate;
    while (
      this.#marks.length > 0 &&
      (!closed || this.#marks[0]!.position <= acknowledgedPosition)
    ) {
      this.#safe = this.#marks.shift()!.total;
    }
    return this.#safe;
  }
}
