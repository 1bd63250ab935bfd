/**
 * The slow evaluator: runs the semantics language directly, with BigInt. It is the oracle in tests,
 * so it shares the rows and the routines with the engine and nothing else: no emitter, no cache.
 */
import { assert } from '../base/assert.ts';
import type { Operands } from './decode.ts';
import { fAt, xAt } from './hart-state.ts';
import { type AccessName, accesses, operators } from './operators.ts';
import type { Row } from './row.ts';
import type { Block, Definitions, Expr, Routine, Statement } from './semantics.ts';

/** What the evaluator needs of the machine around an instruction. */
export interface Environment {
  readonly view: DataView;
  readonly definitions: Definitions;
  /** A routine that comes from outside. */
  external(routine: Routine, args: readonly bigint[]): bigint;
  /** Guest memory; a trap is left pending in linear memory, as routines leave it. */
  load(access: AccessName, address: bigint, forStore: boolean): bigint;
  store(access: AccessName, address: bigint, value: bigint): void;
  raiseTrap(cause: bigint, value: bigint): void;
  trapPending(): boolean;
}

/** The instruction being executed. */
export interface Instruction {
  readonly operands: Operands;
  readonly length: number;
  readonly pc: bigint;
}

export type Outcome =
  | { readonly kind: 'next' }
  | { readonly kind: 'jump'; readonly target: bigint }
  | { readonly kind: 'resample'; readonly target: bigint }
  | { readonly kind: 'trap' };

type Flow = Outcome | { readonly kind: 'return'; readonly value: bigint };

export function executeRow(environment: Environment, row: Row, instruction: Instruction): Outcome {
  const frame = new Frame(
    environment,
    instruction,
    row.locals.map(() => 0n),
  );
  const flow = frame.block(row.block);
  assert(flow?.kind !== 'return', 'an instruction does not return');
  return flow ?? { kind: 'next' };
}

export function callRoutine(
  environment: Environment,
  routine: Routine,
  args: readonly bigint[],
): bigint {
  const body = environment.definitions.bodyOf(routine);
  if (body === undefined) return environment.external(routine, args);
  const frame = new Frame(environment, undefined, [...args, ...body.locals.map(() => 0n)]);
  const flow = frame.block(body.block);
  return flow?.kind === 'return' ? flow.value : 0n;
}

class Frame {
  readonly #environment: Environment;
  readonly #instruction: Instruction | undefined;
  readonly #locals: bigint[];

  constructor(environment: Environment, instruction: Instruction | undefined, locals: bigint[]) {
    this.#environment = environment;
    this.#instruction = instruction;
    this.#locals = locals;
  }

  /** Undefined: control falls out of the block's end. */
  block(block: Block): Flow | undefined {
    for (const statement of block) {
      const flow = this.#statement(statement);
      if (flow !== undefined) return flow;
    }
    return undefined;
  }

  #statement(statement: Statement): Flow | undefined {
    const environment = this.#environment;
    switch (statement.s) {
      case 'set':
        this.#locals[statement.local] = this.#expr(statement.value);
        return undefined;
      case 'setX': {
        const register = this.#at.operands[statement.field];
        const value = this.#expr(statement.value);
        if (register !== 0) environment.view.setBigUint64(xAt + register * 8, value, true);
        return undefined;
      }
      case 'setF': {
        const at = fAt + this.#at.operands[statement.field] * 8;
        environment.view.setBigUint64(at, this.#expr(statement.value), true);
        return undefined;
      }
      case 'poke': {
        const at = this.#linear(statement.at, statement.offset);
        this.#write(statement.access, at, this.#expr(statement.value));
        return undefined;
      }
      case 'fill': {
        const at = this.#linear(statement.at, 0);
        const length = Number(this.#expr(statement.length));
        const { buffer, byteOffset } = environment.view;
        new Uint8Array(buffer, byteOffset + at, length).fill(statement.byte);
        return undefined;
      }
      case 'if':
        return this.block(this.#expr(statement.condition) !== 0n ? statement.yes : statement.no);
      case 'while':
        for (;;) {
          const before = this.block(statement.before);
          if (before !== undefined) return before;
          if (this.#expr(statement.condition) === 0n) return undefined;
          const flow = this.block(statement.body);
          if (flow !== undefined) return flow;
        }
      case 'switch': {
        const index = Number(this.#expr(statement.index));
        return this.block(statement.cases[index] ?? statement.otherwise);
      }
      case 'return':
        return { kind: 'return', value: statement.value ? this.#expr(statement.value) : 0n };
      case 'jump':
        return { kind: 'jump', target: this.#expr(statement.target) };
      case 'resample': {
        const { pc, length } = this.#at;
        const next = BigInt.asUintN(64, pc + BigInt(length));
        return {
          kind: 'resample',
          target: statement.target ? this.#expr(statement.target) : next,
        };
      }
      case 'trap':
        environment.raiseTrap(this.#expr(statement.cause), this.#expr(statement.value));
        return { kind: 'trap' };
      case 'load': {
        const address = this.#expr(statement.address);
        const value = environment.load(statement.access, address, statement.forStore);
        this.#locals[statement.local] = value;
        return this.#trapped();
      }
      case 'store': {
        const address = this.#expr(statement.address);
        environment.store(statement.access, address, this.#expr(statement.value));
        return this.#trapped();
      }
      case 'call': {
        const args = statement.args.map((arg) => this.#expr(arg));
        const result = callRoutine(environment, statement.routine, args);
        if (statement.local !== undefined) this.#locals[statement.local] = result;
        return statement.checked ? this.#trapped() : undefined;
      }
    }
  }

  #trapped(): Flow | undefined {
    return this.#environment.trapPending() ? { kind: 'trap' } : undefined;
  }

  #expr({ node, type }: Expr): bigint {
    switch (node.k) {
      case 'const':
        return node.value;
      case 'local':
        return this.#locals[node.index]!;
      case 'op':
        return operators[node.name]!.meaning(...node.args.map((arg) => this.#expr(arg)));
      case 'x':
        return this.#environment.view.getBigUint64(xAt + this.#at.operands[node.field] * 8, true);
      case 'f':
        return this.#environment.view.getBigUint64(fAt + this.#at.operands[node.field] * 8, true);
      case 'operand':
        return this.#operand(node.name);
      case 'pc':
        return this.#at.pc;
      case 'length':
        return BigInt(this.#at.length);
      case 'peek': {
        const value = this.#read(node.access, this.#linear(node.at, node.offset));
        return BigInt.asUintN(type === 'i64' ? 64 : 32, value);
      }
      case 'choose':
        return this.#expr(node.condition) !== 0n ? this.#expr(node.yes) : this.#expr(node.no);
    }
  }

  get #at(): Instruction {
    assert(this.#instruction !== undefined, 'only instructions have operands');
    return this.#instruction;
  }

  #operand(name: 'imm' | 'rm' | 'uimm'): bigint {
    const { operands } = this.#at;
    if (name === 'imm') return BigInt.asUintN(64, BigInt(operands.imm));
    return BigInt(name === 'rm' ? operands.rm : operands.rs1);
  }

  /** Addresses of linear memory are 32 bits wide and the offset is added without wrapping. */
  #linear(at: Expr, offset: number): number {
    return Number(this.#expr(at)) + offset;
  }

  #read(access: AccessName, at: number): bigint {
    const { bytes, signed } = accesses[access];
    const { view } = this.#environment;
    let value = 0n;
    for (let index = bytes - 1; index >= 0; index--) {
      value = (value << 8n) | BigInt(view.getUint8(at + index));
    }
    return signed ? BigInt.asIntN(bytes * 8, value) : value;
  }

  #write(access: AccessName, at: number, value: bigint): void {
    const { view } = this.#environment;
    for (let index = 0; index < accesses[access].bytes; index++) {
      view.setUint8(at + index, Number((value >> BigInt(index * 8)) & 0xffn));
    }
  }
}
