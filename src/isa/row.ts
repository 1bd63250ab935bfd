/**
 * An instruction row: name, format, bit pattern and semantics. Everything else that anybody wants
 * to know about an instruction (its fields, whether it may trap, whether it ends a block) is
 * derived from the row and never noted by hand.
 *
 * Patterns are written as in the RISC-V manual, most significant bit first: `0` and `1` are fixed,
 * `.` is an operand bit, spaces are for the eye.
 */
import { assert } from '../base/assert.ts';
import { type Block, Builder, type Routine, type Type, walk } from './semantics.ts';

/** Where a format keeps its immediate and which register fields it has (manual, section 2.2). */
export const formats = {
  R: { fields: ['rd', 'rs1', 'rs2'], immediate: 'none' },
  R2: { fields: ['rd', 'rs1'], immediate: 'none' },
  R4: { fields: ['rd', 'rs1', 'rs2', 'rs3'], immediate: 'none' },
  I: { fields: ['rd', 'rs1'], immediate: 'I' },
  Shift: { fields: ['rd', 'rs1'], immediate: 'shamt' },
  S: { fields: ['rs1', 'rs2'], immediate: 'S' },
  B: { fields: ['rs1', 'rs2'], immediate: 'B' },
  U: { fields: ['rd'], immediate: 'U' },
  J: { fields: ['rd'], immediate: 'J' },
  Csr: { fields: ['rd', 'rs1'], immediate: 'csr' },
  None: { fields: [], immediate: 'none' },
} as const satisfies Record<string, { fields: readonly string[]; immediate: string }>;

export type FormatName = keyof typeof formats;
export type RegisterField = 'rd' | 'rs1' | 'rs2' | 'rs3';

export interface Row {
  readonly name: string;
  readonly format: FormatName;
  readonly pattern: string;
  readonly mask: number;
  readonly match: number;
  readonly block: Block;
  readonly locals: readonly Type[];
  /** Derived from the semantics: which register fields name floating-point registers. */
  readonly floatFields: ReadonlySet<RegisterField>;
  /** Derived: whether rd names an integer register that is written. */
  readonly writesX: boolean;
  /** Derived: the routines that it calls. */
  readonly calls: ReadonlySet<Routine>;
  /** Derived: control may go on elsewhere than at the next instruction, or the context changes. */
  readonly endsBlock: boolean;
}

/** Mask and match of a pattern of 16 or 32 characters. */
export function parsePattern(pattern: string, bits: 16 | 32): { mask: number; match: number } {
  const compact = pattern.replaceAll(' ', '');
  assert(compact.length === bits && /^[01.]*$/.test(compact), `not a pattern: ${pattern}`);
  const mask = Number.parseInt(compact.replaceAll('0', '1').replaceAll('.', '0'), 2);
  const match = Number.parseInt(compact.replaceAll('.', '0'), 2);
  return { mask, match };
}

export function row(
  name: string,
  format: FormatName,
  pattern: string,
  semantics: (o: Builder) => void,
): Row {
  const builder = new Builder();
  semantics(builder);
  const { block, locals } = builder.finish();
  const floatFields = new Set<RegisterField>();
  const calls = new Set<Routine>();
  let writesX = false;
  let endsBlock = false;
  walk(block, {
    statement(statement) {
      if (statement.s === 'setX') writesX = true;
      if (statement.s === 'setF') floatFields.add(statement.field);
      if (statement.s === 'call') calls.add(statement.routine);
      if (statement.s === 'jump' || statement.s === 'resample') endsBlock = true;
    },
    expression(expr) {
      if (expr.node.k === 'f') floatFields.add(expr.node.field);
    },
  });
  return {
    name,
    format,
    pattern,
    ...parsePattern(pattern, 32),
    block,
    locals,
    floatFields,
    writesX,
    calls,
    endsBlock,
  };
}
