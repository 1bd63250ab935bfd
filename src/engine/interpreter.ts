/**
 * The interpreter tier: one WebAssembly function, emitted from the instruction rows.
 *
 * The loop keeps in locals where it is: `record` (the decoded instruction), `base` (the records of
 * the page) and `page` (its virtual address), so that pc = page + (record - base) / 8. Straight-line
 * code only adds to `record`; jumps inside a page compute it; everything else stores `hart.pc` and
 * goes by way of `fetch`.
 *
 *   resample   the context may have changed: requests to stop, interrupts, banks
 *   fetch      find the records of the page of hart.pc
 *   next       one instruction: take one from the budget, branch to its handler
 *   hot        a jump has landed where a translated region begins, or ought to
 *
 * Landings of jumps are counted, most in the record of their place and all of them by and by in its
 * word (`entryWord`), until it is hot. So the interpreter is also what looks for regions and what
 * they come back to.
 *
 * An instruction fetched singly (across a page edge, or where PMP treats parts of the page unlike)
 * runs from a scratch record. Its `page` is odd, which no page is, so any jump goes by way of
 * `fetch`, and so does what follows it.
 *
 * The budget is exact: when it is used up nothing more has any effect, not even a page walk.
 */
import { cause, fAt, hart, xAt } from '../isa/hart-state.ts';
import { type AccessName, accesses, operators, type Type } from '../isa/operators.ts';
import type { Row } from '../isa/row.ts';
import { rows } from '../isa/rows.ts';
import { declare, type Expr, type Field, type Routine } from '../isa/semantics.ts';
import { codePage, pageBytes, run, writeTlbOffset } from '../machine/layout.ts';
import { fetchSingle, fetchSlow } from '../machine/semantics/fetch.ts';
import { loadSlow, selectBanks, storeSlow } from '../machine/semantics/memory.ts';
import { takeInterrupt, takeTrap } from '../machine/semantics/trap.ts';
import { LocalPool, pushEntry, pushTlbSlot } from './common-code.ts';
import { type Binding, Lowering, type Push } from './lower.ts';
import { pairs } from './pairs.ts';
import { landingsFull, record } from './record.ts';
import { exitReason } from './regions/frame.ts';
import { noteJump } from './regions/jump-targets.ts';
import { Code, type FunctionBody, type Label } from './wasm/code.ts';

/** From outside: decodes from this record on. */
export const decodeRecords = declare('decodeRecords', { takes: ['i32'] });
/** From outside: the code at `hart.pc` is hot; its word says what is to happen next. */
export const wantRegion = declare('wantRegion');
/** From outside: the instruction at `hart.pc` has a breakpoint. -> 1 if the run ends there */
export const breakpointHere = declare('breakpointHere', { gives: 'i32' });
/** From outside: the region at `hart.pc` relies on what does not hold. */
export const unfitRegion = declare('unfitRegion');

export const interpreterType = { takes: ['i32'], gives: 'i32' } as const satisfies {
  takes: Type[];
  gives: Type;
};

export interface InterpreterContext {
  readonly functionIndex: (routine: Routine) => number;
  /** The type of translated regions. */
  readonly regionTypeIndex: number;
  /** Landings at one place after which `wantRegion` is called. */
  readonly hotLandings: number;
  readonly fusedMultiplyAdd: boolean;
}

export function emitInterpreter(context: InterpreterContext): FunctionBody {
  return new Interpreter(context).emit();
}

class Interpreter {
  readonly #code = new Code(1);
  readonly #context: InterpreterContext;
  // Parameter.
  readonly #budget = 0;
  // Where the loop is.
  readonly #record = this.#code.newLocal('i32');
  readonly #base = this.#code.newLocal('i32');
  readonly #page = this.#code.newLocal('i64');
  /** The bank of the data lookaside buffer. */
  readonly #bank = this.#code.newLocal('i32');
  // Scratch.
  readonly #address = this.#code.newLocal('i64');
  readonly #entry = this.#code.newLocal('i32');
  readonly #word = this.#code.newLocal('i32');
  readonly #landings = this.#code.newLocal('i32');
  /** 1: fetch the instruction at hart.pc by itself. */
  readonly #single = this.#code.newLocal('i32');
  /** 1: the instruction at hart.pc is to be interpreted, whatever region begins there. */
  readonly #interpretNext = this.#code.newLocal('i32');
  readonly #pool = new LocalPool(this.#code);
  // Labels.
  #leave!: Label;
  #resample!: Label;
  #fetch!: Label;
  #next!: Label;
  #trap!: Label;
  #hot!: Label;
  /** Whether the instruction at hand is an indirect jump. */
  #indirect = false;
  /** Whether a slow access of the instruction at hand goes to the dispatch. */
  #slowLeaves = false;

  constructor(context: InterpreterContext) {
    this.#context = context;
  }

  emit(): FunctionBody {
    const code = this.#code;
    this.#leave = code.block();
    this.#resample = code.loop();
    this.#emitResample();
    this.#fetch = code.loop();
    this.#trap = code.block();
    this.#hot = code.block();
    this.#emitFetch();
    this.#next = code.loop();
    this.#emitDispatch();
    code.end(); // next
    code.unreachable();
    code.end(); // hot
    this.#emitHot();
    code.end(); // trap: run.fault* say which, hart.pc says where
    this.#call(takeTrap);
    code.br(this.#resample);
    code.end(); // fetch
    code.end(); // resample
    code.unreachable();
    code.end(); // leave
    code.getLocal(this.#budget);
    this.#get(run.budgetHeld);
    this.#op('i32.add');
    return code.finish();
  }

  // --- The stages

  #emitResample(): void {
    const code = this.#code;
    this.#get(run.stopRequest);
    code.brIf(this.#leave);
    this.#leaveWithoutBudget();
    this.#call(takeInterrupt);
    code.if();
    this.#takeBudget();
    code.br(this.#resample);
    code.end();
    this.#call(selectBanks);
    this.#get(run.dataBank);
    code.setLocal(this.#bank);
  }

  #leaveWithoutBudget(): void {
    this.#code.getLocal(this.#budget);
    this.#op('i32.eqz');
    this.#code.brIf(this.#leave);
  }

  #takeBudget(): void {
    const code = this.#code;
    code.getLocal(this.#budget);
    code.i32(1);
    this.#op('i32.sub');
    code.setLocal(this.#budget);
  }

  #giveBackBudget(): void {
    const code = this.#code;
    code.getLocal(this.#budget);
    code.i32(1);
    this.#op('i32.add');
    code.setLocal(this.#budget);
  }

  #emitFetch(): void {
    const code = this.#code;
    const found = code.block();
    this.#get(hart.pc);
    code.setLocal(this.#address);
    code.getLocal(this.#single);
    this.#op('i32.eqz');
    code.if();
    this.#emitFetchPage(found);
    code.end();
    this.#emitFetchSingle();
    code.end();
  }

  /**
   * A jump has landed at `record` in the page at `base`: counts, or branches to `hot`. Most landings
   * are counted in the record, which is read anyhow; the word lies where the host must fetch it.
   */
  #land(): void {
    const code = this.#code;
    const { hotLandings } = this.#context;
    const step = Math.min(Math.ceil(hotLandings / 2), landingsFull + 1);
    code.getLocal(this.#record);
    code.load('byte', record.landings);
    code.teeLocal(this.#landings);
    code.i32(step - 1);
    this.#op('i32.ge_u');
    code.ifUnlikely();
    this.#entryWordAt();
    code.teeLocal(this.#entry);
    code.load('word', codePage.entriesAt);
    code.teeLocal(this.#word);
    // Never 0: that is the word of a place that nobody wanted to translate, which is to be executed.
    code.i32(Math.max(1, hotLandings - step));
    this.#op('i32.ge_u');
    code.brIf(this.#hot);
    code.getLocal(this.#entry);
    code.getLocal(this.#word);
    code.i32(step);
    this.#op('i32.add');
    code.store('word', codePage.entriesAt);
    code.i32(-1);
    code.setLocal(this.#landings);
    code.end();
    code.getLocal(this.#record);
    code.getLocal(this.#landings);
    code.i32(1);
    this.#op('i32.add');
    code.store('byte', record.landings);
  }

  #entryWordAt(): void {
    const code = this.#code;
    code.getLocal(this.#base);
    code.getLocal(this.#record);
    code.getLocal(this.#base);
    this.#op('i32.sub');
    code.i32(2);
    this.#op('i32.shr_u');
    this.#op('i32.add');
  }

  /** `word` is that of the place: a region is entered, or wanted. */
  #emitHot(): void {
    const code = this.#code;
    this.#storePc();
    code.getLocal(this.#word);
    code.i32(0);
    this.#op('i32.ge_s');
    code.if();
    this.#call(wantRegion);
    code.br(this.#fetch);
    code.end();
    this.#get(hart.pc);
    code.getLocal(this.#budget);
    pushEntry(code, () => code.getLocal(this.#word));
    code.callIndirect(this.#context.regionTypeIndex);
    code.setLocal(this.#budget);
    this.#get(run.exit);
    code.teeLocal(this.#word);
    code.if();
    this.#emitExit();
    code.end();
    code.getLocal(this.#budget);
    code.brIf(this.#fetch);
    this.#emitLookUp();
  }

  /** A region has returned for a reason, which is `word`; falls out where `hart.pc` comes next. */
  #emitExit(): void {
    const code = this.#code;
    const is = (reason: number): void => {
      code.getLocal(this.#word);
      code.i32(reason);
      this.#op('i32.eq');
    };
    this.#put(run.exit, () => code.i32(0));
    is(exitReason.trap);
    code.brIf(this.#trap);
    is(exitReason.resample);
    code.brIf(this.#resample);
    is(exitReason.unfit);
    code.if();
    this.#call(unfitRegion);
    code.end();
    code.i32(1);
    code.setLocal(this.#interpretNext);
  }

  /** Ends at `found`, or behind itself where the instruction must be fetched singly. */
  #emitFetchPage(found: Label): void {
    const code = this.#code;
    code.getLocal(this.#address);
    code.i64(BigInt(-pageBytes));
    this.#op('i64.and');
    code.setLocal(this.#page);
    this.#get(run.fetchBank);
    this.#tlbSlot();
    this.#op('i32.add');
    code.teeLocal(this.#entry);
    code.load('u64', 0);
    code.getLocal(this.#page);
    this.#op('i64.eq');
    code.if();
    code.getLocal(this.#entry);
    code.load('word', 8);
    code.setLocal(this.#base);
    code.else();
    this.#leaveWithoutBudget();
    this.#stopAheadOfFetch();
    code.getLocal(this.#address);
    this.#call(fetchSlow);
    code.setLocal(this.#base);
    this.#trapOfFetch();
    code.end();
    code.getLocal(this.#base);
    code.if();
    this.#enterPage();
    code.getLocal(this.#interpretNext);
    code.if();
    code.i32(0);
    code.setLocal(this.#interpretNext);
    code.else();
    this.#land();
    code.end();
    code.br(found);
    code.end();
  }

  /** record = base + 8 * (address mod page) */
  #enterPage(): void {
    const code = this.#code;
    code.getLocal(this.#base);
    code.getLocal(this.#address);
    this.#op('i32.wrap_i64');
    code.i32(pageBytes - 1);
    this.#op('i32.and');
    code.i32(3);
    this.#op('i32.shl');
    this.#op('i32.add');
    code.setLocal(this.#record);
  }

  /** A fetch that faults takes its budget here, since no instruction has begun. */
  #trapOfFetch(): void {
    const code = this.#code;
    this.#get(run.fault);
    code.if();
    this.#takeBudget();
    code.br(this.#trap);
    code.end();
  }

  #emitFetchSingle(): void {
    const code = this.#code;
    code.i32(0);
    code.setLocal(this.#single);
    this.#stopAheadOfFetch();
    code.getLocal(this.#address);
    this.#call(fetchSingle);
    code.setLocal(this.#record);
    this.#trapOfFetch();
    // An odd page, and the base with which the true pc comes out.
    code.getLocal(this.#address);
    code.i64(BigInt(-pageBytes));
    this.#op('i64.and');
    code.i64(2n);
    this.#op('i64.or');
    code.setLocal(this.#page);
    code.getLocal(this.#record);
    code.getLocal(this.#address);
    code.getLocal(this.#page);
    this.#op('i64.sub');
    this.#op('i32.wrap_i64');
    code.i32(3);
    this.#op('i32.shl');
    this.#op('i32.sub');
    code.setLocal(this.#base);
  }

  #emitDispatch(): void {
    const code = this.#code;
    code.getLocal(this.#budget);
    this.#op('i32.eqz');
    code.if();
    this.#storePc();
    this.#emitLookUp();
    code.end();
    this.#takeBudget();
    const special = [
      () => this.#emitUndecoded(),
      () => this.#emitIllegal(),
      () => this.#emitPageEnd(),
      () => this.#emitStraddle(),
      () => this.#emitBreakpoint(),
    ];
    const bodies = [
      ...special,
      ...rows.map((row) => () => this.#emitRow(row)),
      ...pairs.map(
        ([first, second]) =>
          () =>
            this.#emitPair(rows[first]!, rows[second]!),
      ),
    ];
    const labels = bodies.map(() => code.block()).reverse();
    code.getLocal(this.#record);
    code.load('half', 0);
    code.brTable(labels.slice(0, -1), labels.at(-1)!);
    for (const body of bodies) {
      code.end();
      body();
    }
  }

  /** The budget is used up, or was set aside so that everything is looked up. */
  #emitLookUp(): void {
    const code = this.#code;
    this.#get(run.stopRequest);
    code.brIf(this.#leave);
    this.#get(run.budgetHeld);
    code.teeLocal(this.#budget);
    this.#put(run.budgetHeld, () => code.i32(0));
    code.brIf(this.#resample);
    code.br(this.#leave);
  }

  // --- The handlers

  #emitUndecoded(): void {
    this.#giveBackBudget();
    this.#code.getLocal(this.#record);
    this.#call(decodeRecords);
    this.#code.br(this.#next);
  }

  #emitIllegal(): void {
    this.#put(run.faultCause, () => this.#code.i64(BigInt(cause.illegalInstruction)));
    this.#put(run.fault, () => this.#code.i32(1));
    this.#trapHere();
  }

  #emitPageEnd(): void {
    this.#giveBackBudget();
    this.#storePc();
    this.#code.br(this.#fetch);
  }

  #emitStraddle(): void {
    this.#giveBackBudget();
    this.#storePc();
    this.#code.i32(1);
    this.#code.setLocal(this.#single);
    this.#code.br(this.#fetch);
  }

  /** Passed over by an instruction fetched singly: the records know no more what it was. */
  #emitBreakpoint(): void {
    this.#giveBackBudget();
    this.#storePc();
    this.#stopAtBreakpoint();
    this.#code.i32(1);
    this.#code.setLocal(this.#single);
    this.#code.br(this.#fetch);
  }

  /** Ahead of a walk, whose marks in the page tables would show that the run has stopped here. */
  #stopAheadOfFetch(): void {
    this.#get(run.breakpoints);
    this.#code.if();
    this.#stopAtBreakpoint();
    this.#code.end();
  }

  #stopAtBreakpoint(): void {
    this.#takeBudget();
    this.#spillBudget();
    this.#giveBackBudget();
    this.#call(breakpointHere);
    this.#code.brIf(this.#leave);
  }

  #emitRow(row: Row): void {
    this.#emitInstruction(row);
    this.#toNextRecord();
    this.#code.br(this.#next);
  }

  /**
   * Two instructions with one dispatch. Whatever the first may have changed besides registers and
   * pages that need nobody's attention, the second's record among it, was a slow access, which goes
   * back to the dispatch.
   */
  #emitPair(first: Row, second: Row): void {
    const code = this.#code;
    this.#slowLeaves = true;
    this.#emitInstruction(first);
    this.#slowLeaves = false;
    this.#toNextRecord();
    code.getLocal(this.#budget);
    this.#op('i32.eqz');
    code.brIf(this.#next);
    this.#takeBudget();
    this.#emitRow(second);
  }

  #emitInstruction(row: Row): void {
    this.#indirect = jumpsIndirectly(row);
    const { functionIndex, fusedMultiplyAdd } = this.#context;
    const lowering = new Lowering(this.#code, this.#binding, functionIndex, fusedMultiplyAdd);
    lowering.body(row.block, this.#pool.lend(row.locals));
  }

  #toNextRecord(): void {
    const code = this.#code;
    code.getLocal(this.#record);
    code.getLocal(this.#record);
    code.load('byte', record.step);
    this.#op('i32.add');
    code.setLocal(this.#record);
  }

  /** Behind a slow access and what is left of its instruction, if another one is fused to it. */
  #leaveSlow(rest: () => void): void {
    if (!this.#slowLeaves) return;
    rest();
    this.#toNextRecord();
    this.#code.br(this.#next);
  }

  // --- What instructions mean here

  readonly #binding: Binding = {
    x: (field) => {
      this.#register(field);
      this.#code.load('u64', xAt);
    },
    f: (field) => {
      this.#register(field);
      this.#code.load('u64', fAt);
    },
    setX: (field, value) => {
      this.#register(field);
      value();
      this.#code.store('u64', xAt);
    },
    setF: (field, value) => {
      this.#register(field);
      value();
      this.#code.store('u64', fAt);
    },
    operand: (name) => this.#operand(name),
    pc: () => this.#pc(),
    length: () => {
      this.#code.getLocal(this.#record);
      this.#code.load('byte', record.step);
      this.#code.i32(3);
      this.#op('i32.shr_u');
      this.#op('i64.extend_i32_u');
    },
    jump: (target) => this.#jump(target),
    resample: (target) => {
      this.#put(hart.pc, () => {
        if (target) target();
        else this.#nextPc();
      });
      this.#code.br(this.#resample);
    },
    trapped: () => this.#trapHere(),
    trappedIf: () => {
      this.#code.if();
      this.#trapHere();
      this.#code.end();
    },
    load: (access, address, forStore, local, rest) =>
      this.#load(access, address, forStore, local, rest),
    store: (access, address, value, rest) => this.#store(access, address, value, rest),
    return: () => {
      throw new Error('an instruction does not return');
    },
    beforeCall: () => this.#spillBudget(),
    afterCall: () => this.#reloadBudget(),
  };

  #register(field: 'rd' | 'rs1' | 'rs2' | 'rs3'): void {
    this.#code.getLocal(this.#record);
    this.#code.load(field === 'rs3' ? 'byte' : 'half', record[field]);
  }

  #operand(name: 'imm' | 'rm' | 'uimm'): void {
    const code = this.#code;
    code.getLocal(this.#record);
    if (name === 'imm') code.load('i32', record.imm);
    else if (name === 'rm') code.load('byte', record.rm);
    else {
      code.load('u16', record.rs1);
      code.i64(3n);
      this.#op('i64.shr_u');
    }
  }

  #pc(): void {
    const code = this.#code;
    code.getLocal(this.#page);
    code.getLocal(this.#record);
    code.getLocal(this.#base);
    this.#op('i32.sub');
    code.i32(3);
    this.#op('i32.shr_s');
    this.#op('i64.extend_i32_s');
    this.#op('i64.add');
  }

  #nextPc(): void {
    this.#pc();
    this.#binding.length();
    this.#op('i64.add');
  }

  #storePc(): void {
    this.#put(hart.pc, () => this.#pc());
  }

  #trapHere(): void {
    this.#storePc();
    this.#code.br(this.#trap);
  }

  #jump(target: Push): void {
    const code = this.#code;
    target();
    code.setLocal(this.#address);
    if (this.#indirect) this.#noteTarget();
    code.getLocal(this.#address);
    code.i64(BigInt(-pageBytes));
    this.#op('i64.and');
    code.getLocal(this.#page);
    this.#op('i64.eq');
    code.if();
    this.#enterPage();
    this.#land();
    code.br(this.#next);
    code.end();
    this.#put(hart.pc, () => code.getLocal(this.#address));
    code.br(this.#fetch);
  }

  /** Tells where an indirect jump goes, now and then. */
  #noteTarget(): void {
    const code = this.#code;
    code.getLocal(this.#budget);
    code.i32(3);
    this.#op('i32.and');
    this.#op('i32.eqz');
    code.if();
    code.getLocal(this.#record);
    code.getLocal(this.#address);
    this.#pc();
    this.#op('i64.sub');
    this.#op('i32.wrap_i64');
    this.#call(noteJump);
    code.end();
  }

  /** From `address`: the offset of its entry in a lookaside buffer. */
  #tlbSlot(): void {
    this.#code.getLocal(this.#address);
    pushTlbSlot(this.#code);
  }

  /** Pushes whether the lookaside buffer knows the page and the access is aligned. */
  #probe(address: Push, bytes: number, offset: number): void {
    const code = this.#code;
    address();
    code.setLocal(this.#address);
    this.#tlbSlot();
    code.getLocal(this.#bank);
    this.#op('i32.add');
    code.teeLocal(this.#entry);
    code.load('u64', offset);
    code.getLocal(this.#address);
    code.i64(BigInt(-pageBytes | (bytes - 1)));
    this.#op('i64.and');
    this.#op('i64.eq');
  }

  #hostAddress(offset: number): void {
    const code = this.#code;
    code.getLocal(this.#address);
    this.#op('i32.wrap_i64');
    code.getLocal(this.#entry);
    code.load('word', offset + 8);
    this.#op('i32.add');
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
    const offset = forStore ? writeTlbOffset : 0;
    this.#probe(address, bytes, offset);
    code.if();
    this.#hostAddress(offset);
    code.load(access, 0);
    code.setLocal(local);
    code.else();
    this.#spillBudget();
    code.getLocal(this.#address);
    code.i32(bytes);
    code.i32(forStore ? 1 : 0);
    this.#call(loadSlow);
    if (signed) this.#op(`i64.extend${bytes * 8}_s`);
    code.setLocal(local);
    this.#reloadBudget();
    this.#get(run.fault);
    this.#binding.trappedIf();
    this.#leaveSlow(rest);
    code.end();
  }

  #store(access: AccessName, address: Push, value: Push, rest: () => void): void {
    const code = this.#code;
    const { bytes } = accesses[access];
    this.#probe(address, bytes, writeTlbOffset);
    code.if();
    this.#hostAddress(writeTlbOffset);
    value();
    code.store(access, 0);
    code.else();
    this.#spillBudget();
    code.getLocal(this.#address);
    code.i32(bytes);
    value();
    this.#call(storeSlow);
    this.#reloadBudget();
    this.#get(run.fault);
    this.#binding.trappedIf();
    this.#leaveSlow(rest);
    code.end();
  }

  #spillBudget(): void {
    this.#put(run.budgetLeft, () => this.#code.getLocal(this.#budget));
  }

  #reloadBudget(): void {
    this.#get(run.budgetLeft);
    this.#code.setLocal(this.#budget);
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

/** Whether a row jumps elsewhere than to a distance from pc. */
function jumpsIndirectly({ block }: Row): boolean {
  const named = ({ node }: Expr): boolean =>
    node.k === 'pc' || (node.k === 'op' && node.args.some(named));
  return block.some((statement) => statement.s === 'jump' && !named(statement.target));
}
