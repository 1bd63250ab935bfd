/**
 * The function that a region becomes, as far as its parts share it: parameters, locals, the guest's
 * registers in locals, and the ways out. emit.ts lays out control, instructions.ts what happens in
 * between.
 */
import { assert } from '../../base/assert.ts';
import { fAt, xAt } from '../../isa/hart-state.ts';
import { operators, type Type } from '../../isa/operators.ts';
import { type Field, type Routine, walk } from '../../isa/semantics.ts';
import { run } from '../../machine/layout.ts';
import { pushTlbSlot } from '../common-code.ts';
import type { Push } from '../lower.ts';
import { Code, type Label } from '../wasm/code.ts';
import type { BasicBlock, Instruction } from './discover.ts';
import type { Specialiser } from './specialise.ts';

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
  /** The interpreter's turn: a block does not fit into the budget, or translations have changed. */
  interpret: 3,
  /** What the region relied on does not hold; nothing was done. */
  unfit: 4,
} as const;

export interface EmitContext {
  readonly functionIndex: (routine: Routine) => number;
  readonly regionTypeIndex: number;
  readonly fusedMultiplyAdd: boolean;
  readonly specialiser: Specialiser;
}

/** An instruction's place with its length, in one number: where an access leaves the region. */
const siteShift = 3;
const siteLength = (1 << siteShift) - 1;
function siteOf({ at, length }: Instruction): number {
  const site = (at << siteShift) | length;
  assert(site >> siteShift === at, `a region does not reach ${at} bytes`);
  return site;
}

export class Frame {
  readonly code = new Code(3);
  readonly context: EmitContext;
  // Parameters. `pc` becomes the place to go on at, `entry` the block that a dispatcher leads to.
  readonly pc = 0;
  readonly budget = 1;
  readonly entry = 2;
  /** The virtual address of the home page. */
  readonly base = this.code.newLocal('i64');
  readonly why = this.code.newLocal('i32');
  // Scratch.
  readonly address = this.code.newLocal('i64');
  readonly slot = this.code.newLocal('i32');
  /** The bank of the data lookaside buffer: a constant if it is known, else a local. */
  readonly bank: { readonly known: number } | { readonly local: number };
  readonly #x = new Map<number, number>();
  readonly #f = new Map<number, number>();
  readonly #xWritten = new Set<number>();
  readonly #fWritten = new Set<number>();
  /** The one way out, with `pc` and `why`. */
  out!: Label;
  /** Shared ways there: the block at `entry` does not fit; an access at the site in `entry`. */
  outOfBudget!: Label;
  outOfAccess!: Label;

  constructor(context: EmitContext) {
    this.context = context;
    const known = context.specialiser.fieldValue(run.dataBank);
    this.bank =
      known === undefined ? { local: this.code.newLocal('i32') } : { known: Number(known) };
  }

  // --- The guest's registers

  noteRegisters({ instructions }: BasicBlock): void {
    for (const { effects, operands } of instructions) {
      walk(effects, {
        statement: (statement) => {
          if (statement.s === 'setX') {
            this.#xWritten.add(operands[statement.field]);
            this.x(operands[statement.field]);
          } else if (statement.s === 'setF') {
            this.#fWritten.add(operands[statement.field]);
            this.f(operands[statement.field]);
          }
        },
        expression: ({ node }) => {
          if (node.k === 'x') this.x(operands[node.field]);
          if (node.k === 'f') this.f(operands[node.field]);
        },
      });
    }
  }

  /** The local of an integer register. */
  x(register: number): number {
    return obtain(this.#x, register, () => this.code.newLocal('i64'));
  }

  /** The local of a floating-point register, a double whatever it holds. */
  f(register: number): number {
    return obtain(this.#f, register, () => this.code.newLocal('f64'));
  }

  loadRegisters(): void {
    for (const [register, local] of this.#x) {
      this.code.i32(0);
      this.code.load('u64', xAt + register * 8);
      this.code.setLocal(local);
    }
    for (const [register, local] of this.#f) {
      this.code.i32(0);
      this.code.loadDouble(fAt + register * 8);
      this.code.setLocal(local);
    }
  }

  storeRegisters(): void {
    for (const register of this.#xWritten) {
      this.code.i32(0);
      this.code.getLocal(this.x(register));
      this.code.store('u64', xAt + register * 8);
    }
    for (const register of this.#fWritten) {
      this.code.i32(0);
      this.code.getLocal(this.f(register));
      this.code.storeDouble(fAt + register * 8);
    }
  }

  // --- Budget

  pushBudget(more: number): void {
    this.code.getLocal(this.budget);
    if (more === 0) return;
    this.code.i32(more);
    this.op('i32.add');
  }

  addToBudget(count: number): void {
    if (count === 0) return;
    this.pushBudget(count);
    this.code.setLocal(this.budget);
  }

  // --- Ways out

  /** Pushes the virtual address of a place. */
  pushAt(at: number): void {
    this.code.getLocal(this.base);
    if (at === 0) return;
    this.code.i64(at);
    this.op('i64.add');
  }

  /** Goes on at a place. */
  exit(reason: number, at: number): void {
    this.pushAt(at);
    this.code.setLocal(this.pc);
    this.leave(reason);
  }

  /** Goes on at `pc`. */
  leave(reason: number): void {
    if (reason !== exitReason.none) {
      this.code.i32(reason);
      this.code.setLocal(this.why);
    }
    this.code.br(this.out);
  }

  /** Out behind a slow access, which has said whether it has trapped. */
  leaveAccess(instruction: Instruction): void {
    this.code.i32(siteOf(instruction));
    this.code.setLocal(this.entry);
    this.code.br(this.outOfAccess);
  }

  leaveWithoutBudget(at: number): void {
    this.code.i32(at);
    this.code.setLocal(this.entry);
    this.code.br(this.outOfBudget);
  }

  openExits(): void {
    this.out = this.code.block();
    this.outOfAccess = this.code.block();
    this.outOfBudget = this.code.block();
  }

  /** The shared ways out, behind all blocks; ends at `out`. */
  closeExits(): void {
    const { code } = this;
    code.end(); // out of budget
    this.#pcFrom(() => code.getLocal(this.entry));
    this.leave(exitReason.interpret);
    code.end(); // out of an access: at the instruction if it has trapped, otherwise behind it
    this.get(run.budgetLeft);
    code.setLocal(this.budget);
    this.get(run.fault);
    code.if();
    this.#pcFrom(() => this.#siteAt());
    this.leave(exitReason.trap);
    code.end();
    this.#pcFrom(() => {
      this.#siteAt();
      code.getLocal(this.entry);
      code.i32(siteLength);
      this.op('i32.and');
      this.op('i32.add');
    });
    this.leave(exitReason.interpret);
    code.end();
  }

  #pcFrom(distance: Push): void {
    this.code.getLocal(this.base);
    distance();
    this.op('i64.extend_i32_s');
    this.op('i64.add');
    this.code.setLocal(this.pc);
  }

  #siteAt(): void {
    this.code.getLocal(this.entry);
    this.code.i32(siteShift);
    this.op('i32.shr_s');
  }

  /** Pushes the address of a virtual page's entry in the fetch lookaside buffer; keeps it in `slot`. */
  fetchSlot(virtual: Push): void {
    virtual();
    pushTlbSlot(this.code);
    this.get(run.fetchBank);
    this.op('i32.add');
    this.code.teeLocal(this.slot);
  }

  // --- Shorthands

  op(name: string): void {
    this.code.op(operators[name]!);
  }
  call(routine: Routine): void {
    this.code.call(this.context.functionIndex(routine));
  }
  get(field: Field): void {
    this.code.i32(0);
    this.code.load(field.access, field.at);
  }
  put(field: Field, value: Push): void {
    this.code.i32(0);
    value();
    this.code.store(field.access, field.at);
  }
}

export function obtain<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
