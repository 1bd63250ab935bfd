/**
 * Partial evaluation of a row for one instruction: operands become constants, conditions that are
 * decided disappear, and what is known of the hart (`KnownBits`) is used. What comes out is a block
 * of the same language, so there is one meaning and one lowering for all tiers.
 *
 * In: a row, its operands. Out: its effects, with `x`, `f` and `pc` left open.
 */
import type { Decoded } from '../../isa/decode.ts';
import { accesses, operators, type Type } from '../../isa/operators.ts';
import type { Row } from '../../isa/row.ts';
import {
  type Block,
  type Expr,
  type Field,
  type Node,
  type Statement,
  walk,
} from '../../isa/semantics.ts';

/** Bits of a field of the hart that a region may rely on: it is entered only while they hold. */
export interface KnownBits {
  readonly field: Field;
  readonly mask: bigint;
  readonly value: bigint;
}

const widthMask = { i32: 0xffff_ffffn, i64: 0xffff_ffff_ffff_ffffn } as const;

export class Specialiser {
  readonly #known: readonly KnownBits[];
  /** What was relied upon so far. */
  readonly used = new Set<KnownBits>();
  #operands!: Decoded;
  #assignedOnce: readonly boolean[] = [];
  #constants: (Expr | undefined)[] = [];

  constructor(known: readonly KnownBits[]) {
    this.#known = known;
  }

  /** The value of a whole field, if it is known. */
  fieldValue(field: Field): bigint | undefined {
    const mask = accesses[field.access].type === 'i64' ? widthMask.i64 : widthMask.i32;
    return this.#knownOf(constant('i32', BigInt(field.at)), 0, mask);
  }

  row(row: Row, operands: Decoded): Block {
    this.#operands = operands;
    this.#assignedOnce = assignedOnce(row);
    this.#constants = [];
    return this.#block(row.block);
  }

  #block(block: Block): Block {
    const result: Statement[] = [];
    for (const statement of block) this.#statement(statement, result);
    return result;
  }

  #statement(statement: Statement, out: Statement[]): void {
    switch (statement.s) {
      case 'set': {
        const value = this.#expr(statement.value);
        if (value.node.k === 'const' && this.#assignedOnce[statement.local]) {
          this.#constants[statement.local] = value;
        } else out.push({ ...statement, value });
        return;
      }
      case 'setX':
        // Expressions are pure: what x0 swallows need not be computed.
        if (this.#operands[statement.field] === 0) return;
        out.push({ ...statement, value: this.#expr(statement.value) });
        return;
      case 'setF':
        out.push({ ...statement, value: this.#expr(statement.value) });
        return;
      case 'poke': {
        const at = this.#expr(statement.at);
        const value = this.#expr(statement.value);
        if (!writesBack(at, value, statement)) out.push({ ...statement, at, value });
        return;
      }
      case 'if': {
        const condition = this.#expr(statement.condition);
        if (condition.node.k === 'const') {
          const chosen = condition.node.value === 0n ? statement.no : statement.yes;
          for (const inner of chosen) this.#statement(inner, out);
          return;
        }
        const yes = this.#block(statement.yes);
        const no = this.#block(statement.no);
        if (yes.length + no.length > 0) out.push({ ...statement, condition, yes, no });
        return;
      }
      case 'jump':
        out.push({ ...statement, target: this.#expr(statement.target) });
        return;
      case 'resample': {
        const target = statement.target && this.#expr(statement.target);
        out.push({ ...statement, target });
        return;
      }
      case 'trap':
        out.push({
          ...statement,
          cause: this.#expr(statement.cause),
          value: this.#expr(statement.value),
        });
        return;
      case 'load':
        out.push({ ...statement, address: this.#expr(statement.address) });
        return;
      case 'store':
        out.push({
          ...statement,
          address: this.#expr(statement.address),
          value: this.#expr(statement.value),
        });
        return;
      case 'call':
        out.push({ ...statement, args: statement.args.map((arg) => this.#expr(arg)) });
        return;
      default:
        throw new Error(`${statement.s} does not occur in instructions`);
    }
  }

  #expr(expr: Expr): Expr {
    const { node } = expr;
    switch (node.k) {
      case 'x':
        return this.#operands[node.field] === 0 ? constant('i64', 0n) : expr;
      case 'operand':
        return constant(expr.type, this.#operand(node.name));
      case 'length':
        return constant('i64', BigInt(this.#operands.length));
      case 'local':
        return this.#constants[node.index] ?? expr;
      case 'op':
        return this.#operation(
          expr,
          node.name,
          node.args.map((arg) => this.#expr(arg)),
        );
      case 'peek': {
        const at = this.#expr(node.at);
        const known = this.#knownOf(at, node.offset, widthMask[expr.type]);
        return known === undefined
          ? { type: expr.type, node: { ...node, at } }
          : constant(expr.type, known);
      }
      case 'choose': {
        const condition = this.#expr(node.condition);
        if (condition.node.k === 'const') {
          return this.#expr(condition.node.value === 0n ? node.no : node.yes);
        }
        const [yes, no] = [this.#expr(node.yes), this.#expr(node.no)];
        return { type: expr.type, node: { k: 'choose', condition, yes, no } };
      }
      default:
        return expr;
    }
  }

  #operand(name: 'imm' | 'rm' | 'uimm'): bigint {
    if (name === 'imm') return BigInt.asUintN(64, BigInt(this.#operands.imm));
    return BigInt(name === 'rm' ? this.#operands.rm : this.#operands.rs1);
  }

  /** The value of these bits of a field, if all of them are known. */
  #knownOf(at: Expr, offset: number, mask: bigint): bigint | undefined {
    if (at.node.k !== 'const') return undefined;
    const place = Number(at.node.value) + offset;
    const known = this.#known.find((bits) => bits.field.at === place && (mask & ~bits.mask) === 0n);
    if (known === undefined) return undefined;
    this.used.add(known);
    return known.value & mask;
  }

  #operation(expr: Expr, name: string, args: readonly Expr[]): Expr {
    const operator = operators[name]!;
    const values = args.map(({ node }) => (node.k === 'const' ? node.value : undefined));
    if (values.every((value) => value !== undefined) && !/div|rem|f32|f64/.test(name)) {
      return constant(expr.type, operator.meaning(...(values as bigint[])));
    }
    return this.#simpler(name, args, values) ?? { type: expr.type, node: { k: 'op', name, args } };
  }

  /** Identities that instructions run into: addition of zero, masks of known bits. */
  #simpler(
    name: string,
    args: readonly Expr[],
    values: readonly (bigint | undefined)[],
  ): Expr | undefined {
    const [left, right] = args as [Expr, Expr];
    const operation = name.slice(name.indexOf('.') + 1);
    if (right === undefined) return undefined;
    const all = widthMask[left.type];
    switch (operation) {
      case 'add':
      case 'or':
      case 'xor':
        if (values[1] === 0n) return left;
        if (values[0] === 0n) return right;
        return operation === 'or' && this.#alreadySet(left, values[1]) ? left : undefined;
      case 'sub':
      case 'shl':
      case 'shr_u':
      case 'shr_s':
        return values[1] === 0n ? left : undefined;
      case 'and': {
        if (values[0] === 0n || values[1] === 0n) return constant(left.type, 0n);
        if (values[1] === all || (values[1] === 1n && isFlag(left))) return left;
        if (values[0] === all || (values[0] === 1n && isFlag(right))) return right;
        if (left.node.k !== 'peek' || values[1] === undefined) return undefined;
        const known = this.#knownOf(left.node.at, left.node.offset, values[1]);
        return known === undefined ? undefined : constant(left.type, known);
      }
      default:
        return undefined;
    }
  }

  /** Whether a field is known to have these bits set. */
  #alreadySet(field: Expr, bits: bigint | undefined): boolean {
    if (bits === undefined || field.node.k !== 'peek') return false;
    return this.#knownOf(field.node.at, field.node.offset, bits) === bits;
  }
}

const constant = (type: Type, value: bigint): Expr => ({ type, node: { k: 'const', value } });

const comparison = /\.(eqz|eq|ne|[lg][te](_[su])?)$/;
/** Whether the value can only be 0 or 1. */
const isFlag = ({ node }: Expr): boolean => node.k === 'op' && comparison.test(node.name);

/** Whether a field is written with what it holds. */
function writesBack(at: Expr, value: Expr, statement: Statement & { s: 'poke' }): boolean {
  const { node } = value;
  if (node.k !== 'peek' || node.offset !== statement.offset) return false;
  if (node.access !== statement.access) return false;
  return sameConstant(node.at.node, at.node);
}

const sameConstant = (a: Node, b: Node): boolean =>
  a.k === 'const' && b.k === 'const' && a.value === b.value;

const assignments = new WeakMap<Row, readonly boolean[]>();

/** Which locals of a row are assigned at one place only. */
function assignedOnce(row: Row): readonly boolean[] {
  let once = assignments.get(row);
  if (once === undefined) {
    const counts = row.locals.map(() => 0);
    const count = (statement: Statement): void => {
      if ('local' in statement && statement.local !== undefined) counts[statement.local]! += 1;
    };
    walk(row.block, { statement: count, expression: () => {} });
    once = counts.map((times) => times === 1);
    assignments.set(row, once);
  }
  return once;
}
