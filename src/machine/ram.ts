/**
 * Guest RAM: devices' access to it, its hashes for fingerprints, and its part of checkpoints.
 *
 * Whoever writes RAM from outside the harts comes through here, so that the same pages are tracked.
 */
import { ByteReader, ByteWriter, MalformedBytes } from '../base/bytes.ts';
import type { GuestMemory } from './device.ts';
import type { Engine } from './engine.ts';
import { type Layout, pageBytes, pageFlag, pageShift, ramBase } from './layout.ts';

/** The hash of a page is scaled by an odd number made of its place, so pages cannot be exchanged. */
const placeFactor = 0x9e3779b97f4a7c15n;

export class Ram implements GuestMemory {
  readonly #engine: Engine;
  readonly #layout: Layout;
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #hashes: BigUint64Array;
  /** The sum of the pages' scaled hashes; a page of zeros adds nothing. */
  #sum = 0n;
  readonly #zeroHash: bigint;
  /** Those under way: a shadow's, a snapshot's. */
  readonly #checkpoints = new Set<RamCheckpoint>();

  constructor(engine: Engine, layout: Layout) {
    this.#engine = engine;
    this.#layout = layout;
    this.#memory = engine.memory;
    this.#hashes = new BigUint64Array(engine.memory.buffer, layout.pageHashesAt, layout.ramPages);
    // Fresh memory is zero everywhere; the first page tells what that hashes to.
    this.#zeroHash = engine.hashPage(0);
    this.#flagAll(pageFlag.hashed);
  }

  view(address: bigint, length: number): Uint8Array | undefined {
    const at = this.#place(address, length);
    return at === undefined ? undefined : this.#memory.subarray(at, at + length);
  }

  write(address: bigint, bytes: Uint8Array): boolean {
    const at = this.#place(address, bytes.length);
    if (at === undefined) return false;
    if (bytes.length === 0) return true;
    const first = (at - this.#layout.ramAt) >>> pageShift;
    const last = (at + bytes.length - 1 - this.#layout.ramAt) >>> pageShift;
    for (let page = first; page <= last; page++) this.#engine.noteStore(page);
    this.#memory.set(bytes, at);
    return true;
  }

  clear(): void {
    const { ramAt, ramBytes } = this.#layout;
    this.#engine.flushCode();
    for (let page = 0; page < this.#layout.ramPages; page++) this.#engine.noteStore(page);
    this.#memory.fill(0, ramAt, ramAt + ramBytes);
    const { pageFlagsAt, ramPages } = this.#layout;
    for (let at = pageFlagsAt; at < pageFlagsAt + ramPages; at++) {
      this.#memory[at] = this.#memory[at]! & ~pageFlag.touched;
    }
  }

  /** 64 bits over all of RAM; only pages written since the last call are hashed again. */
  hash(): bigint {
    const { ramPages, pageFlagsAt } = this.#layout;
    let sum = this.#sum;
    for (let page = 0; page < ramPages; page++) {
      const flags = this.#memory[pageFlagsAt + page]!;
      if ((flags & pageFlag.hashed) !== 0) continue;
      const own = BigInt.asUintN(64, this.#engine.hashPage(page) - this.#zeroHash);
      const scaled = BigInt.asUintN(64, own * (((BigInt(page) * placeFactor) << 1n) | 1n));
      sum += scaled - this.#hashes[page]!;
      this.#hashes[page] = scaled;
      // All write translations are dropped below, so no page may stand in them any more.
      this.#memory[pageFlagsAt + page] = (flags | pageFlag.hashed) & ~pageFlag.writable;
    }
    this.#engine.flushTranslations();
    this.#sum = BigInt.asUintN(64, sum);
    return this.#sum;
  }

  // --- Checkpoints

  beginCheckpoint(): RamCheckpoint {
    this.#flagAll(pageFlag.checkpoint);
    this.#engine.flushTranslations();
    const checkpoint = new RamCheckpoint(this.#memory, this.#layout, this.#checkpoints);
    this.#checkpoints.add(checkpoint);
    return checkpoint;
  }

  /** The engine says that a page is about to change. */
  preserve(page: number): void {
    for (const checkpoint of this.#checkpoints) checkpoint.preserve(page);
  }

  /** One chunk of a checkpoint into RAM. */
  restoreChunk(chunk: Uint8Array): void {
    const reader = new ByteReader(chunk);
    while (reader.remaining > 0) {
      const page = reader.varint();
      if (page >= this.#layout.ramPages) throw new MalformedBytes(`no page ${page} in this RAM`);
      const bytes = reader.raw(pageBytes);
      this.write(BigInt(ramBase + page * pageBytes), bytes);
    }
  }

  #place(address: bigint, length: number): number | undefined {
    const offset = address - BigInt(ramBase);
    if (offset < 0n || offset + BigInt(length) > BigInt(this.#layout.ramBytes)) return undefined;
    return this.#layout.ramAt + Number(offset);
  }

  /** The caller drops write translations, or knows that there are none. */
  #flagAll(flag: number): void {
    const { pageFlagsAt, ramPages } = this.#layout;
    for (let at = pageFlagsAt; at < pageFlagsAt + ramPages; at++) {
      this.#memory[at] = (this.#memory[at]! | flag) & ~pageFlag.writable;
    }
  }
}

/** Pages read for one chunk at most: four megabytes, about a millisecond. */
const pagesReadMax = 1024;

/**
 * RAM as it was when the checkpoint began. The cursor copies pages that nobody has touched since;
 * a page that is about to change and that the cursor has not reached is set aside first.
 */
export class RamCheckpoint {
  readonly #memory: Uint8Array;
  readonly #layout: Layout;
  /** All that are under way, this one included. */
  readonly #all: Set<RamCheckpoint>;
  readonly #preserved = new Map<number, Uint8Array>();
  #cursor = 0;

  constructor(memory: Uint8Array, layout: Layout, all: Set<RamCheckpoint>) {
    this.#memory = memory;
    this.#layout = layout;
    this.#all = all;
  }

  get bytesLeft(): number {
    return (this.#layout.ramPages - this.#cursor) * pageBytes;
  }

  preserve(page: number): void {
    if (page < this.#cursor || this.#preserved.has(page)) return;
    this.#preserved.set(page, this.#page(page).slice());
  }

  /**
   * Pages that are not all zero, each behind its number. Untouched ones are passed over unread. The
   * machine stands still meanwhile, so only so many are read: a chunk may be short, or empty.
   */
  next(bytesMax: number): Uint8Array | undefined {
    if (this.#cursor >= this.#layout.ramPages) return undefined;
    const chunk = new ByteWriter(Math.min(bytesMax, this.bytesLeft) + pageBytes);
    let read = 0;
    while (this.#cursor < this.#layout.ramPages && chunk.length < bytesMax) {
      if (read >= pagesReadMax) break;
      const page = this.#cursor++;
      if (!this.#isTouched(page)) {
        this.#unflag(page);
        continue;
      }
      read++;
      const kept = this.#preserved.get(page);
      const bytes = kept ?? this.#page(page);
      if (!isZero(bytes)) chunk.varint(page).raw(bytes);
      this.#preserved.delete(page);
      if (kept === undefined) this.#unflag(page);
    }
    if (this.#cursor >= this.#layout.ramPages) this.#all.delete(this);
    return chunk.finish();
  }

  cancel(): void {
    if (this.#cursor >= this.#layout.ramPages) return;
    const from = this.#cursor;
    this.#cursor = this.#layout.ramPages;
    for (let page = from; page < this.#layout.ramPages; page++) this.#unflag(page);
    this.#preserved.clear();
    this.#all.delete(this);
  }

  #isTouched(page: number): boolean {
    return (this.#memory[this.#layout.pageFlagsAt + page]! & pageFlag.touched) !== 0;
  }

  #page(page: number): Uint8Array {
    const at = this.#layout.ramAt + page * pageBytes;
    return this.#memory.subarray(at, at + pageBytes);
  }

  /** This one does not wait for the page any more; another one may. */
  #unflag(page: number): void {
    for (const other of this.#all) if (other.#cursor <= page) return;
    const at = this.#layout.pageFlagsAt + page;
    this.#memory[at] = this.#memory[at]! & ~pageFlag.checkpoint;
  }
}

function isZero(bytes: Uint8Array): boolean {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  for (let at = 0; at < words.length; at++) if (words[at] !== 0) return false;
  return true;
}
