/**
 * The semantics language: what an instruction or a routine of the machine does, as data.
 *
 * Instruction rows (isa/rows) and the machine's routines (machine/semantics) are written once, as
 * functions that call a `Builder`. The result is a short list of statements over typed expression
 * trees. Readers: the WebAssembly tiers (engine/) and the evaluator (isa/evaluate.ts).
 *
 * Rules that keep every reader in agreement:
 * - Expressions are pure reads and arithmetic. Whatever can trap or has an effect is a statement
 *   whose result is bound to a local at the place where it is written.
 * - An instruction that may trap does so before it changes anything, so a trap is always precise.
 * - Trees are evaluated where they are used: bind with `let` what is used twice or must be read
 *   before a write. Writing a register forbids reading one afterwards; the builder asserts this.
 */
import { assert } from '../base/assert.ts';
import { type AccessName, accesses, operators, type Type } from './operators.ts';

export type { Type } from './operators.ts';

/** The operand fields of an instruction that name integer or floating-point registers. */
export type XField = 'rd' | 'rs1' | 'rs2';
export type FField = 'rd' | 'rs1' | 'rs2' | 'rs3';

export type Node =
  | { readonly k: 'const'; readonly value: bigint }
  | { readonly k: 'local'; readonly index: number }
  | { readonly k: 'op'; readonly name: string; readonly args: readonly Expr[] }
  | { readonly k: 'x'; readonly field: XField }
  | { readonly k: 'f'; readonly field: FField }
  | { readonly k: 'operand'; readonly name: 'imm' | 'rm' | 'uimm' }
  | { readonly k: 'pc' }
  | { readonly k: 'length' }
  | { readonly k: 'peek'; readonly access: AccessName; readonly at: Expr; readonly offset: number }
  | {
      readonly k: 'choose';
      readonly condition: Expr;
      readonly yes: Expr;
      readonly no: Expr;
    };

export interface Expr {
  readonly type: Type;
  readonly node: Node;
}

export type Statement =
  | { readonly s: 'set'; readonly local: number; readonly value: Expr }
  | { readonly s: 'setX'; readonly field: XField; readonly value: Expr }
  | { readonly s: 'setF'; readonly field: FField; readonly value: Expr }
  | {
      readonly s: 'poke';
      readonly access: AccessName;
      readonly at: Expr;
      readonly offset: number;
      readonly value: Expr;
    }
  | { readonly s: 'fill'; readonly at: Expr; readonly byte: number; readonly length: Expr }
  | { readonly s: 'if'; readonly condition: Expr; readonly yes: Block; readonly no: Block }
  | { readonly s: 'while'; readonly before: Block; readonly condition: Expr; readonly body: Block }
  | {
      readonly s: 'switch';
      readonly index: Expr;
      readonly cases: readonly Block[];
      readonly otherwise: Block;
    }
  | { readonly s: 'return'; readonly value: Expr | undefined }
  | { readonly s: 'jump'; readonly target: Expr }
  | { readonly s: 'trap'; readonly cause: Expr; readonly value: Expr }
  | {
      readonly s: 'load';
      readonly local: number;
      readonly access: AccessName;
      readonly address: Expr;
      /** Checked and reported as a store: the first half of an atomic operation. */
      readonly forStore: boolean;
    }
  | {
      readonly s: 'store';
      readonly access: AccessName;
      readonly address: Expr;
      readonly value: Expr;
    }
  | {
      readonly s: 'call';
      readonly local: number | undefined;
      readonly routine: Routine;
      readonly args: readonly Expr[];
      /** Whether a trap that the routine leaves pending ends the caller too. */
      readonly checked: boolean;
    }
  /** The context has changed: look again at interrupts, translation and requests to stop. */
  | { readonly s: 'resample'; readonly target: Expr | undefined };

export type Block = readonly Statement[];

/**
 * A routine: a function of the machine, or, without a body, one that the host of the engine
 * supplies. A routine that may trap sets the pending trap and returns; every call checks it.
 */
export interface Routine {
  readonly name: string;
  readonly takes: readonly Type[];
  readonly gives: Type | undefined;
  readonly mayTrap: boolean;
}

export interface Body {
  readonly block: Block;
  /** The types of the locals behind the parameters. */
  readonly locals: readonly Type[];
}

export interface Signature {
  readonly takes?: readonly Type[];
  readonly gives?: Type;
  readonly mayTrap?: boolean;
}

/** Declares a routine whose body is defined elsewhere (`Definitions`) or comes from outside. */
export function declare(name: string, signature: Signature = {}): Routine {
  return {
    name,
    takes: signature.takes ?? [],
    gives: signature.gives,
    mayTrap: signature.mayTrap ?? false,
  };
}

/** The bodies of routines, for one machine: they may depend on its layout. */
export class Definitions {
  readonly #bodies = new Map<Routine, Body>();

  define(routine: Routine, write: (o: Builder, ...parameters: Expr[]) => void): void {
    assert(!this.#bodies.has(routine), `${routine.name} is defined twice`);
    const builder = new Builder(routine.takes);
    const parameters = routine.takes.map((type, index) => local(type, index));
    write(builder, ...parameters);
    this.#bodies.set(routine, builder.finish());
  }

  /** Undefined: the routine comes from outside. */
  bodyOf(routine: Routine): Body | undefined {
    return this.#bodies.get(routine);
  }
}

const local = (type: Type, index: number): Expr => ({ type, node: { k: 'local', index } });

export const i64 = (value: bigint | number): Expr => ({
  type: 'i64',
  node: { k: 'const', value: BigInt.asUintN(64, BigInt(value)) },
});

export const i32 = (value: number): Expr => ({
  type: 'i32',
  node: { k: 'const', value: BigInt.asUintN(32, BigInt(value)) },
});

export function op(name: string, ...args: Expr[]): Expr {
  const operator = operators[name];
  assert(operator !== undefined, `no operator ${name}`);
  assert(
    args.length === operator.takes.length &&
      args.every((arg, index) => arg.type === operator.takes[index]),
    `${name} does not take (${args.map((arg) => arg.type).join(', ')})`,
  );
  return { type: operator.gives, node: { k: 'op', name, args } };
}

type Operand = Expr | bigint | number;

/** Constants take the type of what they stand beside. */
function pair(a: Operand, b: Operand): [Expr, Expr] {
  if (typeof a === 'object') return [a, constantLike(a, b)];
  assert(typeof b === 'object', 'two constants need no operator');
  return [constantLike(b, a), b];
}

function constantLike(model: Expr, value: Operand): Expr {
  if (typeof value === 'object') return value;
  return model.type === 'i64' ? i64(value) : i32(Number(value));
}

const binary =
  (name: string) =>
  (a: Operand, b: Operand): Expr => {
    const [left, right] = pair(a, b);
    return op(`${left.type}.${name}`, left, right);
  };
const unary =
  (name: string) =>
  (a: Expr): Expr =>
    op(`${a.type}.${name}`, a);

/** Arithmetic on expressions of either width; constants adapt. */
export const add = binary('add');
export const sub = binary('sub');
export const mul = binary('mul');
export const divS = binary('div_s');
export const divU = binary('div_u');
export const remS = binary('rem_s');
export const remU = binary('rem_u');
export const and = binary('and');
export const or = binary('or');
export const xor = binary('xor');
export const shl = binary('shl');
export const shrS = binary('shr_s');
export const shrU = binary('shr_u');
export const rotl = binary('rotl');
export const rotr = binary('rotr');
export const eq = binary('eq');
export const ne = binary('ne');
export const ltS = binary('lt_s');
export const ltU = binary('lt_u');
export const geS = binary('ge_s');
export const geU = binary('ge_u');
export const gtU = binary('gt_u');
export const leU = binary('le_u');
export const eqz = unary('eqz');
export const clz = unary('clz');
export const ctz = unary('ctz');
export const popcnt = unary('popcnt');
export const extend8 = unary('extend8_s');
export const extend16 = unary('extend16_s');
export const extend32 = unary('extend32_s');
export const not = (a: Expr): Expr => xor(a, -1);
export const wrap = (a: Expr): Expr => op('i32.wrap_i64', a);
export const sext = (a: Expr): Expr => op('i64.extend_i32_s', a);
export const zext = (a: Expr): Expr => op('i64.extend_i32_u', a);
export const zext32 = (a: Expr): Expr => and(a, 0xffff_ffffn);
/** `then` or `otherwise`; only the chosen one is evaluated. */
export function choose(condition: Expr, then: Operand, otherwise: Operand): Expr {
  const [a, b] = pair(then, otherwise);
  assert(a.type === b.type, 'both sides of a choice have one type');
  return { type: a.type, node: { k: 'choose', condition, yes: a, no: b } };
}

/** A field of linear memory at a fixed place. */
export interface Field {
  readonly access: AccessName;
  readonly at: number;
}

/** Raw linear memory: Umbra's own tables, and guest RAM once an address is translated. */
export function peek(access: AccessName, at: Expr, offset = 0): Expr {
  return { type: accesses[access].type, node: { k: 'peek', access, at, offset } };
}

export const get = (field: Field): Expr => peek(field.access, i32(0), field.at);

export class Builder {
  readonly #locals: Type[];
  readonly #parameterCount: number;
  #block: Statement[] = [];
  #registerWritten = false;

  constructor(parameters: readonly Type[] = []) {
    this.#locals = [...parameters];
    this.#parameterCount = parameters.length;
  }

  finish(): Body {
    return { block: this.#block, locals: this.#locals.slice(this.#parameterCount) };
  }

  // Operands of the instruction.
  x(field: XField): Expr {
    return { type: 'i64', node: { k: 'x', field } };
  }
  /** The raw 64 bits of a floating-point register. */
  f(field: FField): Expr {
    return { type: 'i64', node: { k: 'f', field } };
  }
  /** The immediate, sign-extended to 64 bits. */
  readonly imm: Expr = { type: 'i64', node: { k: 'operand', name: 'imm' } };
  /** The rounding-mode field. */
  readonly rm: Expr = { type: 'i32', node: { k: 'operand', name: 'rm' } };
  /** The five bits of rs1 as a number (CSR immediates). */
  readonly uimm: Expr = { type: 'i64', node: { k: 'operand', name: 'uimm' } };
  readonly pc: Expr = { type: 'i64', node: { k: 'pc' } };
  readonly nextPc: Expr = add(this.pc, { type: 'i64', node: { k: 'length' } });

  // Effects on the hart.
  setX(field: XField, value: Expr): void {
    this.#push({ s: 'setX', field, value: typed(value, 'i64') });
    this.#registerWritten = true;
  }
  setF(field: FField, value: Expr): void {
    this.#push({ s: 'setF', field, value: typed(value, 'i64') });
    this.#registerWritten = true;
  }
  jump(target: Expr): void {
    this.#push({ s: 'jump', target: typed(target, 'i64') });
  }
  trap(cause: number, value: Expr = i64(0)): void {
    this.#push({ s: 'trap', cause: i64(cause), value: typed(value, 'i64') });
  }
  trapWith(cause: Expr, value: Expr): void {
    this.#push({ s: 'trap', cause, value });
  }
  /** Guest memory, translated; may trap. */
  load(access: AccessName, address: Expr): Expr {
    return this.#load(access, address, false);
  }
  /** The first half of an atomic operation: what faults, faults as a store. */
  loadForStore(access: AccessName, address: Expr): Expr {
    return this.#load(access, address, true);
  }
  store(access: AccessName, address: Expr, value: Expr): void {
    this.#push({ s: 'store', access, address: typed(address, 'i64'), value: typed(value, 'i64') });
  }
  /** Ends the instruction; control goes on at `target`, or at the next instruction. */
  resample(target?: Expr): void {
    this.#push({ s: 'resample', target });
  }

  // Locals and control.
  /** Evaluates now; the result may be used any number of times. */
  let(value: Expr): Expr {
    const index = this.#newLocal(value.type);
    this.#push({ s: 'set', local: index, value });
    return local(value.type, index);
  }
  /** A local that may be assigned again. */
  set(variable: Expr, value: Operand): void {
    assert(variable.node.k === 'local', 'only locals are assigned');
    this.#push({ s: 'set', local: variable.node.index, value: constantLike(variable, value) });
  }
  if(condition: Expr, then: () => void, otherwise: () => void = () => {}): void {
    const written = this.#registerWritten;
    const thenBlock = this.#nested(then);
    const afterThen = this.#registerWritten;
    this.#registerWritten = written;
    const otherwiseBlock = this.#nested(otherwise);
    this.#registerWritten ||= afterThen;
    this.#push({
      s: 'if',
      condition: typed(condition, 'i32'),
      yes: thenBlock,
      no: otherwiseBlock,
    });
  }
  /** The condition may need statements of its own, which run before each test. */
  while(condition: () => Expr, body: () => void): void {
    let tested: Expr | undefined;
    const before = this.#nested(() => {
      tested = condition();
    });
    this.#push({
      s: 'while',
      before,
      condition: typed(tested as unknown as Expr, 'i32'),
      body: this.#nested(body),
    });
  }
  switch(index: Expr, cases: readonly (() => void)[], otherwise: () => void): void {
    const blocks = cases.map((write) => this.#nested(write));
    this.#push({
      s: 'switch',
      index: typed(index, 'i32'),
      cases: blocks,
      otherwise: this.#nested(otherwise),
    });
  }
  return(value?: Operand, type: Type = 'i64'): void {
    const result =
      value === undefined || typeof value === 'object'
        ? value
        : type === 'i64'
          ? i64(value)
          : i32(Number(value));
    this.#push({ s: 'return', value: result });
  }
  call(routine: Routine, ...args: Operand[]): Expr {
    return this.#call(routine, args, routine.mayTrap);
  }
  /** A call whose trap, if it leaves one, is the caller's to deal with. */
  callUnchecked(routine: Routine, ...args: Operand[]): Expr {
    return this.#call(routine, args, false);
  }
  #call(routine: Routine, args: readonly Operand[], checked: boolean): Expr {
    const typedArgs = args.map((arg, index) =>
      typeof arg === 'object'
        ? typed(arg, routine.takes[index]!)
        : routine.takes[index] === 'i64'
          ? i64(arg)
          : i32(Number(arg)),
    );
    assert(typedArgs.length === routine.takes.length, `${routine.name}: wrong number of arguments`);
    const result = routine.gives === undefined ? undefined : this.#newLocal(routine.gives);
    this.#push({ s: 'call', local: result, routine, args: typedArgs, checked });
    return result === undefined ? i32(0) : local(routine.gives!, result);
  }

  // Linear memory.
  poke(access: AccessName, at: Expr, value: Operand, offset = 0): void {
    const wanted = accesses[access].type;
    const expr =
      typeof value === 'object'
        ? typed(value, wanted)
        : wanted === 'i64'
          ? i64(value)
          : i32(Number(value));
    this.#push({ s: 'poke', access, at: typed(at, 'i32'), offset, value: expr });
  }
  put(field: Field, value: Operand): void {
    this.poke(field.access, i32(0), value, field.at);
  }
  fill(at: Expr, byte: number, length: Expr): void {
    this.#push({ s: 'fill', at, byte, length });
  }

  #load(access: AccessName, address: Expr, forStore: boolean): Expr {
    const result = this.#newLocal('i64');
    this.#push({ s: 'load', local: result, access, address: typed(address, 'i64'), forStore });
    return local('i64', result);
  }
  #nested(write: () => void): Block {
    const outer = this.#block;
    const inner: Statement[] = [];
    this.#block = inner;
    write();
    this.#block = outer;
    return inner;
  }
  #newLocal(type: Type): number {
    return this.#locals.push(type) - 1;
  }
  #push(statement: Statement): void {
    if (this.#registerWritten) {
      const late = expressionsOf(statement).some(readsRegister);
      assert(!late, 'a register is read after one was written: bind it before');
    }
    this.#block.push(statement);
  }
}

/** The expressions of a statement itself, without those of the blocks inside it. */
export function expressionsOf(statement: Statement): readonly Expr[] {
  switch (statement.s) {
    case 'set':
    case 'setX':
    case 'setF':
      return [statement.value];
    case 'poke':
      return [statement.at, statement.value];
    case 'fill':
      return [statement.at, statement.length];
    case 'if':
    case 'while':
      return [statement.condition];
    case 'switch':
      return [statement.index];
    case 'return':
      return statement.value ? [statement.value] : [];
    case 'jump':
      return [statement.target];
    case 'trap':
      return [statement.cause, statement.value];
    case 'load':
      return [statement.address];
    case 'store':
      return [statement.address, statement.value];
    case 'call':
      return statement.args;
    case 'resample':
      return statement.target ? [statement.target] : [];
  }
}

/** The blocks inside a statement. */
export function blocksOf(statement: Statement): readonly Block[] {
  switch (statement.s) {
    case 'if':
      return [statement.yes, statement.no];
    case 'while':
      return [statement.before, statement.body];
    case 'switch':
      return [...statement.cases, statement.otherwise];
    default:
      return [];
  }
}

export function subexpressions(expr: Expr): readonly Expr[] {
  switch (expr.node.k) {
    case 'op':
      return expr.node.args;
    case 'peek':
      return [expr.node.at];
    case 'choose':
      return [expr.node.condition, expr.node.yes, expr.node.no];
    default:
      return [];
  }
}

export interface Visitor {
  statement(statement: Statement): void;
  expression(expr: Expr): void;
}

/** Every statement and expression of a block and of the blocks inside it. */
export function walk(block: Block, visitor: Visitor): void {
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

function readsRegister(expr: Expr): boolean {
  return expr.node.k === 'x' || expr.node.k === 'f' || subexpressions(expr).some(readsRegister);
}

function typed(value: Expr, type: Type): Expr {
  assert(value.type === type, `${type} wanted, not ${value.type}`);
  return value;
}
