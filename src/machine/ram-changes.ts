/**
 * Which pages of RAM have changed since a moment, and checkpoints of those pages alone.
 *
 * From: `Ram.preserve`, which the engine calls ahead of the first store into a page that somebody
 * waits for. To: the snapshots of a recording, each of which holds what changed since the one before.
 */
import { ByteWriter } from '../base/bytes.ts';
import { pageBytes } from './layout.ts';

/** Since it was made or was asked last. */
export class RamChanges {
  #pages = new Set<number>();

  has(page: number): boolean {
    return this.#pages.has(page);
  }

  note(page: number): void {
    this.#pages.add(page);
  }

  take(): ReadonlySet<number> {
    const pages = this.#pages;
    this.#pages = new Set();
    return pages;
  }
}

/** Pages copied for one chunk at most, since the machine stands still meanwhile. */
const pagesCopiedMax = 128;

/** Some pages as they were when it began, those of zeros included. */
export class RamDelta {
  readonly #pageAt: (page: number) => Uint8Array;
  readonly #ended: () => void;
  /** Still to be copied, in ascending order from the cursor on. */
  readonly #pages: Uint32Array;
  readonly #left: Set<number>;
  readonly #preserved = new Map<number, Uint8Array>();
  #cursor = 0;

  constructor(
    pages: ReadonlySet<number>,
    pageAt: (page: number) => Uint8Array,
    ended: (delta: RamDelta) => void,
  ) {
    this.#pages = Uint32Array.from(pages).sort();
    this.#left = new Set(pages);
    this.#pageAt = pageAt;
    this.#ended = () => ended(this);
  }

  get bytesLeft(): number {
    return (this.#pages.length - this.#cursor) * pageBytes;
  }

  wants(page: number): boolean {
    return this.#left.has(page);
  }

  preserve(page: number): void {
    if (!this.#left.delete(page)) return;
    this.#preserved.set(page, this.#pageAt(page).slice());
  }

  next(bytesMax: number): Uint8Array | undefined {
    if (this.#cursor >= this.#pages.length) {
      this.#ended();
      return undefined;
    }
    const chunk = new ByteWriter(Math.min(bytesMax, this.bytesLeft) + 2 * pageBytes);
    for (let copied = 0; copied < pagesCopiedMax && chunk.length < bytesMax; copied++) {
      if (this.#cursor >= this.#pages.length) break;
      const page = this.#pages[this.#cursor++]!;
      chunk.varint(page).raw(this.#preserved.get(page) ?? this.#pageAt(page));
      this.#preserved.delete(page);
      this.#left.delete(page);
    }
    return chunk.close();
  }

  cancel(): void {
    this.#cursor = this.#pages.length;
    this.#left.clear();
    this.#preserved.clear();
    this.#ended();
  }
}
