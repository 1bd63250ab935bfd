/**
 * An instruction in words, as binutils writes it without aliases; of a compressed one, the
 * instruction that it stands for. For reports: nothing depends on the text.
 */
import { decode, newDecoded } from './decode.ts';
import { formats, type RegisterField, type Row } from './row.ts';
import { rows } from './rows.ts';

const split = (text: string): string[] => text.split(' ');
export const xNames = split(
  'zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6',
);
export const fNames = split(
  'ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 fs2 fs3 fs4 fs5 fs6 fs7 ' +
    'fs8 fs9 fs10 fs11 ft8 ft9 ft10 ft11',
);

/** @param pc from which targets of jumps are told */
export function disassemble(word: number, pc: bigint): string {
  const decoded = decode(word, newDecoded());
  const row = rows[decoded.row];
  if (row === undefined) return `illegal ${(word >>> 0).toString(16).padStart(8, '0')}`;
  const register = (field: RegisterField): string =>
    (row.floatFields.has(field) ? fNames : xNames)[decoded[field]]!;
  return `${row.name} ${operands(row, decoded.imm, pc, register).join(', ')}`.trimEnd();
}

function operands(
  { format, name }: Row,
  imm: number,
  pc: bigint,
  register: (field: RegisterField) => string,
): string[] {
  const target = (): string => `0x${BigInt.asUintN(64, pc + BigInt(imm)).toString(16)}`;
  const all = formats[format].fields.map(register);
  switch (format) {
    case 'I':
      return isLoad(name) ? [all[0]!, `${imm}(${all[1]})`] : [...all, String(imm)];
    case 'Shift':
      return [...all, String(imm)];
    case 'S':
      return [all[1]!, `${imm}(${all[0]})`];
    case 'B':
    case 'J':
      return [...all, target()];
    case 'U':
      return [...all, `0x${(imm >>> 12).toString(16)}`];
    case 'Csr':
      return [all[0]!, `0x${imm.toString(16)}`, all[1]!];
    default:
      return all;
  }
}

const isLoad = (name: string): boolean => /^(l[bhwd]u?|fl[wd]|jalr)$/.test(name);
