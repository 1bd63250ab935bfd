/**
 * What people type on one VM's console, on its way to whichever copy is live: each byte once, in
 * order, also where hosts are lost meanwhile.
 *
 * From: viewers, each counting its own bytes (api/console-messages.ts). To: the live copy, by one
 * count for all that is typed since the VM was started; its status says how far a failover loses
 * nothing any more (`typedBytes`). What lies beyond is kept, and sent again to the copy that goes
 * live, which passes over what it has had (lockstep/typed-bytes.ts).
 */
import type { VmStatus } from '../api/agent.ts';

/** The live copy, by the connection of its host. */
export interface TypingTarget {
  /** The same object for the same connection. */
  readonly connection: object;
  readonly status: Pick<VmStatus, 'process' | 'role' | 'typedBytes'>;
  readonly send: (bytes: Uint8Array, at: number | undefined) => void;
}

/** As much as the guest's UART keeps; beyond that a line without a listener loses bytes, too. */
const pendingBytesMax = 64 * 1024;
const viewersMax = 256;

export class ConsoleTyping {
  /** The place of the first byte that is kept. */
  #safe = 0;
  #pending: Buffer = Buffer.alloc(0);
  /** The place up to which the target has been told. */
  #sent = 0;
  #target: { readonly connection: object; readonly process: string } | undefined;
  /** How much of each viewer has been taken, the latest last. */
  readonly #viewers = new Map<string, number>();

  /** The VM is started or resumed: what was typed before was for another run, and counting begins. */
  restart(): void {
    this.#pending = Buffer.alloc(0);
    this.#safe = 0;
    this.#sent = 0;
    this.#target = undefined;
  }

  /**
   * Of a viewer that counts: without what has been taken of it already.
   * @param at the place of the first byte in all that this viewer types
   */
  fresh(viewer: string, bytes: Uint8Array, at: number): Uint8Array {
    const taken = this.#viewers.get(viewer) ?? at;
    this.#viewers.delete(viewer);
    this.#viewers.set(viewer, Math.max(taken, at + bytes.length));
    const [oldest] = this.#viewers.keys();
    if (this.#viewers.size > viewersMax) this.#viewers.delete(oldest!);
    return bytes.subarray(Math.min(bytes.length, Math.max(0, taken - at)));
  }

  /** @param target undefined: the live copy is not to be had at present */
  type(bytes: Uint8Array, target: TypingTarget | undefined): void {
    const room = pendingBytesMax - this.#pending.length;
    this.#pending = Buffer.concat([this.#pending, bytes.subarray(0, room)]);
    this.look(target);
  }

  /** The live copy has said something of itself, or another one is live. */
  look(target: TypingTarget | undefined): void {
    // A copy hears nothing before it is live.
    if (target?.status.role !== 'live') return;
    const { connection, status } = target;
    const { process, typedBytes = this.#safe } = status;
    const former = this.#target;
    if (former?.connection !== connection || former.process !== process) {
      this.#target = { connection, process };
      this.#begin(typedBytes, former !== undefined);
    } else if (typedBytes > this.#safe) this.#forget(typedBytes);
    this.#send(target);
  }

  /** @param hasHeard there was another copy, or connection, which has had what it has had */
  #begin(typedBytes: number, hasHeard: boolean): void {
    const isNext = typedBytes >= this.#safe && typedBytes <= this.#safe + this.#pending.length;
    if (hasHeard && isNext) this.#forget(typedBytes);
    else if (hasHeard) this.#pending = Buffer.alloc(0);
    this.#safe = typedBytes;
    this.#sent = typedBytes;
  }

  #forget(typedBytes: number): void {
    this.#pending = this.#pending.subarray(typedBytes - this.#safe);
    this.#safe = typedBytes;
    this.#sent = Math.max(this.#sent, typedBytes);
  }

  #send({ status, send }: TypingTarget): void {
    const bytes = this.#pending.subarray(this.#sent - this.#safe);
    if (bytes.length === 0) return;
    if (status.typedBytes !== undefined) {
      send(bytes, this.#sent);
      this.#sent += bytes.length;
      return;
    }
    // It does not count: nothing will be known of what it has had.
    send(bytes, undefined);
    this.#pending = Buffer.alloc(0);
  }
}
