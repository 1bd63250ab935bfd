/**
 * All that a guest says while its recording is replayed, with the times at which it did, in pieces of
 * a file (look-files.ts). What comes within a moment is one piece.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { consolePiece } from './look-files.ts';

/** Said within so long it is seen at once. */
const momentSeconds = 0.002;
const pieceBytesMax = 4_096;
const pendingBytesMax = 1 << 20;
/** Of all that is said; beyond it there is more than anybody scrolls through. */
export const consoleBytesMax = 16 * 2 ** 20;

export class ConsoleFile {
  /** Of what was said, as far as it is kept. */
  bytes = 0;
  isCut = false;
  readonly #file: number;
  #pieces: Uint8Array[] = [];
  #piecesBytes = 0;
  /** What is said in the present moment, and when that began. */
  #said: Uint8Array[] = [];
  #saidBytes = 0;
  #since = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'w', 0o600);
  }

  add(seconds: number, bytes: Uint8Array): void {
    if (this.bytes + bytes.length > consoleBytesMax) this.isCut = true;
    if (this.isCut) return;
    // A piece fits into a page, and is small enough for a screen to stop behind it.
    for (let at = 0; at < bytes.length; at += pieceBytesMax) {
      this.#say(seconds, bytes.slice(at, at + pieceBytesMax));
    }
  }

  #say(seconds: number, bytes: Uint8Array): void {
    const isNext =
      seconds - this.#since > momentSeconds || this.#saidBytes + bytes.length > pieceBytesMax;
    if (isNext) this.#moment();
    if (this.#saidBytes === 0) this.#since = seconds;
    this.#said.push(bytes);
    this.#saidBytes += bytes.length;
    this.bytes += bytes.length;
  }

  close(): void {
    try {
      this.#moment();
      this.#flush();
    } finally {
      closeSync(this.#file);
    }
  }

  #moment(): void {
    if (this.#saidBytes === 0) return;
    const piece = consolePiece(this.#since, Buffer.concat(this.#said));
    this.#said = [];
    this.#saidBytes = 0;
    this.#pieces.push(piece);
    this.#piecesBytes += piece.length;
    if (this.#piecesBytes > pendingBytesMax) this.#flush();
  }

  #flush(): void {
    const all = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#piecesBytes = 0;
    for (let at = 0; at < all.length; ) at += writeSync(this.#file, all, at);
  }
}
