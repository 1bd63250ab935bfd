/**
 * One region as one WebAssembly function: (pc, budget, entry) -> the budget that is left.
 *
 * Registers that the region uses are locals between its entry and its exit. A basic block takes the
 * budget of all its instructions at once; whoever leaves in the middle gives back the rest, so a
 * count is exact wherever it can be seen. Control is structured (structure.ts).
 *
 * The function ends in one place, with `pc` where the hart goes on and `why` (see `exitReason`). If
 * nothing else is wanted and there is a region at `pc`, it goes on there by a tail call: what the
 * fetch lookaside buffer and the page's entry words say is always true, so nothing is ever patched.
 *
 * Invariants: no page of code changes and no translation changes while a region goes on, because
 * `run.leave` ends it behind the store that did it; a step into another page checks that the page
 * is mapped there and has the version that was translated.
 */
import { fAt, hart, xAt } from '../../isa/hart-state.ts';
import { type AccessName, accesses, operators, type Type } from '../../isa/operators.ts';
import type { Block, Expr, Field, Routine } from '../../isa/semantics.ts';
import { blocksOf, expressionsOf, subexpressions } from '../../isa/semantics.ts';
import {
  codePage,
  entryWord,
  pageBytes,
  run,
  tlbEntries,
  writeTlbOffset,
} from '../../machine/layout.ts';
import { regionLoad, regionStore } from '../../machine/semantics/memory.ts';
import { type Binding, Lowering, type Push } from '../lower.ts';
import { Code, type FunctionBody, type Label } from '../wasm/code.ts';
import { type BasicBlock, type Instruction, pageOf, type Region } from './discover.ts';
import type { KnownBits, Specialiser } from './specialise.ts';
import { type Graph, headersOf, type Item, type Sequence, structure } from './structure.ts';

export const regionType = { takes: ['i64', 'i32', 'i32'], gives: 'i32' } as const satisfies {
  takes: Type[];
  gives: Type;
};

/** Why a region has returned, in `run.exit`. */
export const exitReason = {
  /** It goes on at `hart.pc`, where no region begins. */
  none: 0,
  /** The instruction at `hart.pc` has left its trap in `run.fault*`. */
  trap: 1,
  /** The context may have changed. */
  resample: 2,
  /** The next instruction is the interpreter's: its block does not fit into the budget, or
   * translations have changed. */
  interpret: 3,
  /** What the region relied on does not hold; nothing was done. */
  unfit: 4,
} as const;

const entriesMax = 1 << entryWord.entryBits;

/** A region as a function, and where it may be entered. */
export interface EmittedRegion {
  readonly body: FunctionBody;
  /** `at` of each entry, by number. */
  readonly entries: readonly number[];
}

export interface EmitContext {
  readonly functionIndex: (routine: Routine) => number;
  readonly regionTypeIndex: number;
  readonly fusedMultiplyAdd: boolean;
  readonly specialiser: Specialiser;
}

export function emitRegion(region: Region, context: EmitContext): EmittedRegion {
  return new RegionEmitter(region, context).emit();
}

/** Where branches may go: a label and the blocks that are reached by it. */
interface Target {
  readonly label: Label;
  readonly blocks: ReadonlySet<number>;
  /** Whether the label leads to a dispatcher, which wants the block's number. */
  readonly dispatched: boolean;
}

/** A place in a region with the length of its instruction. */
const siteShift = 3;
const siteLength = (1 << siteShift) - 1;

class RegionEmitter {
  readonly #region: Region;
  readonly #context: EmitContext;
  readonly #code = new Code(3);
  readonly #lowering: Lowering;
  // Parameters; `pc` becomes the place to go on at, `entry` the block that a dispatcher leads to.
  readonly #pc = 0;
  readonly #budget = 1;
  readonly #entry = 2;
  /** The virtual address of the home page. */
  readonly #base = this.#code.newLocal('i64');
  readonly #why = this.#code.newLocal('i32');
  readonly #address = this.#code.newLocal('i64');
  readonly #slot = this.#code.newLocal('i32');
  /** Only where the bank is not known. */
  #bank: number | undefined;
  readonly #knownBank: number | undefined;
  readonly #x = new Map<number, number>();
  readonly #f = new Map<number, number>();
  readonly #xWritten = new Set<number>();
  readonly #fWritten = new Set<number>();
  readonly #pool: Record<Type, number[]> = { i32: [], i64: [] };
  /** Dispatchers know blocks by these numbers; entries come first. */
  readonly #numbers = new Map<number, number>();
  readonly #targets: Target[] = [];
  #out!: Label;
  /** Shared ways out; `entry` holds the place, as `at` or as `siteOf`. */
  #outOfBudget!: Label;
  #outOfAccess!: Label;
  // The instruction at hand.
  #block!: BasicBlock;
  #instruction!: Instruction;
  /** Instructions of the block behind it, whose budget is taken already. */
  #behind = 0;

  constructor(region: Region, context: EmitContext) {
    this.#region = region;
    this.#context = context;
    const { functionIndex, fusedMultiplyAdd } = context;
    this.#lowering = new Lowering(this.#code, this.#binding, functionIndex, fusedMultiplyAdd);
    const bank = context.specialiser.fieldValue(run.dataBank);
    this.#knownBank = bank === undefined ? undefined : Number(bank);
  }

  emit(): EmittedRegion {
    const { blocks } = this.#region;
    const graph = reachable(blocks, this.#region.entries);
    for (const index of graph.keys()) this.#noteRegisters(blocks[index]!);
    // Loops can be entered at their headers: where a slice has ended in one, the next goes on.
    const first = structure(graph, new Set(this.#region.entries));
    const wanted = [...this.#region.entries, ...headersOf(first)];
    const entries = [...new Set(wanted)]
      .filter((index) => blocks[index]!.pages.length === 1)
      .slice(0, Math.min(entriesMax, 16));
    for (const index of entries) this.#number(index);
    const sequence = structure(graph, new Set(entries));
    this.#emitPrologue(entries);
    this.#out = this.#code.block();
    this.#outOfAccess = this.#code.block();
    this.#outOfBudget = this.#code.block();
    this.#emitSequence(sequence, entries);
    this.#code.unreachable();
    this.#emitSharedExits();
    this.#code.end();
    this.#emitEpilogue();
    return {
      body: this.#code.finish(),
      entries: entries.map((index) => blocks[index]!.at),
    };
  }

  // --- Registers

  #noteRegisters(block: BasicBlock): void {
    for (const { effects, operands } of block.instructions) {
      walk(effects, {
        statement: (statement) => {
          if (statement.s === 'setX') {
            this.#xWritten.add(operands[statement.field]);
            this.#xLocal(operands[statement.field]);
          } else if (statement.s === 'setF') {
            this.#fWritten.add(operands[statement.field]);
            this.#fLocal(operands[statement.field]);
          }
        },
        expression: ({ node }) => {
          if (node.k === 'x') this.#xLocal(operands[node.field]);
          if (node.k === 'f') this.#fLocal(operands[node.field]);
        },
      });
    }
  }

  #xLocal(register: number): number {
    return obtain(this.#x, register, () => this.#code.newLocal('i64'));
  }

  #fLocal(register: number): number {
    return obtain(this.#f, register, () => this.#code.newLocal('f64'));
  }

  // --- The way in and the way out

  #emitPrologue(entries: readonly number[]): void {
    const code = this.#code;
    this.#emitGuard();
    code.getLocal(this.#pc);
    code.i64(-pageBytes);
    this.#op('i64.and');
    for (const [number, index] of entries.entries()) {
      const page = pageOf(this.#region.blocks[index]!.at);
      if (page === 0) continue;
      code.getLocal(this.#entry);
      code.i32(number);
      this.#op('i32.eq');
      this.#op('i64.extend_i32_u');
      code.i64(page * pageBytes);
      this.#op('i64.mul');
      this.#op('i64.sub');
    }
    code.setLocal(this.#base);
    if (this.#knownBank === undefined) {
      this.#bank = code.newLocal('i32');
      this.#get(run.dataBank);
      code.setLocal(this.#bank);
    }
    for (const [register, local] of this.#x) {
      code.i32(0);
      code.load('u64', xAt + register * 8);
      code.setLocal(local);
    }
    for (const [register, local] of this.#f) {
      code.i32(0);
      code.loadDouble(fAt + register * 8);
      code.setLocal(local);
    }
  }

  /** Returns at once where what is relied upon does not hold. */
  #emitGuard(): void {
    const code = this.#code;
    const known: readonly KnownBits[] = [...this.#context.specialiser.used];
    if (known.length === 0) return;
    for (const [index, { field, mask, value }] of known.entries()) {
      const { type } = accesses[field.access];
      this.#get(field);
      code.constant(type, mask);
      this.#op(`${type}.and`);
      code.constant(type, value);
      this.#op(`${type}.ne`);
      if (index > 0) this.#op('i32.or');
    }
    code.ifUnlikely();
    this.#put(hart.pc, () => code.getLocal(this.#pc));
    this.#put(run.exit, () => code.i32(exitReason.unfit));
    code.getLocal(this.#budget);
    code.return();
    code.end();
  }

  #emitEpilogue(): void {
    const code = this.#code;
    for (const register of this.#xWritten) {
      code.i32(0);
      code.getLocal(this.#x.get(register)!);
      code.store('u64', xAt + register * 8);
    }
    for (const register of this.#fWritten) {
      code.i32(0);
      code.getLocal(this.#f.get(register)!);
      code.storeDouble(fAt + register * 8);
    }
    code.getLocal(this.#why);
    this.#op('i32.eqz');
    code.if();
    this.#emitLink();
    code.else();
    this.#put(run.exit, () => code.getLocal(this.#why));
    code.end();
    this.#put(hart.pc, () => code.getLocal(this.#pc));
    code.getLocal(this.#budget);
  }

  #emitSharedExits(): void {
    const code = this.#code;
    const pcFrom = (distance: Push): void => {
      code.getLocal(this.#base);
      distance();
      this.#op('i64.extend_i32_s');
      this.#op('i64.add');
      code.setLocal(this.#pc);
    };
    code.end(); // out of budget: the block at `entry` does not fit
    pcFrom(() => code.getLocal(this.#entry));
    this.#leave(exitReason.interpret);
    code.end(); // out of an access: at the instruction if it has trapped, otherwise behind it
    this.#get(run.budgetLeft);
    code.setLocal(this.#budget);
    this.#get(run.fault);
    code.if();
    pcFrom(() => this.#siteAt());
    this.#leave(exitReason.trap);
    code.end();
    pcFrom(() => {
      this.#siteAt();
      code.getLocal(this.#entry);
      code.i32(siteLength);
      this.#op('i32.and');
      this.#op('i32.add');
    });
    this.#leave(exitReason.interpret);
  }

  #siteAt(): void {
    this.#code.getLocal(this.#entry);
    this.#code.i32(siteShift);
    this.#op('i32.shr_s');
  }

  /** Goes on in the region at `pc`, if the page is known and one begins there. */
  #emitLink(): void {
    const code = this.#code;
    this.#fetchSlot(() => code.getLocal(this.#pc));
    code.load('u64', 0);
    code.getLocal(this.#pc);
    code.i64(-pageBytes);
    this.#op('i64.and');
    this.#op('i64.eq');
    code.if();
    code.getLocal(this.#slot);
    code.load('word', 8);
    code.getLocal(this.#pc);
    this.#op('i32.wrap_i64');
    code.i32(pageBytes - 1);
    this.#op('i32.and');
    code.i32(1);
    this.#op('i32.shl');
    this.#op('i32.add');
    code.load('word', codePage.entriesAt);
    code.teeLocal(this.#slot);
    code.i32(0);
    this.#op('i32.lt_s');
    code.if();
    code.getLocal(this.#pc);
    code.getLocal(this.#budget);
    pushEntry(code, () => code.getLocal(this.#slot));
    code.returnCallIndirect(this.#context.regionTypeIndex);
    code.end();
    code.end();
  }

  /** Pushes the address of a virtual page's entry in the fetch lookaside buffer; keeps it in `slot`. */
  #fetchSlot(virtual: Push): void {
    virtual();
    this.#tlbSlot();
    this.#get(run.fetchBank);
    this.#op('i32.add');
    this.#code.teeLocal(this.#slot);
  }

  /** Sets `pc` and leaves. */
  #exit(reason: number, at: number): void {
    this.#pushAt(at);
    this.#code.setLocal(this.#pc);
    this.#leave(reason);
  }

  #leave(reason: number): void {
    if (reason !== exitReason.none) {
      this.#code.i32(reason);
      this.#code.setLocal(this.#why);
    }
    this.#code.br(this.#out);
  }

  #pushAt(at: number): void {
    this.#code.getLocal(this.#base);
    if (at === 0) return;
    this.#code.i64(at);
    this.#op('i64.add');
  }

  // --- Control

  #number(index: number): number {
    return obtain(this.#numbers, index, () => this.#numbers.size);
  }

  /** @param heads the blocks at which the sequence may be entered */
  #emitSequence(sequence: Sequence, heads: readonly number[]): void {
    const code = this.#code;
    const [first] = sequence;
    const firstHeads = headsOf(first!);
    const fallsIn = heads.length === 1 && firstHeads.length === 1 && firstHeads[0] === heads[0];
    const start = fallsIn ? 1 : 0;
    for (let index = sequence.length - 1; index >= start; index--) {
      const item = sequence[index]!;
      this.#targets.push({
        label: code.block(),
        blocks: new Set(headsOf(item)),
        dispatched: isDispatched(item),
      });
    }
    if (!fallsIn) this.#emitDispatcher(heads);
    for (const [index, item] of sequence.entries()) {
      if (index >= start) {
        code.end();
        this.#targets.pop();
      }
      const next = sequence[index + 1];
      if (item.kind === 'loop') this.#emitLoop(item);
      else this.#emitBlock(this.#region.blocks[item.node]!, next && fallsInto(next));
    }
  }

  #emitLoop(item: Item & { kind: 'loop' }): void {
    const label = this.#code.loop();
    this.#targets.push({ label, blocks: item.headers, dispatched: isDispatched(item) });
    this.#emitSequence(item.body, item.heads);
    this.#targets.pop();
    this.#code.unreachable();
    this.#code.end();
  }

  #emitDispatcher(heads: readonly number[]): void {
    const labels: Label[] = [];
    const fallback = this.#targetOf(heads[0]!).label;
    for (const head of heads) labels[this.#number(head)] = this.#targetOf(head).label;
    for (let number = 0; number < labels.length; number++) labels[number] ??= fallback;
    this.#code.getLocal(this.#entry);
    this.#code.brTable(labels, fallback);
  }

  #targetOf(index: number): Target {
    const target = this.#targets.findLast(({ blocks }) => blocks.has(index));
    if (target === undefined) throw new Error(`block ${index} is not in reach`);
    return target;
  }

  /** Control goes to this block: by falling, if it comes next anyhow. */
  #goTo(index: number, next: number | undefined): void {
    const target = this.#region.blocks[index]!;
    for (const page of target.pages) {
      if (!this.#block.pages.includes(page)) this.#emitPageCheck(page, target.at);
    }
    if (index === next) return;
    const { label, dispatched } = this.#targetOf(index);
    if (dispatched) {
      this.#code.i32(this.#number(index));
      this.#code.setLocal(this.#entry);
    }
    this.#code.br(label);
  }

  /** Leaves where the page is not mapped as it was, or is not what was translated. */
  #emitPageCheck(page: number, at: number): void {
    const code = this.#code;
    const known = this.#region.pages.get(page)!;
    const virtual = (): void => this.#pushAt(page * pageBytes);
    this.#fetchSlot(virtual);
    code.load('u64', 0);
    virtual();
    this.#op('i64.ne');
    code.ifUnlikely();
    this.#exit(exitReason.none, at);
    code.end();
    code.getLocal(this.#slot);
    code.load('word', 8);
    code.load('word', codePage.versionAt);
    code.i32(known.version);
    this.#op('i32.ne');
    code.ifUnlikely();
    this.#exit(exitReason.none, at);
    code.end();
  }

  /** @param next the block that is reached by falling out of this one */
  #emitBlock(block: BasicBlock, next: number | undefined): void {
    this.#block = block;
    this.#emitBudget(block);
    const { instructions } = block;
    for (const [index, instruction] of instructions.entries()) {
      this.#instruction = instruction;
      this.#behind = instructions.length - 1 - index;
      this.#emitInstruction(instruction);
    }
    const last = instructions.at(-1)!;
    if (!last.flow.falls) return;
    if (block.next === undefined) this.#exit(exitReason.none, last.at + last.length);
    else this.#goTo(block.next, next);
  }

  #emitBudget({ at, instructions }: BasicBlock): void {
    const code = this.#code;
    code.getLocal(this.#budget);
    code.i32(instructions.length);
    this.#op('i32.lt_s');
    code.ifUnlikely();
    code.i32(at);
    code.setLocal(this.#entry);
    code.br(this.#outOfBudget);
    code.end();
    this.#addToBudget(-instructions.length);
  }

  #addToBudget(count: number): void {
    if (count === 0) return;
    this.#pushBudget(count);
    this.#code.setLocal(this.#budget);
  }

  #pushBudget(more: number): void {
    this.#code.getLocal(this.#budget);
    if (more === 0) return;
    this.#code.i32(more);
    this.#op('i32.add');
  }

  // --- What instructions mean here

  #emitInstruction({ effects, row }: Instruction): void {
    const used: Record<Type, number> = { i32: 0, i64: 0 };
    const locals = row.locals.map((type) => {
      const position = used[type]++;
      this.#pool[type][position] ??= this.#code.newLocal(type);
      return this.#pool[type][position];
    });
    this.#lowering.body(effects, locals);
  }

  get #binding(): Binding {
    const code = this.#code;
    const reinterpretDouble = 0xbd;
    const reinterpretBits = 0xbf;
    return {
      x: (field) => code.getLocal(this.#xLocal(this.#instruction.operands[field])),
      f: (field) => {
        code.getLocal(this.#fLocal(this.#instruction.operands[field]));
        code.byte(reinterpretDouble);
      },
      setX: (field, value) => {
        value();
        code.setLocal(this.#xLocal(this.#instruction.operands[field]));
      },
      setF: (field, value) => {
        value();
        code.byte(reinterpretBits);
        code.setLocal(this.#fLocal(this.#instruction.operands[field]));
      },
      operand: () => unspecialised(),
      length: () => unspecialised(),
      return: () => unspecialised(),
      pc: () => this.#pushAt(this.#instruction.at),
      jump: (target) => this.#jump(target),
      resample: (target) => {
        if (target) target();
        else this.#pushAt(this.#instruction.at + this.#instruction.length);
        code.setLocal(this.#pc);
        this.#addToBudget(this.#behind);
        this.#leave(exitReason.resample);
      },
      trapped: () => this.#trap(),
      trappedIf: () => {
        code.ifUnlikely();
        this.#trap();
        code.end();
      },
      load: (access, address, forStore, local, rest) =>
        this.#load(access, address, forStore, local, rest),
      store: (access, address, value, rest) => this.#store(access, address, value, rest),
      beforeCall: () => this.#put(run.budgetLeft, () => this.#pushBudget(this.#behind)),
      // Only loads and stores change the budget.
      afterCall: () => {},
    };
  }

  #trap(): void {
    this.#addToBudget(this.#behind);
    this.#exit(exitReason.trap, this.#instruction.at);
  }

  #jump(target: Push): void {
    const { flow } = this.#instruction;
    if (flow.indirect) return this.#jumpIndirect(target);
    if (this.#block.taken === undefined) this.#exit(exitReason.none, flow.target!);
    else this.#goTo(this.#block.taken, undefined);
  }

  #jumpIndirect(target: Push): void {
    const code = this.#code;
    target();
    code.setLocal(this.#pc);
    const targets = this.#block.indirect;
    if (targets.length > 0) {
      code.getLocal(this.#pc);
      code.getLocal(this.#base);
      this.#op('i64.sub');
      code.setLocal(this.#address);
      this.#emitChoice(targets.toSorted((a, b) => a - b));
    }
    this.#leave(exitReason.none);
  }

  /** Finds `address` among the blocks (which are in the order of their places) by halving. */
  #emitChoice(targets: readonly number[]): void {
    const code = this.#code;
    const compare = (index: number, operator: string): void => {
      code.getLocal(this.#address);
      code.i64(this.#region.blocks[index]!.at);
      this.#op(operator);
    };
    if (targets.length <= 2) {
      for (const index of targets) {
        compare(index, 'i64.eq');
        code.if();
        this.#goTo(index, undefined);
        code.end();
      }
      return;
    }
    const middle = targets.length >> 1;
    compare(targets[middle]!, 'i64.lt_s');
    code.if();
    this.#emitChoice(targets.slice(0, middle));
    code.else();
    this.#emitChoice(targets.slice(middle));
    code.end();
  }

  // --- Memory

  /** From an address on the stack: the offset of its entry in a lookaside buffer. */
  #tlbSlot(): void {
    const code = this.#code;
    this.#op('i32.wrap_i64');
    code.i32(8);
    this.#op('i32.shr_u');
    code.i32((tlbEntries - 1) << 4);
    this.#op('i32.and');
  }

  /**
   * Pushes the linear address of a guest access, at which `quick` then acts; or `slow` makes the
   * access, where the lookaside buffer does not know the page or the address is misaligned.
   */
  #access(address: Push, bytes: number, forStore: boolean, quick: Push, slow: Push): void {
    const code = this.#code;
    const offset = (this.#knownBank ?? 0) + (forStore ? writeTlbOffset : 0);
    address();
    code.teeLocal(this.#address);
    this.#tlbSlot();
    if (this.#bank !== undefined) {
      code.getLocal(this.#bank);
      this.#op('i32.add');
    }
    code.teeLocal(this.#slot);
    code.load('u64', offset);
    code.getLocal(this.#address);
    code.i64(-pageBytes | (bytes - 1));
    this.#op('i64.and');
    this.#op('i64.ne');
    code.ifUnlikely();
    slow();
    code.else();
    code.getLocal(this.#address);
    this.#op('i32.wrap_i64');
    code.getLocal(this.#slot);
    code.load('word', offset + 8);
    this.#op('i32.add');
    quick();
    code.end();
  }

  #load(
    access: AccessName,
    address: Push,
    forStore: boolean,
    local: number,
    rest: () => void,
  ): void {
    const code = this.#code;
    const { bytes, signed } = accesses[access];
    const quick = (): void => {
      code.load(access, 0);
      code.setLocal(local);
    };
    this.#access(address, bytes, forStore, quick, () => {
      code.getLocal(this.#address);
      code.i32(bytes);
      code.i32(forStore ? 1 : 0);
      this.#pushBudget(this.#behind);
      this.#call(regionLoad);
      if (signed) this.#op(`i64.extend${bytes * 8}_s`);
      code.setLocal(local);
      this.#leaveIfWanted(rest);
    });
  }

  #store(access: AccessName, address: Push, value: Push, rest: () => void): void {
    const code = this.#code;
    const { bytes } = accesses[access];
    const quick = (): void => {
      value();
      code.store(access, 0);
    };
    this.#access(address, bytes, true, quick, () => {
      code.getLocal(this.#address);
      code.i32(bytes);
      value();
      this.#pushBudget(this.#behind);
      this.#call(regionStore);
      this.#leaveIfWanted(rest);
    });
  }

  /** Behind a slow access: out with its trap, or out once the instruction is complete. */
  #leaveIfWanted(rest: () => void): void {
    const code = this.#code;
    this.#get(run.leave);
    code.ifUnlikely();
    this.#get(run.fault);
    this.#op('i32.eqz');
    code.if();
    rest();
    code.end();
    const { at, length } = this.#instruction;
    code.i32((at << siteShift) | length);
    code.setLocal(this.#entry);
    code.br(this.#outOfAccess);
    code.end();
  }

  // --- Shorthands

  #op(name: string): void {
    this.#code.op(operators[name]!);
  }
  #call(routine: Routine): void {
    this.#code.call(this.#context.functionIndex(routine));
  }
  #get(field: Field): void {
    this.#code.i32(0);
    this.#code.load(field.access, field.at);
  }
  #put(field: Field, value: Push): void {
    this.#code.i32(0);
    value();
    this.#code.store(field.access, field.at);
  }
}

/** From an entry word: pushes the entry's number and the function's place in the table. */
export function pushEntry(code: Code, word: Push): void {
  word();
  code.i32(entriesMax - 1);
  code.op(operators['i32.and']!);
  word();
  code.i32(entryWord.translated - 1);
  code.op(operators['i32.and']!);
  code.i32(entryWord.entryBits);
  code.op(operators['i32.shr_u']!);
}

function obtain<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

const unspecialised = (): never => {
  throw new Error('a specialised instruction has no operands left');
};

const headsOf = (item: Item): readonly number[] =>
  item.kind === 'loop' ? item.heads : [item.node];
const isDispatched = (item: Item): boolean => item.kind === 'loop' && item.heads.length > 1;
/** The block at which control arrives that falls into an item. */
const fallsInto = (item: Item): number | undefined =>
  isDispatched(item) ? undefined : headsOf(item)[0];

/** The one that control falls to comes last, so that it is laid out closest. */
const successorsOf = ({ indirect, next, taken }: BasicBlock): readonly number[] =>
  [...indirect, taken, next].filter((index) => index !== undefined);

/** The blocks that control can reach from the entries, each with its successors. */
function reachable(blocks: readonly BasicBlock[], entries: readonly number[]): Graph {
  const graph = new Map<number, readonly number[]>();
  const queue = [...entries];
  for (let index = queue.pop(); index !== undefined; index = queue.pop()) {
    if (graph.has(index)) continue;
    const successors = successorsOf(blocks[index]!);
    graph.set(index, successors);
    queue.push(...successors);
  }
  return graph;
}

function walk(
  block: Block,
  visitor: {
    statement(statement: Block[number]): void;
    expression(expr: Expr): void;
  },
): void {
  const visit = (expr: Expr): void => {
    visitor.expression(expr);
    subexpressions(expr).forEach(visit);
  };
  for (const statement of block) {
    visitor.statement(statement);
    expressionsOf(statement).forEach(visit);
    for (const inner of blocksOf(statement)) walk(inner, visitor);
  }
}
