/** Zicsr, Zihintpause and the privileged instructions (privileged manual 20240411, chapter 3). */
import { cause } from '../hart-state.ts';
import {
  csrAccess,
  environmentCall,
  fenceTranslation,
  machineReturn,
  supervisorReturn,
  waitForInterrupt,
  yieldHart,
} from '../primitives.ts';
import { type Row, row } from '../row.ts';
import { type Builder, choose, type Expr, eqz, i32, ne, wrap } from '../semantics.ts';

const readOnly = 3;

/**
 * CSRRS and CSRRC with x0 (or a zero immediate) do not write, which is what makes reading a
 * read-only CSR legal. A write may change anything, so the context is looked at again after it.
 */
function csr(name: string, funct3: string, mode: number, operand: (o: Builder) => Expr): Row {
  return row(name, 'Csr', `............ ..... ${funct3} ..... 1110011`, (o) => {
    const given = o.let(operand(o));
    const number = wrap(o.imm);
    if (mode === 0) {
      const old = o.call(csrAccess, number, given, mode);
      o.setX('rd', old);
      o.resample();
      return;
    }
    const effective = o.let(choose(eqz(o.uimm), i32(readOnly), i32(mode)));
    const old = o.call(csrAccess, number, given, effective);
    o.setX('rd', old);
    o.if(ne(effective, readOnly), () => o.resample());
  });
}

const x = (o: Builder): Expr => o.x('rs1');
const u = (o: Builder): Expr => o.uimm;

export const systemRows: readonly Row[] = [
  csr('csrrw', '001', 0, x),
  csr('csrrs', '010', 1, x),
  csr('csrrc', '011', 2, x),
  csr('csrrwi', '101', 0, u),
  csr('csrrsi', '110', 1, u),
  csr('csrrci', '111', 2, u),
  row('ecall', 'None', '000000000000 00000 000 00000 1110011', (o) => {
    o.call(environmentCall);
    o.resample();
  }),
  row('ebreak', 'None', '000000000001 00000 000 00000 1110011', (o) =>
    o.trap(cause.breakpoint, o.pc),
  ),
  row('mret', 'None', '001100000010 00000 000 00000 1110011', (o) =>
    o.resample(o.call(machineReturn)),
  ),
  row('sret', 'None', '000100000010 00000 000 00000 1110011', (o) =>
    o.resample(o.call(supervisorReturn)),
  ),
  row('wfi', 'None', '000100000101 00000 000 00000 1110011', (o) => {
    o.call(waitForInterrupt);
    o.resample();
  }),
  row('sfence.vma', 'None', '0001001 ..... ..... 000 00000 1110011', (o) => {
    o.call(fenceTranslation);
  }),
  row('pause', 'None', '0000 0001 0000 00000 000 00000 0001111', (o) => {
    o.call(yieldHart);
    o.resample();
  }),
];
