/**
 * The reference engine: the slow evaluator behind the same seam as the real one. Every fetch, load
 * and store is translated anew and every instruction decoded anew, so whatever the real engine
 * caches can be held against it. For tests; some ten thousand instructions a second.
 */
import { assert } from '../base/assert.ts';
import { decode, newDecoded } from '../isa/decode.ts';
import { callRoutine, type Environment, executeRow, type Outcome } from '../isa/evaluate.ts';
import { floatOperate } from '../isa/float-operations.ts';
import { cause, hart } from '../isa/hart-state.ts';
import { accesses } from '../isa/operators.ts';
import { floatOperation } from '../isa/primitives.ts';
import { rows } from '../isa/rows.ts';
import type { Field, Routine } from '../isa/semantics.ts';
import type { Engine, EngineHost } from '../machine/engine.ts';
import { csrIndexAt, type Layout, pageBytes, run, stopReason } from '../machine/layout.ts';
import { type MachineSemantics, machineSemantics } from '../machine/semantics/all.ts';
import { timeAt } from '../machine/semantics/csr.ts';
import {
  deviceLoad,
  deviceStore,
  loadSlow,
  selectBanks,
  storeSlow,
} from '../machine/semantics/memory.ts';
import { accessKind, translate } from '../machine/semantics/paging.ts';
import { dataAccessed, preservePage } from '../machine/semantics/tracking.ts';
import { takeInterrupt, takeTrap } from '../machine/semantics/trap.ts';
import { definePageHash, hashPage } from './page-hash.ts';

export function makeReferenceEngine(layout: Layout, host: EngineHost): Engine {
  return new ReferenceEngine(layout, host);
}

class ReferenceEngine implements Engine {
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly #layout: Layout;
  readonly #view: DataView;
  readonly #semantics: MachineSemantics;
  readonly #environment: Environment;
  readonly #decoded = newDecoded();
  readonly #host: EngineHost;
  #breakpoints: ReadonlySet<bigint> = new Set();

  constructor(layout: Layout, host: EngineHost) {
    this.#layout = layout;
    this.#host = host;
    this.memory = new Uint8Array(layout.totalBytes);
    this.#view = new DataView(this.memory.buffer);
    this.#semantics = machineSemantics(layout);
    definePageHash(this.#semantics.definitions);
    this.memory.set(this.#semantics.csrIndex, csrIndexAt);
    this.#environment = {
      view: this.#view,
      definitions: this.#semantics.definitions,
      external: (routine, args) => this.#external(host, routine, args),
      load: (access, address, forStore) => {
        const { bytes, signed } = accesses[access];
        const args = [address, BigInt(bytes), forStore ? 1n : 0n];
        const value = this.#call(loadSlow, ...args);
        return signed ? BigInt.asUintN(64, BigInt.asIntN(bytes * 8, value)) : value;
      },
      store: (access, address, value) => {
        this.#call(storeSlow, address, BigInt(accesses[access].bytes), value);
      },
      raiseTrap: (trapCause, value) => this.#raise(trapCause, value),
      trapPending: () => this.#get(run.fault) !== 0,
    };
  }

  run(budget: number): number {
    this.#put(run.stopRequest, 0);
    this.#put(run.budgetHeld, 0);
    this.#put(run.budgetLeft, budget);
    let look = true;
    for (;;) {
      if (look) {
        if (this.#get(run.stopRequest) !== 0) break;
        if (this.#get(run.budgetLeft) === 0) break;
        if (this.#call(takeInterrupt) !== 0n) {
          this.#take();
          continue;
        }
        this.#call(selectBanks);
      }
      if (this.#get(run.budgetLeft) === 0) {
        if (!this.#resumed()) break;
        look = true;
        continue;
      }
      if (this.#breakpointHere()) break;
      const outcome = this.#step();
      look = outcome.kind === 'trap' || outcome.kind === 'resample';
    }
    return this.#get(run.budgetLeft) + this.#get(run.budgetHeld);
  }

  /** Takes back a budget that was set aside only so that an engine looks up. */
  #resumed(): boolean {
    const held = this.#get(run.budgetHeld);
    if (held === 0 || this.#get(run.stopRequest) !== 0) return false;
    this.#put(run.budgetHeld, 0);
    this.#put(run.budgetLeft, held);
    return true;
  }

  #breakpointHere(): boolean {
    if (!this.#breakpoints.has(this.#view.getBigUint64(hart.pc.at, true))) return false;
    this.#take();
    const stops = this.#host.breakpointHere();
    this.#put(run.budgetLeft, this.#get(run.budgetLeft) + 1);
    if (stops) this.#put(run.stopRequest, this.#get(run.stopRequest) | stopReason.trap);
    return stops;
  }

  #step(): Outcome {
    const pc = this.#view.getBigUint64(hart.pc.at, true);
    this.#take();
    const word = this.#fetch(pc);
    if (word === undefined) return this.#trap();
    const operands = decode(word, this.#decoded);
    const row = rows[operands.row];
    if (row === undefined) {
      this.#raise(BigInt(cause.illegalInstruction), 0n);
      return this.#trap();
    }
    const instruction = { operands, length: operands.length, pc };
    const outcome = executeRow(this.#environment, row, instruction);
    if (outcome.kind === 'trap') return this.#trap();
    const next =
      outcome.kind === 'next' ? BigInt.asUintN(64, pc + BigInt(operands.length)) : outcome.target;
    this.#view.setBigUint64(hart.pc.at, next, true);
    return outcome;
  }

  #trap(): Outcome {
    this.#call(takeTrap);
    return { kind: 'trap' };
  }

  /** Undefined: a trap is pending. */
  #fetch(pc: bigint): number | undefined {
    const half = (at: bigint): number | undefined => {
      this.#put(run.accessBytes, 2);
      const physical = this.#call(translate, BigInt.asUintN(64, at), BigInt(accessKind.fetch));
      if (this.#get(run.fault) !== 0) return undefined;
      const offset = physical - 0x8000_0000n;
      if (offset < 0n || offset >= BigInt(this.#layout.ramBytes)) {
        this.#raise(BigInt(cause.instructionAccess), at);
        return undefined;
      }
      return this.#view.getUint16(this.#layout.ramAt + Number(offset), true);
    };
    const low = half(pc);
    if (low === undefined || (low & 3) !== 3) return low;
    const high = half(pc + 2n);
    return high === undefined ? undefined : (low | (high << 16)) >>> 0;
  }

  noteStore(page: number): void {
    this.#call(this.#semantics.tracking.noteStore, BigInt(page));
  }
  protectPage(page: number): void {
    this.#call(this.#semantics.tracking.protectPage, BigInt(page));
  }
  flushTranslations(): void {}
  switchTranslations(): void {}
  flushCode(): void {}
  setBreakpoints(addresses: ReadonlySet<bigint>): void {
    this.#breakpoints = new Set(addresses);
  }
  timeAt(count: bigint): bigint {
    return this.#call(timeAt, count);
  }
  hashPage(page: number): bigint {
    return this.#call(hashPage, BigInt(this.#layout.ramAt + page * pageBytes));
  }

  #external(host: EngineHost, routine: Routine, args: readonly bigint[]): bigint {
    const [a, b, c, d, e] = args as [bigint, bigint, bigint, bigint, bigint];
    if (routine === floatOperation) {
      const sink = { flags: 0 };
      const result = floatOperate(Number(a), b, c, d, Number(e), sink);
      this.#put(hart.fflags, this.#get(hart.fflags) | sink.flags);
      return result;
    }
    if (routine === deviceLoad) {
      const value = host.deviceLoad(a, Number(b));
      if (value === undefined) this.#pendDeviceFault(cause.loadAccess);
      return value ?? 0n;
    }
    if (routine === deviceStore) {
      const bits = Number(b) * 8;
      const done = host.deviceStore(a, Number(b), BigInt.asUintN(bits, c));
      if (!done) this.#pendDeviceFault(cause.storeAccess);
      return 0n;
    }
    if (routine === dataAccessed) {
      return host.dataAccessed(a, Number(b), c === 1n) ? 1n : 0n;
    }
    assert(routine === preservePage, `no routine ${routine.name} here`);
    host.preservePage(Number(a));
    return 0n;
  }

  #pendDeviceFault(faultCause: number): void {
    this.#view.setBigUint64(run.faultCause.at, BigInt(faultCause), true);
    this.#put(run.fault, 1);
  }

  #raise(trapCause: bigint, value: bigint): void {
    this.#view.setBigUint64(run.faultCause.at, trapCause, true);
    this.#view.setBigUint64(run.faultValue.at, value, true);
    this.#put(run.fault, 1);
  }

  #take(): void {
    this.#put(run.budgetLeft, this.#get(run.budgetLeft) - 1);
  }
  #call(routine: Routine, ...args: bigint[]): bigint {
    return callRoutine(this.#environment, routine, args);
  }
  #get(field: Field): number {
    return this.#view.getUint32(field.at, true);
  }
  #put(field: Field, value: number): void {
    this.#view.setUint32(field.at, value, true);
  }
}
