/**
 * The way out of a switch onto a socket: the frames of one turn of the event loop leave in one
 * write, and a peer that does not read makes the queue full, never the memory.
 *
 * From: the batch that a port or a trunk fills. To: the socket. Invariant: at most the batch's bound
 * plus one batch waits; what does not fit is dropped and counted, as by a network card (framing.ts).
 */
import type { Duplex } from 'node:stream';
import type { FrameBatch } from '../network/framing.ts';

export class Outlet {
  readonly #socket: Duplex;
  readonly #batch: FrameBatch;

  constructor(socket: Duplex, batch: FrameBatch) {
    this.#socket = socket;
    this.#batch = batch;
    socket.on('drain', () => this.flush());
  }

  flush(): void {
    if (this.#batch.length === 0 || this.#socket.writableNeedDrain) return;
    if (this.#socket.writable) this.#socket.write(this.#batch.take());
  }
}
