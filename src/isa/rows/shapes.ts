/** What the tables of integer instructions share: opcodes, and the shapes of their patterns. */
import { type Row, row } from '../row.ts';
import type { Expr } from '../semantics.ts';

export const OP = '0110011';
export const OP_IMM = '0010011';
export const OP_32 = '0111011';
export const OP_IMM_32 = '0011011';

export type Two = (a: Expr, b: Expr) => Expr;

/** rd from rs1 and rs2. */
export const register = (
  name: string,
  funct7: string,
  funct3: string,
  opcode: string,
  result: Two,
): Row =>
  row(name, 'R', `${funct7} ..... ..... ${funct3} ..... ${opcode}`, (o) =>
    o.setX('rd', result(o.x('rs1'), o.x('rs2'))),
  );

/** rd from rs1 and an amount, which fills what `top` leaves of the upper twelve bits. */
export const shift = (
  name: string,
  top: string,
  funct3: string,
  opcode: string,
  result: Two,
): Row =>
  row(name, 'Shift', `${top} ${'.'.repeat(12 - top.length)} ..... ${funct3} ..... ${opcode}`, (o) =>
    o.setX('rd', result(o.x('rs1'), o.imm)),
  );
