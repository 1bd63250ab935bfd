/** The A extension (unprivileged manual 20240411, chapter 13). */
import { cause, hart } from '../hart-state.ts';
import { type Row, row } from '../row.ts';
import {
  add,
  and,
  type Builder,
  choose,
  type Expr,
  eq,
  extend32,
  get,
  ltS,
  ltU,
  ne,
  or,
  xor,
  zext,
} from '../semantics.ts';

const noReservation = -1;

interface Width {
  readonly suffix: string;
  readonly funct3: string;
  readonly access: 'i32' | 'u64';
  readonly bytes: number;
  readonly narrow: (value: Expr) => Expr;
}
const widths: readonly Width[] = [
  { suffix: 'w', funct3: '010', access: 'i32', bytes: 4, narrow: extend32 },
  { suffix: 'd', funct3: '011', access: 'u64', bytes: 8, narrow: (value) => value },
];

/** The address in rs1, which atomics want aligned. */
function alignedAddress(o: Builder, width: Width, misaligned: number): Expr {
  const address = o.let(o.x('rs1'));
  o.if(ne(and(address, width.bytes - 1), 0), () => o.trap(misaligned, address));
  return address;
}

function loadReserved(width: Width): Row {
  const pattern = `00010.. 00000 ..... ${width.funct3} ..... 0101111`;
  return row(`lr.${width.suffix}`, 'R2', pattern, (o) => {
    const address = alignedAddress(o, width, cause.loadMisaligned);
    const value = o.load(width.access, address);
    o.put(hart.reservation, address);
    o.setX('rd', value);
  });
}

function storeConditional(width: Width): Row {
  const pattern = `00011.. ..... ..... ${width.funct3} ..... 0101111`;
  return row(`sc.${width.suffix}`, 'R', pattern, (o) => {
    const address = alignedAddress(o, width, cause.storeMisaligned);
    const failed = o.let(ne(get(hart.reservation), address));
    o.if(eq(failed, 0), () => o.store(width.access, address, o.x('rs2')));
    o.put(hart.reservation, noReservation);
    o.setX('rd', zext(failed));
  });
}

function atomicOperation(
  name: string,
  funct5: string,
  result: (memory: Expr, register: Expr) => Expr,
): Row[] {
  return widths.map((width) => {
    const pattern = `${funct5}.. ..... ..... ${width.funct3} ..... 0101111`;
    return row(`${name}.${width.suffix}`, 'R', pattern, (o) => {
      const address = alignedAddress(o, width, cause.storeMisaligned);
      const memory = o.loadForStore(width.access, address);
      const register = o.let(width.narrow(o.x('rs2')));
      o.store(width.access, address, result(memory, register));
      o.setX('rd', memory);
    });
  });
}

export const atomicRows: readonly Row[] = [
  ...widths.map(loadReserved),
  ...widths.map(storeConditional),
  ...atomicOperation('amoswap', '00001', (_, b) => b),
  ...atomicOperation('amoadd', '00000', add),
  ...atomicOperation('amoxor', '00100', xor),
  ...atomicOperation('amoand', '01100', and),
  ...atomicOperation('amoor', '01000', or),
  ...atomicOperation('amomin', '10000', (a, b) => choose(ltS(a, b), a, b)),
  ...atomicOperation('amomax', '10100', (a, b) => choose(ltS(a, b), b, a)),
  ...atomicOperation('amominu', '11000', (a, b) => choose(ltU(a, b), a, b)),
  ...atomicOperation('amomaxu', '11100', (a, b) => choose(ltU(a, b), b, a)),
];
