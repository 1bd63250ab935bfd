/**
 * The translator tier: makes regions of hot code, keeps them in a table of functions, and lets go
 * of the oldest when they take too much memory.
 *
 * The interpreter asks by `want` when landings at a place have become many. The region is found and
 * emitted at once, while the lookaside buffers know the pages around it; many are compiled as one
 * module, once there are enough of them or one is wanted again. How much is translated during one
 * run is bounded, so no slice is held up for long; what is put off is asked for again by later
 * landings.
 *
 * A region is in force while the words of its entries name it. A store into a page clears the words
 * of that page (machine/semantics/tracking.ts); dropping a region clears its own.
 */
import { assert } from '../../base/assert.ts';
import { hart, status } from '../../isa/hart-state.ts';
import type { Routine } from '../../isa/semantics.ts';
import {
  codePage,
  entryWord,
  type Layout,
  pageBytes,
  pageShift,
  recordShift,
  run,
  tlbEntries,
  tlbEntryBytes,
} from '../../machine/layout.ts';
import { isDecoded, landingsFull, record } from '../record.ts';
import { ModuleWriter } from '../wasm/module.ts';
import { type CodePlace, type CodeSource, Discovery, offsetIn, pageOf } from './discover.ts';
import { type EmittedRegion, emitRegion } from './emit.ts';
import { type EmitContext, regionType } from './frame.ts';
import { targetsOf } from './jump-targets.ts';
import { type KnownBits, Specialiser } from './specialise.ts';

export interface TranslatorOptions {
  /** Landings at a place after which it is translated; Infinity: never. */
  readonly hotLandings: number;
  /**
   * Instructions executed for each of these landings, at most: what is landed on more seldom stays
   * interpreted. Infinity: a number of landings is enough.
   */
  readonly hotInstructionsMax: number;
  /** WebAssembly code kept, in bytes. */
  readonly codeBytesMax: number;
  /** WebAssembly code made during one run, in bytes, and more in long ones; the rest is put off. */
  readonly codeBytesPerRun: number;
  /**
   * Regions are compiled together once there is so much of them, because what lies together needs
   * fewer entries of the host's lookaside buffers; a region that goes on being wanted does not wait.
   * 0: each at once.
   */
  readonly codeBytesPerModule: number;
  /** Whether the host's relaxed_madd rounds once, on this processor and in all its compilers. */
  readonly fusedMultiplyAdd: boolean;
  readonly observe?: EngineObserver | undefined;
}

/** What the engine does instead of executing; the host has the clock that tells how long it took. */
export interface EngineObserver {
  begin(what: 'translate' | 'compile'): void;
  end(): void;
}

export const defaultTranslation: TranslatorOptions = {
  hotLandings: 8_000,
  hotInstructionsMax: 20_000,
  codeBytesMax: 24 << 20,
  codeBytesPerRun: 6_000,
  codeBytesPerModule: 64_000,
  fusedMultiplyAdd: false,
};

/** What a region may call. */
export type Callees = ReadonlyMap<Routine, (...args: never[]) => unknown>;

/** An entry: where its word is, the landings in its record, and its page's version. */
interface Entry {
  readonly wordAt: number;
  readonly landingsAt: number;
  readonly versionAt: number;
  readonly version: number;
}

interface Kept {
  readonly slot: number;
  readonly bytes: number;
  readonly entries: readonly Entry[];
  unfit: number;
}

interface Pending {
  readonly emitted: EmittedRegion;
  readonly entries: readonly Entry[];
  /** Where straight lines go on behind the region. */
  readonly cuts: readonly Entry[];
}

/** Instructions of an ordinary slice, a quarter of a millisecond. */
const shortRun = 200_000;

/** Failures of what a region relies on after which it is made anew, relying on nothing. */
const unfitMax = 8;
/** How many entries are remembered of each kind; to forget them costs a little time. */
const rememberedMax = 10_000;

export interface TranslatorStatistics {
  readonly regions: number;
  readonly bytes: number;
  /** Regions made so far. */
  readonly made: number;
}

export class Translator {
  readonly #memory: WebAssembly.Memory;
  readonly #view: DataView;
  readonly #layout: Layout;
  readonly #options: TranslatorOptions;
  readonly #table: WebAssembly.Table;
  /** Which page of RAM has its code at a place. */
  readonly #pageAt: (place: number) => number;
  readonly #callees: Callees;
  /** What the imports are called in every module of regions. */
  readonly #numbers: Omit<EmitContext, 'specialiser'>;
  /** In the order in which they were made. */
  readonly #kept = new Map<number, Kept>();
  readonly #freeSlots: number[] = [];
  /** Emitted and not yet compiled, by the name of the entry. */
  readonly #pending = new Map<string, Pending>();
  #pendingBytes = 0;
  /** What may still be made during this run. */
  #bytesLeft = 0;
  #keptBytes = 0;
  #made = 0;
  /** Entries whose regions have been found unfit too often. */
  readonly #general = new Set<string>();
  /** Instructions executed in all runs so far. */
  #executed = 0;
  /** `#executed` when an entry has last had so many landings, by its name. */
  readonly #landed = new Map<string, number>();
  /** Entries at which a straight line goes on behind a region. */
  readonly #expected = new Set<string>();

  constructor(
    memory: WebAssembly.Memory,
    layout: Layout,
    table: WebAssembly.Table,
    pageAt: (place: number) => number,
    callees: Callees,
    options: TranslatorOptions,
  ) {
    this.#memory = memory;
    this.#view = new DataView(memory.buffer);
    this.#layout = layout;
    this.#table = table;
    this.#pageAt = pageAt;
    this.#callees = callees;
    this.#options = options;
    const indices = new Map([...callees.keys()].map((routine, index) => [routine, index]));
    this.#numbers = {
      fusedMultiplyAdd: options.fusedMultiplyAdd,
      regionTypeIndex: this.#newModule().typeIndex(regionType),
      functionIndex: (routine) => {
        const index = indices.get(routine);
        assert(index !== undefined, `${routine.name} is not there for regions`);
        return index;
      },
    };
  }

  get statistics(): TranslatorStatistics {
    return { regions: this.#kept.size, bytes: this.#keptBytes, made: this.#made };
  }

  // --- Asked for by the interpreter

  /** The code at `hart.pc` is hot. */
  want(): void {
    const entry = this.#entryHere();
    if (entry === undefined) return;
    // Until there is a region the landings are counted anew.
    this.#setWord(entry, 0);
    const name = nameOf(entry);
    if (this.#pending.has(name)) {
      this.#compile();
      return;
    }
    if (!this.#isDense(name) || this.#bytesLeft < 0) return;
    this.#landed.delete(name);
    this.#options.observe?.begin('translate');
    const pending = this.#translate(this.#general.has(name) ? [] : this.#knownBits());
    this.#options.observe?.end();
    if (pending === undefined) return;
    this.#pending.set(name, pending);
    this.#pendingBytes += pending.emitted.body.bytes.length;
    this.#bytesLeft -= pending.emitted.body.bytes.length;
    const goesOn = this.#expected.delete(name);
    if (goesOn || this.#pendingBytes >= this.#options.codeBytesPerModule) this.#compile();
  }

  /** Whether the landings at an entry have been close together. The first time nothing is known. */
  #isDense(name: string): boolean {
    const { hotInstructionsMax, hotLandings } = this.#options;
    if (hotInstructionsMax === Number.POSITIVE_INFINITY || this.#expected.has(name)) return true;
    const since = this.#landed.get(name);
    if (this.#landed.size > rememberedMax) this.#landed.clear();
    this.#landed.set(name, this.#executed);
    return since !== undefined && this.#executed - since <= hotLandings * hotInstructionsMax;
  }

  #translate(known: readonly KnownBits[]): Pending | undefined {
    const specialiser = new Specialiser(known);
    const { page, offset } = this.#place();
    const region = Discovery.region(this.#sourceAround(page), specialiser, offset);
    if (region === undefined) return undefined;
    const emitted = emitRegion(region, { ...this.#numbers, specialiser });
    const entryAt = (at: number): Entry => entryOf(region.pages.get(pageOf(at))!, offsetIn(at));
    return { emitted, entries: emitted.entries.map(entryAt), cuts: region.cuts.map(entryAt) };
  }

  /** The region at `hart.pc` has returned, because what it relies on does not hold. */
  unfit(): void {
    const entry = this.#entryHere();
    if (entry === undefined) return;
    const word = this.#view.getUint32(entry.wordAt, true);
    const kept = this.#kept.get((word & (entryWord.translated - 1)) >>> entryWord.entryBits);
    if (word < entryWord.translated || kept === undefined) return;
    kept.unfit += 1;
    if (kept.unfit < unfitMax) return;
    this.#drop(kept);
    if (this.#general.size > rememberedMax) this.#general.clear();
    for (const each of kept.entries) this.#general.add(nameOf(each));
  }

  /** A run of so many instructions begins. */
  beginRun(budget: number): void {
    this.#bytesLeft = this.#options.codeBytesPerRun * (1 + budget / shortRun);
  }

  /** A run has ended. */
  endRun(executed: number): void {
    this.#executed += executed;
  }

  /** Compiles what has been emitted, and puts it in force where its pages are still the same. */
  #compile(): void {
    const pending = [...this.#pending.values()].filter(({ entries }) =>
      entries.every((entry) => this.#view.getUint32(entry.versionAt, true) === entry.version),
    );
    this.#forgetPending();
    if (pending.length === 0) return;
    const bytes = pending.reduce((sum, { emitted }) => sum + emitted.body.bytes.length, 0);
    this.#makeRoom(bytes);
    this.#options.observe?.begin('compile');
    const functions = this.#instantiate(pending);
    this.#options.observe?.end();
    for (const [index, each] of pending.entries()) this.#keep(each, functions[index]!);
  }

  /** Lets go of every region. */
  flush(): void {
    this.#forgetPending();
    for (const kept of this.#kept.values()) this.#drop(kept);
    this.#general.clear();
    this.#expected.clear();
  }

  #forgetPending(): void {
    this.#pending.clear();
    this.#pendingBytes = 0;
  }

  // --- Modules

  /** A module with the imports that all regions share, in an order that is always the same. */
  #newModule(): ModuleWriter {
    const module = new ModuleWriter();
    for (const routine of this.#callees.keys()) module.importFunction(routine.name, routine);
    return module;
  }

  #instantiate(pending: readonly Pending[]): CallableFunction[] {
    const module = this.#newModule();
    const names = pending.map((_, index) => `region${index}`);
    for (const [index, { emitted }] of pending.entries()) {
      const position = module.declareFunction(regionType);
      module.setBody(position, emitted.body);
      module.export(names[index]!, position);
    }
    const bytes = module.finish(this.#layout.totalBytes / 65536);
    const functions = [...this.#callees].map(([routine, callee]) => [routine.name, callee]);
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      umbra: { memory: this.#memory, table: this.#table, ...Object.fromEntries(functions) },
    });
    return names.map((name) => instance.exports[name] as CallableFunction);
  }

  #keep({ cuts, emitted, entries }: Pending, region: CallableFunction): void {
    const slot = this.#freeSlots.pop() ?? this.#table.grow(1);
    this.#table.set(slot, region);
    const bytes = emitted.body.bytes.length;
    this.#kept.set(slot, { slot, bytes, entries, unfit: 0 });
    this.#keptBytes += bytes;
    this.#made += 1;
    for (const [index, entry] of entries.entries()) {
      // The region that was made for a place has it; others begin there only if nobody else does.
      const taken = this.#view.getUint32(entry.wordAt, true) >= entryWord.translated;
      if (index > 0 && taken) continue;
      this.#setWord(entry, wordOf(slot, index));
    }
    for (const cut of cuts) this.#expect(cut);
  }

  /** The next landing there makes it hot, and what is made then does not wait for others. */
  #expect(entry: Entry): void {
    const almost = this.#options.hotLandings - 1;
    if (this.#view.getUint32(entry.wordAt, true) >= almost) return;
    this.#setWord(entry, almost);
    if (this.#expected.size > rememberedMax) this.#expected.clear();
    this.#expected.add(nameOf(entry));
  }

  /** 0: landings are counted from the beginning; otherwise the next one looks at the word. */
  #setWord({ landingsAt, wordAt }: Entry, word: number): void {
    this.#view.setUint32(wordAt, word, true);
    this.#view.setUint8(landingsAt, word === 0 ? 0 : landingsFull);
  }

  // --- Room

  #makeRoom(bytes: number): void {
    if (this.#keptBytes + bytes <= this.#options.codeBytesMax) return;
    for (const kept of this.#kept.values()) if (!this.#inForce(kept)) this.#drop(kept);
    // A quarter at a time, the oldest first: what is hot is soon made again.
    const goal = Math.max(0, this.#options.codeBytesMax * 0.75 - bytes);
    for (const kept of this.#kept.values()) {
      if (this.#keptBytes <= goal) return;
      this.#drop(kept);
    }
  }

  #inForce({ slot, entries }: Kept): boolean {
    return entries.some(
      ({ wordAt }, index) => this.#view.getUint32(wordAt, true) === wordOf(slot, index),
    );
  }

  #drop(kept: Kept): void {
    for (const [index, entry] of kept.entries.entries()) {
      if (this.#view.getUint32(entry.wordAt, true) !== wordOf(kept.slot, index)) continue;
      this.#setWord(entry, 0);
    }
    this.#table.set(kept.slot, null);
    this.#freeSlots.push(kept.slot);
    this.#kept.delete(kept.slot);
    this.#keptBytes -= kept.bytes;
  }

  // --- The machine's code, as it is mapped now

  /** `hart.pc`, taken apart. */
  #place(): { page: bigint; offset: number } {
    const pc = this.#view.getBigUint64(hart.pc.at, true);
    return { page: pc & ~offsetMask, offset: Number(pc & offsetMask) };
  }

  /** What a region at `hart.pc` would be entered by, if the page is known there. */
  #entryHere(): Entry | undefined {
    const { page, offset } = this.#place();
    const code = this.#mapped(page);
    return code && entryOf(code, offset);
  }

  #sourceAround(home: bigint): CodeSource {
    const view = this.#view;
    const { ramAt } = this.#layout;
    return {
      page: (delta) => this.#mapped(BigInt.asUintN(64, home + BigInt(delta * pageBytes))),
      half: ({ place }, offset) =>
        view.getUint16(ramAt + this.#pageAt(place) * pageBytes + offset, true),
      decoded: ({ place }, offset) => isDecoded(view, place + (offset << recordShift)),
      targets: ({ place }, offset) =>
        targetsOf(view, this.#layout, place + (offset << recordShift)),
    };
  }

  /** The page of code that the fetch lookaside buffer knows for a virtual page. */
  #mapped(page: bigint): CodePlace | undefined {
    const view = this.#view;
    const index = Number((page >> BigInt(pageShift)) & BigInt(tlbEntries - 1));
    const entry = view.getUint32(run.fetchBank.at, true) + index * tlbEntryBytes;
    if (view.getBigUint64(entry, true) !== page) return undefined;
    const place = view.getUint32(entry + 8, true);
    return { place, version: view.getUint32(place + codePage.versionAt, true) };
  }

  /** What holds now and is likely to hold whenever this code runs. */
  #knownBits(): KnownBits[] {
    const view = this.#view;
    const bank = view.getUint32(run.dataBank.at, true);
    const known: KnownBits[] = [{ field: run.dataBank, mask: 0xffff_ffffn, value: BigInt(bank) }];
    const mstatus = view.getBigUint64(hart.mstatus.at, true);
    if ((mstatus & status.FS) !== status.FS) return known;
    known.push({ field: hart.mstatus, mask: status.FS, value: status.FS });
    // Rounding to nearest, and NX raised: then the host's arithmetic is exact (isa/rows/float.ts).
    const nearest = view.getUint32(hart.frm.at, true) === 0;
    const inexact = (view.getUint32(hart.fflags.at, true) & 1) === 1;
    if (nearest && inexact) {
      known.push({ field: hart.frm, mask: 0xffff_ffffn, value: 0n });
      known.push({ field: hart.fflags, mask: 1n, value: 1n });
    }
    return known;
  }
}

const offsetMask = BigInt(pageBytes - 1);

const wordOf = (slot: number, entry: number): number =>
  (entryWord.translated | (slot << entryWord.entryBits) | entry) >>> 0;

function entryOf({ place, version }: CodePlace, offset: number): Entry {
  return {
    wordAt: place + codePage.entriesAt + offset * 2,
    landingsAt: place + (offset << recordShift) + record.landings,
    versionAt: place + codePage.versionAt,
    version,
  };
}

const nameOf = ({ version, wordAt }: Entry): string => `${version}:${wordAt}`;
