/**
 * From the semantics language to WebAssembly. What differs between a routine, the interpreter and a
 * translated region (where operands come from, what a jump or a trap is) is behind `Binding`;
 * everything else is here, once.
 */
import { assert } from '../base/assert.ts';
import type { AccessName } from '../isa/operators.ts';
import { operators, type Type } from '../isa/operators.ts';
import { floatOperation } from '../isa/primitives.ts';
import type { Block, Expr, FField, Node, Routine, Statement, XField } from '../isa/semantics.ts';
import { run } from '../machine/layout.ts';
import type { Code } from './wasm/code.ts';

/** Pushes one value. */
export type Push = () => void;

export interface Binding {
  x(field: XField): void;
  f(field: FField): void;
  setX(field: XField, value: Push): void;
  setF(field: FField, value: Push): void;
  operand(name: 'imm' | 'rm' | 'uimm'): void;
  pc(): void;
  length(): void;
  jump(target: Push): void;
  resample(target: Push | undefined): void;
  /** The pending trap has been recorded in `run.fault*`; leave. */
  trapped(): void;
  /** Branches to the same place if the i32 on the stack is not 0. */
  trappedIf(): void;
  /** @param rest lowers once more what is left of the instruction, for a way out of its own */
  load(
    access: AccessName,
    address: Push,
    forStore: boolean,
    toLocal: number,
    rest: () => void,
  ): void;
  store(access: AccessName, address: Push, value: Push, rest: () => void): void;
  return(value: Push | undefined): void;
  /** Around a call that may look at, or change, the budget. */
  beforeCall(): void;
  afterCall(): void;
}

export class Lowering {
  readonly code: Code;
  readonly #binding: Binding;
  readonly #functionIndex: (routine: Routine) => number;
  readonly #fused: boolean;
  /** WebAssembly's number of each local of the block being lowered. */
  #locals: readonly number[] = [];
  /** The blocks that enclose the statement at hand, and which of theirs comes next. */
  readonly #open: { readonly block: Block; next: number }[] = [];

  /** @param fused whether the host multiplies and adds in one rounding */
  constructor(
    code: Code,
    binding: Binding,
    functionIndex: (routine: Routine) => number,
    fused = false,
  ) {
    this.code = code;
    this.#binding = binding;
    this.#functionIndex = functionIndex;
    this.#fused = fused;
  }

  /** Lowers a whole body; `locals[i]` is the local that holds the body's local i. */
  body(block: Block, locals: readonly number[]): void {
    this.#locals = locals;
    this.#block(block);
  }

  #block(block: Block): void {
    const frame = { block, next: 0 };
    this.#open.push(frame);
    this.#finishBlock(frame);
    this.#open.pop();
  }

  #finishBlock(frame: { readonly block: Block; next: number }): void {
    while (frame.next < frame.block.length) this.#statement(frame.block[frame.next++]!);
  }

  /** What follows the statement at hand, out of all blocks, once more. */
  readonly #rest = (): void => {
    const places = this.#open.map(({ next }) => next);
    for (const frame of this.#open.toReversed()) this.#finishBlock(frame);
    for (const [index, frame] of this.#open.entries()) frame.next = places[index]!;
  };

  #statement(statement: Statement): void {
    const { code } = this;
    const binding = this.#binding;
    switch (statement.s) {
      case 'set':
        this.#expr(statement.value);
        code.setLocal(this.#locals[statement.local]!);
        return;
      case 'setX':
        return binding.setX(statement.field, this.#push(statement.value));
      case 'setF':
        return binding.setF(statement.field, this.#push(statement.value));
      case 'poke':
        this.#address(statement.at, statement.offset, (offset) => {
          this.#expr(statement.value);
          code.store(statement.access, offset);
        });
        return;
      case 'fill':
        this.#expr(statement.at);
        code.i32(statement.byte);
        this.#expr(statement.length);
        code.fill();
        return;
      case 'if':
        this.#expr(statement.condition);
        if (isUnlikely(statement.yes)) code.ifUnlikely();
        else code.if();
        this.#block(statement.yes);
        if (statement.no.length > 0) {
          code.else();
          this.#block(statement.no);
        }
        code.end();
        return;
      case 'while':
        return this.#while(statement);
      case 'switch':
        return this.#switch(statement);
      case 'return':
        return binding.return(statement.value && this.#push(statement.value));
      case 'jump':
        return binding.jump(this.#push(statement.target));
      case 'resample':
        return binding.resample(statement.target && this.#push(statement.target));
      case 'trap':
        this.#field(run.faultCause, this.#push(statement.cause));
        this.#field(run.faultValue, this.#push(statement.value));
        this.#field(run.fault, () => code.i32(1));
        return binding.trapped();
      case 'load':
        return binding.load(
          statement.access,
          this.#push(statement.address),
          statement.forStore,
          this.#locals[statement.local]!,
          this.#rest,
        );
      case 'store':
        return binding.store(
          statement.access,
          this.#push(statement.address),
          this.#push(statement.value),
          this.#rest,
        );
      case 'call':
        return this.#call(statement);
    }
  }

  #call(statement: Statement & { s: 'call' }): void {
    const { code } = this;
    this.#binding.beforeCall();
    for (const arg of statement.args) this.#expr(arg);
    code.call(this.#functionIndex(statement.routine));
    if (statement.local !== undefined) code.setLocal(this.#locals[statement.local]!);
    this.#binding.afterCall();
    if (statement.checked) {
      code.i32(0);
      code.load(run.fault.access, run.fault.at);
      this.#binding.trappedIf();
    }
  }

  #while(statement: Statement & { s: 'while' }): void {
    const { code } = this;
    const out = code.block();
    const again = code.loop();
    this.#block(statement.before);
    this.#expr(statement.condition);
    code.op(operators['i32.eqz']!);
    code.brIf(out);
    this.#block(statement.body);
    code.br(again);
    code.end();
    code.end();
  }

  #switch(statement: Statement & { s: 'switch' }): void {
    const { code } = this;
    const out = code.block();
    const otherwise = code.block();
    const labels = statement.cases.map(() => code.block()).reverse();
    this.#expr(statement.index);
    code.brTable(labels, otherwise);
    for (const block of statement.cases) {
      code.end();
      this.#block(block);
      code.br(out);
    }
    code.end();
    this.#block(statement.otherwise);
    code.end();
  }

  #push(expr: Expr): Push {
    return () => this.#expr(expr);
  }

  #field(field: { access: AccessName; at: number }, value: Push): void {
    this.code.i32(0);
    value();
    this.code.store(field.access, field.at);
  }

  /** A constant address becomes the offset of the access. */
  #address(at: Expr, offset: number, access: (offset: number) => void): void {
    if (at.node.k === 'const') {
      this.code.i32(0);
      access(Number(at.node.value) + offset);
      return;
    }
    this.#expr(at);
    access(offset);
  }

  #expr(expr: Expr): void {
    this.#node(expr.node, expr.type);
  }

  #node(node: Node, type: Type): void {
    const { code } = this;
    switch (node.k) {
      case 'const':
        return code.constant(type, node.value);
      case 'local':
        return code.getLocal(this.#locals[node.index]!);
      case 'op': {
        const operator = operators[node.name]!;
        if (operator.fused && !this.#fused) return code.constant(type, canonicalNan);
        for (const arg of node.args) {
          this.#expr(arg);
          for (const opcode of operator.around?.operand ?? []) code.byte(opcode);
        }
        return code.op(operator);
      }
      case 'x':
        return this.#binding.x(node.field);
      case 'f':
        return this.#binding.f(node.field);
      case 'operand':
        return this.#binding.operand(node.name);
      case 'pc':
        return this.#binding.pc();
      case 'length':
        return this.#binding.length();
      case 'peek':
        return this.#address(node.at, node.offset, (offset) => code.load(node.access, offset));
      case 'choose': {
        this.#expr(node.condition);
        code.if(type);
        this.#expr(node.yes);
        code.else();
        this.#expr(node.no);
        code.end();
        return;
      }
    }
  }
}

/** What traps or leaves the quick path is laid out of the way. */
function isUnlikely(block: Block): boolean {
  return block.some(
    (statement) =>
      statement.s === 'trap' || (statement.s === 'call' && statement.routine === floatOperation),
  );
}

/** What the guards of isa/rows/float.ts turn away, in either format. */
const canonicalNan = 0x7ff8_0000_7fc0_0000n;

const notHere = (): never => {
  assert(false, 'only instructions have operands');
};

/** Inside a routine there are no operands, and a trap returns to the caller, which checks. */
export function routineBinding(code: Code, gives: Type | undefined): Binding {
  const leave = (): void => {
    if (gives) code.constant(gives, 0n);
    code.return();
  };
  return {
    x: notHere,
    f: notHere,
    setX: notHere,
    setF: notHere,
    operand: notHere,
    pc: notHere,
    length: notHere,
    jump: notHere,
    resample: notHere,
    load: notHere,
    store: notHere,
    trapped: leave,
    trappedIf() {
      code.if();
      leave();
      code.end();
    },
    return(value) {
      value?.();
      code.return();
    },
    beforeCall() {},
    afterCall() {},
  };
}
