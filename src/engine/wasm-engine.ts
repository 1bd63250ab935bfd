/**
 * The engine: linear memory, and the module that holds the machine's routines and the interpreter.
 *
 * Emission takes some milliseconds for each machine, because addresses of its layout are constants
 * of the code. Bookkeeping of decoded pages is here: which page of RAM has its records where.
 */
import { assert } from '../base/assert.ts';
import { floatOperate } from '../isa/float-operations.ts';
import { cause, hart } from '../isa/hart-state.ts';
import { floatOperation } from '../isa/primitives.ts';
import { rows } from '../isa/rows.ts';
import type { Body, Routine } from '../isa/semantics.ts';
import type { Engine, EngineHost } from '../machine/engine.ts';
import {
  codePage,
  codePageBytes,
  csrIndexAt,
  dataTlbAt,
  entryWord,
  type Layout,
  pageBytes,
  pageFlag,
  recordBytes,
  recordShift,
  run,
  stopReason,
  tlbEnd,
} from '../machine/layout.ts';
import { type MachineSemantics, machineSemantics } from '../machine/semantics/all.ts';
import { timeAt } from '../machine/semantics/csr.ts';
import { allocateCode, codeFetched, decodeSingle } from '../machine/semantics/fetch.ts';
import { flushAllTlbs, parkTlb, resumeTlb } from '../machine/semantics/lookaside.ts';
import { deviceLoad, deviceStore, regionLoad, regionStore } from '../machine/semantics/memory.ts';
import { dataAccessed, preservePage } from '../machine/semantics/tracking.ts';
import {
  breakpointHere,
  decodeRecords,
  emitInterpreter,
  interpreterType,
  unfitRegion,
  wantRegion,
} from './interpreter.ts';
import { Lowering, routineBinding } from './lower.ts';
import { definePageHash, hashPage } from './page-hash.ts';
import { handler, writeBreakpoint, writePageEnd, writeRecord, writeRecords } from './record.ts';
import { regionType } from './regions/frame.ts';
import { defineJumpTargets } from './regions/jump-targets.ts';
import {
  defaultTranslation,
  Translator,
  type TranslatorOptions,
  type TranslatorStatistics,
} from './regions/translator.ts';
import { Code, type FunctionBody } from './wasm/code.ts';
import { ModuleWriter } from './wasm/module.ts';

/** What regions call: whatever rows call, and their own way to memory. */
const regionCallees: readonly Routine[] = [
  ...new Set([...rows.flatMap(({ calls }) => [...calls]), regionLoad, regionStore]),
];

type Imports = ReadonlyMap<Routine, (...args: never[]) => unknown>;

interface Exports {
  run(budget: number): number;
  [routine: string]: (...args: never[]) => unknown;
  noteStore(page: number): void;
  protectPage(page: number): void;
  flushAllTlbs(): void;
  parkTlb(hart: number): void;
  resumeTlb(hart: number): void;
  timeAt(count: bigint): bigint;
  hashPage(at: number): bigint;
}

/** An engine with both tiers. */
export function makeWasmEngine(layout: Layout, host: EngineHost): Engine {
  return new WasmEngine(layout, host, defaultTranslation);
}

/** The same engine without the translator. */
export const makeInterpreter = wasmEngine({ hotLandings: Number.POSITIVE_INFINITY });

/** Engines that translate more or less eagerly; what they compute is the same. */
export function wasmEngine(options: Partial<TranslatorOptions>): WasmEngineMaker {
  return (layout, host) => new WasmEngine(layout, host, { ...defaultTranslation, ...options });
}

/** Engines that translate what has been landed on so often, however long that took. */
export function eagerEngine(
  hotLandings: number,
  options: Partial<TranslatorOptions> = {},
): WasmEngineMaker {
  return wasmEngine({ hotInstructionsMax: Number.POSITIVE_INFINITY, hotLandings, ...options });
}

type WasmEngineMaker = (layout: Layout, host: EngineHost) => WasmEngine;

/** What a word of a landing can count to. */
const landingsMax = entryWord.translated - 1;

export class WasmEngine implements Engine {
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #layout: Layout;
  readonly #exports: Exports;
  /** Which page of RAM each place for records belongs to, or -1. */
  readonly #pageOfPlace: Int32Array;
  #nextPlace = 0;
  #breakpoints: ReadonlySet<bigint> = new Set();
  /** The pages of RAM that have been mapped where breakpoints are, with their places in them. */
  readonly #breakpointPages = new Map<number, readonly number[]>();
  readonly #translator: Translator;

  constructor(layout: Layout, host: EngineHost, options: TranslatorOptions) {
    this.#layout = layout;
    const pages = layout.totalBytes / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.memory = new Uint8Array(memory.buffer);
    this.#view = new DataView(memory.buffer);
    this.#pageOfPlace = new Int32Array(layout.codePages).fill(-1);
    const semantics = machineSemantics(layout);
    definePageHash(semantics.definitions);
    defineJumpTargets(semantics.definitions, layout);
    const imports = this.#imports(host);
    const bytes = emitModule(semantics, imports, layout, options);
    const functions = [...imports].map(([routine, body]) => [routine.name, body]);
    const table = new WebAssembly.Table({ element: 'anyfunc', initial: 0 });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      umbra: { memory, table, ...Object.fromEntries(functions) },
    });
    this.#exports = instance.exports as unknown as Exports;
    this.#translator = new Translator(
      memory,
      layout,
      table,
      (place) => this.#pageOfPlace[this.#placeOf(place)]!,
      new Map(
        regionCallees.map((routine) => [
          routine,
          imports.get(routine) ?? this.#exports[routine.name]!,
        ]),
      ),
      options,
    );
    this.memory.set(semantics.csrIndex, csrIndexAt);
    // Every entry of the lookaside buffers is empty.
    this.memory.fill(0xff, dataTlbAt, tlbEnd);
  }

  get statistics(): TranslatorStatistics {
    return this.#translator.statistics;
  }

  run(budget: number): number {
    this.#translator.beginRun(budget);
    this.#view.setUint32(run.stopRequest.at, 0, true);
    this.#view.setUint32(run.budgetHeld.at, 0, true);
    const left = this.#exports.run(budget);
    this.#translator.endRun(budget - left);
    return left;
  }

  noteStore(page: number): void {
    this.#exports.noteStore(page);
  }

  protectPage(page: number): void {
    this.#exports.protectPage(page);
  }

  flushTranslations(): void {
    this.#exports.flushAllTlbs();
  }

  switchTranslations(from: number, to: number): void {
    this.#exports.parkTlb(from);
    this.#exports.resumeTlb(to);
  }

  /** Drops every translated region; what is hot is translated again. */
  dropRegions(): void {
    this.#translator.flush();
  }

  flushCode(): void {
    for (let place = 0; place < this.#layout.codePages; place++) this.#evict(place);
    this.#translator.flush();
    this.#exports.flushAllTlbs();
  }

  setBreakpoints(addresses: ReadonlySet<bigint>): void {
    const before = this.#breakpoints;
    if (before.size === addresses.size && [...addresses].every((each) => before.has(each))) return;
    this.#breakpoints = new Set(addresses);
    this.#view.setUint32(run.breakpoints.at, addresses.size, true);
    for (const page of this.#breakpointPages.keys()) this.#forgetPage(page);
    this.#breakpointPages.clear();
    // Whatever is executed next is fetched anew, and told of by `codeFetched`.
    this.#exports.flushAllTlbs();
  }

  /** A page is mapped at `pc`: what is decoded of it has no breakpoints yet. */
  #codeFetched(page: number, pc: bigint): void {
    const known = this.#breakpointPages.get(page) ?? [];
    const offsets = new Set(known);
    for (const address of this.#breakpoints) {
      if (address >> 12n === pc >> 12n) offsets.add(Number(address & BigInt(pageBytes - 1)));
    }
    if (offsets.size === known.length) return;
    this.#breakpointPages.set(page, [...offsets]);
    this.#forgetPage(page);
    this.#exports.flushAllTlbs();
  }

  /** What is decoded of a page of RAM. The caller drops translations. */
  #forgetPage(page: number): void {
    const at = this.#view.getUint32(this.#layout.codeIndexAt + page * 4, true);
    if (at !== 0) this.#evict(this.#placeOf(at));
  }

  timeAt(count: bigint): bigint {
    return BigInt.asUintN(64, this.#exports.timeAt(count));
  }

  hashPage(page: number): bigint {
    return BigInt.asUintN(64, this.#exports.hashPage(this.#layout.ramAt + page * pageBytes));
  }

  #imports(host: EngineHost): Imports {
    const sink = { flags: 0 };
    const fault = (faultCause: number): void => {
      this.#view.setBigUint64(run.faultCause.at, BigInt(faultCause), true);
      this.#view.setUint32(run.fault.at, 1, true);
    };
    return new Map<Routine, (...args: never[]) => unknown>([
      [
        floatOperation,
        (operation: number, a: bigint, b: bigint, c: bigint, rounding: number): bigint => {
          const u = (value: bigint): bigint => BigInt.asUintN(64, value);
          sink.flags = 0;
          const result = floatOperate(operation, u(a), u(b), u(c), rounding, sink);
          const flags = this.#view.getUint32(hart.fflags.at, true) | sink.flags;
          this.#view.setUint32(hart.fflags.at, flags, true);
          return result;
        },
      ],
      [
        deviceLoad,
        (physical: bigint, bytes: number): bigint => {
          const value = host.deviceLoad(BigInt.asUintN(64, physical), bytes);
          if (value === undefined) fault(cause.loadAccess);
          return value ?? 0n;
        },
      ],
      [
        deviceStore,
        (physical: bigint, bytes: number, value: bigint): void => {
          const address = BigInt.asUintN(64, physical);
          const done = host.deviceStore(address, bytes, BigInt.asUintN(bytes * 8, value));
          if (!done) fault(cause.storeAccess);
        },
      ],
      [preservePage, (page: number): void => host.preservePage(page)],
      [
        codeFetched,
        (page: number, pc: bigint): void => this.#codeFetched(page, BigInt.asUintN(64, pc)),
      ],
      [breakpointHere, (): number => this.#breakpointHere(host)],
      [
        dataAccessed,
        (address: bigint, bytes: number, isStore: number): number =>
          host.dataAccessed(BigInt.asUintN(64, address), bytes, isStore === 1) ? 1 : 0,
      ],
      [allocateCode, (page: number): number => this.#allocate(page)],
      [decodeRecords, (at: number): void => this.#decode(at)],
      [wantRegion, (): void => this.#translator.want()],
      [unfitRegion, (): void => this.#translator.unfit()],
      [decodeSingle, (at: number, word: number): void => this.#decodeSingle(at, word)],
    ]);
  }

  #breakpointHere(host: EngineHost): number {
    if (!this.#breakpoints.has(this.#view.getBigUint64(hart.pc.at, true))) return 0;
    if (!host.breakpointHere()) return 0;
    const stop = this.#view.getUint32(run.stopRequest.at, true);
    this.#view.setUint32(run.stopRequest.at, stop | stopReason.trap, true);
    return 1;
  }

  // --- Decoded pages

  #placeAt(place: number): number {
    return this.#layout.codePagesAt + place * codePageBytes;
  }

  /** The number of the place in which this address lies. */
  #placeOf(at: number): number {
    return Math.floor((at - this.#layout.codePagesAt) / codePageBytes);
  }

  /** First come, first evicted: what is hot is soon decoded again. */
  #allocate(page: number): number {
    const place = this.#nextPlace;
    this.#nextPlace = (place + 1) % this.#layout.codePages;
    if (this.#pageOfPlace[place]! >= 0) {
      this.#evict(place);
      this.#exports.flushAllTlbs();
    }
    const at = this.#placeAt(place);
    this.#pageOfPlace[place] = page;
    writePageEnd(this.#view, at + (pageBytes << recordShift));
    const version = this.#view.getUint32(run.codeVersion.at, true) + 1;
    this.#view.setUint32(run.codeVersion.at, version, true);
    this.#view.setUint32(at + codePage.versionAt, version, true);
    this.#view.setUint32(this.#layout.codeIndexAt + page * 4, at, true);
    return at;
  }

  #evict(place: number): void {
    const page = this.#pageOfPlace[place]!;
    if (page < 0) return;
    const at = this.#placeAt(place);
    this.memory.fill(0, at, at + codePageBytes);
    this.#pageOfPlace[place] = -1;
    this.#view.setUint32(this.#layout.codeIndexAt + page * 4, 0, true);
    const flagsAt = this.#layout.pageFlagsAt + page;
    this.memory[flagsAt] = this.memory[flagsAt]! & ~pageFlag.code;
  }

  #decode(at: number): void {
    const place = this.#placeOf(at);
    const page = this.#pageOfPlace[place]!;
    assert(page >= 0, 'records that belong to no page');
    const flagsAt = this.#layout.pageFlagsAt + page;
    if ((this.memory[flagsAt]! & pageFlag.code) === 0) {
      this.#exports.protectPage(page);
      this.memory[flagsAt] = this.memory[flagsAt]! | pageFlag.code;
    }
    const recordsAt = this.#placeAt(place);
    const codeAt = this.#layout.ramAt + page * pageBytes;
    const breakpoints = this.#breakpointPages.get(page) ?? [];
    const offset = ((at - recordsAt) / recordBytes) * 2;
    // Nothing passes over a breakpoint.
    writeRecords(this.#view, recordsAt, codeAt, offset, breakpoints.length === 0);
    for (const offset of breakpoints) {
      writeBreakpoint(this.#view, recordsAt + (offset << recordShift));
    }
  }

  #decodeSingle(at: number, word: number): void {
    writeRecord(this.#view, at, word);
    const step = this.#view.getUint8(at + 3);
    // Two bytes of code are one record, four are two: the end of page stands behind either.
    writePageEnd(this.#view, at + step);
    assert(this.#view.getUint16(at, true) !== handler.undecoded, 'a record without a handler');
  }
}

/** Routines that are reachable, and those of them that come from outside. */
function emitModule(
  semantics: MachineSemantics,
  imports: Imports,
  layout: Layout,
  options: TranslatorOptions,
): Uint8Array<ArrayBuffer> {
  const module = new ModuleWriter();
  const indices = new Map<Routine, number>();
  const pending: { routine: Routine; body: Body }[] = [];
  for (const routine of imports.keys()) {
    indices.set(routine, module.importFunction(routine.name, routine));
  }
  const functionIndex = (routine: Routine): number => {
    const known = indices.get(routine);
    if (known !== undefined) return known;
    const body = semantics.definitions.bodyOf(routine);
    assert(body !== undefined, `${routine.name} is neither defined nor given`);
    const index = module.declareFunction(routine);
    indices.set(routine, index);
    pending.push({ routine, body });
    return index;
  };
  const interpreter = module.declareFunction(interpreterType);
  const regionTypeIndex = module.typeIndex(regionType);
  const interpreted = emitInterpreter({
    functionIndex,
    regionTypeIndex,
    hotLandings: Math.min(options.hotLandings, landingsMax),
    fusedMultiplyAdd: options.fusedMultiplyAdd,
  });
  module.setBody(interpreter, interpreted);
  module.export('run', interpreter);
  const { noteStore, protectPage } = semantics.tracking;
  const buffers = [flushAllTlbs, parkTlb, resumeTlb];
  const exported = [noteStore, protectPage, ...buffers, timeAt, hashPage, ...regionCallees];
  for (const routine of exported) {
    if (!imports.has(routine)) module.export(routine.name, functionIndex(routine));
  }
  for (let next = pending.shift(); next; next = pending.shift()) {
    module.setBody(indices.get(next.routine)!, emitRoutine(next.routine, next.body, functionIndex));
  }
  return module.finish(layout.totalBytes / 65536);
}

function emitRoutine(
  routine: Routine,
  body: Body,
  functionIndex: (routine: Routine) => number,
): FunctionBody {
  const code = new Code(routine.takes.length);
  const parameters = routine.takes.map((_, index) => index);
  const locals = body.locals.map((type) => code.newLocal(type));
  const binding = routineBinding(code, routine.gives);
  new Lowering(code, binding, functionIndex).body(body.block, [...parameters, ...locals]);
  if (routine.gives) code.constant(routine.gives, 0n);
  return code.finish();
}
