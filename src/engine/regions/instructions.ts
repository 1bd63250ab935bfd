/**
 * What one specialised instruction does, between the control that emit.ts lays out: registers in
 * locals, memory by way of the lookaside buffer, traps and calls with the budget as it is there.
 */
import { type AccessName, accesses } from '../../isa/operators.ts';
import { pageBytes, run, writeTlbOffset } from '../../machine/layout.ts';
import { regionLoad, regionStore } from '../../machine/semantics/memory.ts';
import { LocalPool, pushTlbSlot } from '../common-code.ts';
import { type Binding, Lowering, type Push } from '../lower.ts';
import type { Instruction } from './discover.ts';
import { exitReason, type Frame } from './frame.ts';

const reinterpretDouble = 0xbd;
const reinterpretBits = 0xbf;

export class InstructionEmitter {
  readonly #frame: Frame;
  readonly #lowering: Lowering;
  readonly #jump: (target: Push) => void;
  readonly #pool: LocalPool;
  #instruction!: Instruction;
  /** Instructions of the block behind it, whose budget is taken already. */
  #behind = 0;

  /** @param jump control goes to the target of the instruction at hand */
  constructor(frame: Frame, jump: (target: Push) => void) {
    this.#frame = frame;
    this.#jump = jump;
    this.#pool = new LocalPool(frame.code);
    const { functionIndex, fusedMultiplyAdd } = frame.context;
    this.#lowering = new Lowering(frame.code, this.#binding, functionIndex, fusedMultiplyAdd);
  }

  /** @param behind how many instructions of the same block follow */
  emit(instruction: Instruction, behind: number): void {
    this.#instruction = instruction;
    this.#behind = behind;
    this.#lowering.body(instruction.effects, this.#pool.lend(instruction.row.locals));
  }

  get #binding(): Binding {
    const frame = this.#frame;
    const { code } = frame;
    return {
      x: (field) => code.getLocal(frame.x(this.#instruction.operands[field])),
      f: (field) => {
        code.getLocal(frame.f(this.#instruction.operands[field]));
        code.byte(reinterpretDouble);
      },
      setX: (field, value) => {
        value();
        code.setLocal(frame.x(this.#instruction.operands[field]));
      },
      setF: (field, value) => {
        value();
        code.byte(reinterpretBits);
        code.setLocal(frame.f(this.#instruction.operands[field]));
      },
      operand: () => unspecialised(),
      length: () => unspecialised(),
      return: () => unspecialised(),
      pc: () => frame.pushAt(this.#instruction.at),
      jump: (target) => this.#jump(target),
      resample: (target) => {
        if (target) target();
        else frame.pushAt(this.#instruction.at + this.#instruction.length);
        code.setLocal(frame.pc);
        frame.addToBudget(this.#behind);
        frame.leave(exitReason.resample);
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
      beforeCall: () => frame.put(run.budgetLeft, () => frame.pushBudget(this.#behind)),
      // Only loads and stores change the budget.
      afterCall: () => {},
    };
  }

  #trap(): void {
    this.#frame.addToBudget(this.#behind);
    this.#frame.exit(exitReason.trap, this.#instruction.at);
  }

  /**
   * Pushes the linear address of a guest access, at which `quick` then acts; or `slow` makes the
   * access, where the lookaside buffer does not know the page or the address is misaligned.
   */
  #access(address: Push, bytes: number, forStore: boolean, quick: Push, slow: Push): void {
    const frame = this.#frame;
    const { bank, code } = frame;
    const offset = ('known' in bank ? bank.known : 0) + (forStore ? writeTlbOffset : 0);
    address();
    code.teeLocal(frame.address);
    pushTlbSlot(code);
    if ('local' in bank) {
      code.getLocal(bank.local);
      frame.op('i32.add');
    }
    code.teeLocal(frame.slot);
    code.load('u64', offset);
    code.getLocal(frame.address);
    code.i64(-pageBytes | (bytes - 1));
    frame.op('i64.and');
    frame.op('i64.ne');
    code.ifUnlikely();
    slow();
    code.else();
    code.getLocal(frame.address);
    frame.op('i32.wrap_i64');
    code.getLocal(frame.slot);
    code.load('word', offset + 8);
    frame.op('i32.add');
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
    const frame = this.#frame;
    const { code } = frame;
    const { bytes, signed } = accesses[access];
    const quick = (): void => {
      code.load(access, 0);
      code.setLocal(local);
    };
    this.#access(address, bytes, forStore, quick, () => {
      code.getLocal(frame.address);
      code.i32(bytes);
      code.i32(forStore ? 1 : 0);
      frame.pushBudget(this.#behind);
      frame.call(regionLoad);
      if (signed) frame.op(`i64.extend${bytes * 8}_s`);
      code.setLocal(local);
      this.#leaveIfWanted(rest, forStore);
    });
  }

  #store(access: AccessName, address: Push, value: Push, rest: () => void): void {
    const frame = this.#frame;
    const { code } = frame;
    const { bytes } = accesses[access];
    const quick = (): void => {
      value();
      code.store(access, 0);
    };
    this.#access(address, bytes, true, quick, () => {
      code.getLocal(frame.address);
      code.i32(bytes);
      value();
      frame.pushBudget(this.#behind);
      frame.call(regionStore);
      this.#leaveIfWanted(rest);
    });
  }

  /**
   * Behind a slow access: out with its trap, or out once the instruction is complete, of which the
   * other half of an atomic operation may be left, with what is left of the budget.
   */
  #leaveIfWanted(rest: () => void, half = false): void {
    const frame = this.#frame;
    const { code } = frame;
    frame.get(run.leave);
    code.ifUnlikely();
    frame.get(run.fault);
    frame.op('i32.eqz');
    code.if();
    if (half) {
      frame.get(run.budgetLeft);
      code.setLocal(frame.budget);
      frame.addToBudget(-this.#behind);
    }
    rest();
    code.end();
    frame.leaveAccess(this.#instruction);
    code.end();
  }
}

const unspecialised = (): never => {
  throw new Error('a specialised instruction has no operands left');
};
