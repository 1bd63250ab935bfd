/**
 * Guest RAM: devices' access to it, its hashes for fingerprints, and its part of checkpoints.
 *
 * Whoever writes RAM from outside the harts comes through here, so that the same pages are tracked.
 */
import { ByteReader, ByteWriter, MalformedBytes } from '../base/bytes.ts';
import type { GuestMemory } from './device.ts';
import type { Engine } from './engine.ts';
import { type Layout, pageBytes, pageFlag, pageShift, ramBase } from './layout.ts';
import { RamChanges, RamDelta } from './ram-changes.ts';
import { RamHistory, type RamLayer } from './ram-history.ts';

/** Four pages at a time: an idle machine has hundreds of thousands of pages, and none to hash again. */
const allHashed = pageFlag.hashed * 0x01010101;

/** The hash of a page is scaled by an odd number made of its place, so pages cannot be exchanged. */
const placeFactor = 0x9e3779b97f4a7c15n;

export class Ram implements GuestMemory {
  readonly #engine: Engine;
  readonly #layout: Layout;
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #hashes: BigUint64Array;
  /** The flags of pages, four of them in each. */
  readonly #flagWords: Uint32Array;
  /** The sum of the pages' scaled hashes; a page of zeros adds nothing. */
  #sum = 0n;
  readonly #zeroHash: bigint;
  /** Those under way: a shadow's, a snapshot's. */
  readonly #checkpoints = new Set<RamCheckpoint>();
  readonly #history = new RamHistory();
  readonly #changes = new Set<RamChanges>();
  readonly #deltas = new Set<RamDelta>();

  constructor(engine: Engine, layout: Layout) {
    this.#engine = engine;
    this.#layout = layout;
    this.#memory = engine.memory;
    const { buffer } = engine.memory;
    this.#hashes = new BigUint64Array(buffer, layout.pageHashesAt, layout.ramPages);
    this.#flagWords = new Uint32Array(buffer, layout.pageFlagsAt, Math.ceil(layout.ramPages / 4));
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

  /**
   * 64 bits over all of RAM; only pages written since they were hashed last are hashed again. That
   * may be nearly all of them, and takes as long, if neither this nor a checkpoint was asked for.
   */
  hash(): bigint {
    // All write translations are dropped below, so no page stands in them any more.
    for (let word = 0; word < this.#flagWords.length; word++) {
      if ((this.#flagWords[word]! & allHashed) === allHashed) continue;
      const end = Math.min((word + 1) * 4, this.#layout.ramPages);
      for (let page = word * 4; page < end; page++) this.#hashAgain(page);
    }
    this.#engine.flushTranslations();
    return this.#sum;
  }

  /** Only for a page that stands in no write translation, or will not when the machine runs again. */
  #hashAgain(page: number): void {
    const flagsAt = this.#layout.pageFlagsAt + page;
    const flags = this.#memory[flagsAt]!;
    if ((flags & pageFlag.hashed) !== 0) return;
    const own = BigInt.asUintN(64, this.#engine.hashPage(page) - this.#zeroHash);
    const scaled = BigInt.asUintN(64, own * (((BigInt(page) * placeFactor) << 1n) | 1n));
    this.#sum = BigInt.asUintN(64, this.#sum + scaled - this.#hashes[page]!);
    this.#hashes[page] = scaled;
    this.#memory[flagsAt] = (flags | pageFlag.hashed) & ~pageFlag.writable;
  }

  // --- Checkpoints

  beginCheckpoint(): RamCheckpoint {
    this.#flagAll(pageFlag.checkpoint);
    this.#engine.flushTranslations();
    // A page that nobody has touched since stands in no write translation: it is hashed where it is
    // read anyway, a few at a time, so that the first fingerprint behind it finds little to do.
    const passed = (page: number): void => this.#hashAgain(page);
    const checkpoint = new RamCheckpoint(
      this.#memory,
      this.#layout,
      passed,
      this.#checkpoints,
      (page) => this.#isAwaited(page),
    );
    this.#checkpoints.add(checkpoint);
    return checkpoint;
  }

  /** The engine says that a page is about to change. */
  preserve(page: number): void {
    for (const checkpoint of this.#checkpoints) checkpoint.preserve(page);
    for (const delta of this.#deltas) delta.preserve(page);
    for (const changes of this.#changes) changes.note(page);
    if (this.#history.wants(page)) this.#history.keep(page, this.#copy(page));
  }

  /** Whether somebody beside checkpoints of all RAM wants to hear of the next store into a page. */
  #isAwaited(page: number): boolean {
    if (this.#history.wants(page)) return true;
    for (const changes of this.#changes) if (!changes.has(page)) return true;
    for (const delta of this.#deltas) if (delta.wants(page)) return true;
    return false;
  }

  // --- What has changed

  trackChanges(): RamChanges {
    const changes = new RamChanges();
    this.#changes.add(changes);
    this.#awaitStores();
    return changes;
  }

  endTracking(changes: RamChanges): void {
    this.#changes.delete(changes);
  }

  /** What has changed so far counts as seen; what follows is noted anew. */
  takeChanges(changes: RamChanges): ReadonlySet<number> {
    const pages = changes.take();
    this.#awaitStores();
    return pages;
  }

  beginDelta(pages: ReadonlySet<number>): RamDelta {
    const pageAt = (page: number): Uint8Array => {
      const at = this.#layout.ramAt + page * pageBytes;
      return this.#memory.subarray(at, at + pageBytes);
    };
    const delta = new RamDelta(pages, pageAt, (ended) => this.#deltas.delete(ended));
    this.#deltas.add(delta);
    return delta;
  }

  #awaitStores(): void {
    this.#flagAll(pageFlag.checkpoint);
    this.#engine.flushTranslations();
  }

  // --- Going back

  /** Bytes that are kept for going back. */
  get historyBytes(): number {
    return this.#history.bytes;
  }

  beginLayer(): RamLayer {
    this.#awaitStores();
    return this.#history.begin();
  }

  /** RAM as it was when this layer began. */
  rewind(layer: RamLayer): void {
    const changed = this.#history.unwind(layer);
    for (const page of changed.keys()) {
      // Whatever a checkpoint under way still wants is set aside; the layer has it again later.
      this.#engine.noteStore(page);
    }
    layer.clear();
    for (const [page, kept] of changed) {
      const at = this.#layout.ramAt + page * pageBytes;
      if (kept === undefined) this.#memory.fill(0, at, at + pageBytes);
      else this.#memory.set(kept, at);
    }
    this.#awaitStores();
  }

  forgetLayer(layer: RamLayer): void {
    this.#history.forget(layer);
  }

  #copy(page: number): Uint8Array | undefined {
    if (!this.#isTouched(page)) return undefined;
    const at = this.#layout.ramAt + page * pageBytes;
    return this.#memory.slice(at, at + pageBytes);
  }

  /**
   * RAM becomes that of a checkpoint, or of a series of them from the last to the first: of a page
   * that comes again, the first counts. Pages that are the same already are left alone, with all
   * that was made of them.
   */
  beginRestore(): RamRestore {
    const seen = new Uint8Array(this.#layout.ramPages);
    this.#history.forgetAll();
    this.#engine.flushTranslations();
    return {
      add: (chunk) => {
        const reader = new ByteReader(chunk);
        while (reader.remaining > 0) {
          const page = reader.varint();
          if (page >= seen.length) throw new MalformedBytes(`no page ${page} in this RAM`);
          const bytes = reader.raw(pageBytes);
          if (seen[page] === 0) this.#become(page, bytes);
          seen[page] = 1;
        }
      },
      finish: () => {
        const zeros = new Uint8Array(pageBytes);
        for (let page = 0; page < seen.length; page++) {
          if (seen[page] === 0 && this.#isTouched(page)) this.#become(page, zeros);
        }
      },
    };
  }

  /** There are no translations while RAM is restored. */
  #become(page: number, bytes: Uint8Array): void {
    const at = this.#layout.ramAt + page * pageBytes;
    if (sameBytes(this.#memory.subarray(at, at + pageBytes), bytes)) return;
    this.write(BigInt(ramBase + page * pageBytes), bytes);
    this.#hashAgain(page);
  }

  #isTouched(page: number): boolean {
    return (this.#memory[this.#layout.pageFlagsAt + page]! & pageFlag.touched) !== 0;
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

/** RAM on its way to another content. */
export interface RamRestore {
  add(chunk: Uint8Array): void;
  finish(): void;
}

/** Pages read and hashed for one chunk at most: a megabyte, about a millisecond. */
const pagesReadMax = 256;

/**
 * RAM as it was when the checkpoint began. The cursor copies pages that nobody has touched since;
 * a page that is about to change and that the cursor has not reached is set aside first.
 */
export class RamCheckpoint {
  readonly #memory: Uint8Array;
  readonly #layout: Layout;
  readonly #passed: (page: number) => void;
  /** All that are under way, this one included. */
  readonly #all: Set<RamCheckpoint>;
  readonly #isAwaited: (page: number) => boolean;
  readonly #preserved = new Map<number, Uint8Array>();
  #cursor = 0;

  /**
   * @param passed told of each page that is copied as it stands in RAM
   * @param isAwaited whether others than checkpoints wait for a store into a page
   */
  constructor(
    memory: Uint8Array,
    layout: Layout,
    passed: (page: number) => void,
    all: Set<RamCheckpoint>,
    isAwaited: (page: number) => boolean,
  ) {
    this.#memory = memory;
    this.#layout = layout;
    this.#passed = passed;
    this.#all = all;
    this.#isAwaited = isAwaited;
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
      if (kept !== undefined) continue;
      this.#passed(page);
      this.#unflag(page);
    }
    if (this.#cursor >= this.#layout.ramPages) this.#all.delete(this);
    return chunk.close();
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
    if (this.#isAwaited(page)) return;
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

/** Both of a whole page. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  const left = new DataView(a.buffer, a.byteOffset);
  const right = new DataView(b.buffer, b.byteOffset);
  for (let at = 0; at < pageBytes; at += 8) {
    if (left.getInt32(at, true) !== right.getInt32(at, true)) return false;
    if (left.getInt32(at + 4, true) !== right.getInt32(at + 4, true)) return false;
  }
  return true;
}
