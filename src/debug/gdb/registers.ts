/**
 * The registers that a debugger is shown, as one table: from it come the target description (GDB
 * manual, appendix G.5.13 "RISC-V Features") and the answers to `g`, `p`, `G` and `P`.
 */
import { fNames, xNames } from '../../isa/disassemble.ts';
import { controlNames, type Inspection } from '../../machine/inspection.ts';

export interface Register {
  readonly name: string;
  readonly bytes: 4 | 8;
  readonly type: string;
  readonly feature: Feature;
  read(machine: Inspection, hart: number): bigint;
  /** Absent: it cannot be changed. */
  readonly write?: (machine: Inspection, hart: number, value: bigint) => void;
}

const features = ['cpu', 'fpu', 'csr', 'virtual'] as const;
type Feature = (typeof features)[number];

// GDB has its own mind about one of them.
const gdbName = (name: string): string => (name === 's0' ? 'fp' : name);
const pointers: Readonly<Record<string, string>> = {
  ra: 'code_ptr',
  sp: 'data_ptr',
  gp: 'data_ptr',
  tp: 'data_ptr',
};

/** In the order of their numbers. */
export const registers: readonly Register[] = [
  ...xNames.map(
    (name, index): Register => ({
      name: gdbName(name),
      bytes: 8,
      type: pointers[name] ?? 'int',
      feature: 'cpu',
      read: (machine, hart) => machine.x(hart, index),
      write: (machine, hart, value) => machine.setX(hart, index, value),
    }),
  ),
  {
    name: 'pc',
    bytes: 8,
    type: 'code_ptr',
    feature: 'cpu',
    read: (machine, hart) => machine.pc(hart),
    write: (machine, hart, value) => machine.setPc(hart, value),
  },
  ...fNames.map(
    (name, index): Register => ({
      name,
      bytes: 8,
      type: 'riscv_double',
      feature: 'fpu',
      read: (machine, hart) => machine.f(hart, index),
    }),
  ),
  ...(['fflags', 'frm', 'fcsr'] as const).map(
    (name): Register => ({
      name,
      bytes: 4,
      type: 'int',
      feature: 'fpu',
      read(machine, hart) {
        const [flags, mode] = [machine.floatFlags(hart), machine.roundingMode(hart)];
        return BigInt({ fflags: flags, frm: mode, fcsr: (mode << 5) | flags }[name]);
      },
    }),
  ),
  ...controlNames.map(
    (name): Register => ({
      name,
      bytes: 8,
      type: 'int',
      feature: 'csr',
      read: (machine, hart) => machine.control(hart, name),
    }),
  ),
  {
    name: 'priv',
    bytes: 8,
    type: 'int',
    feature: 'virtual',
    read: (machine, hart) => BigInt(machine.privilege(hart)),
  },
];

export function targetDescription(): string {
  const double =
    '<union id="riscv_double"><field name="float" type="ieee_single"/>' +
    '<field name="double" type="ieee_double"/></union>';
  const feature = (name: Feature): string => {
    const own = registers.flatMap((register, number) =>
      register.feature === name
        ? `<reg name="${register.name}" bitsize="${8 * register.bytes}" type="${register.type}" ` +
          `regnum="${number}"/>`
        : [],
    );
    const types = name === 'fpu' ? double : '';
    return `<feature name="org.gnu.gdb.riscv.${name}">${types}${own.join('')}</feature>`;
  };
  return (
    '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">' +
    `<architecture>riscv:rv64</architecture>${features.map(feature).join('')}</target>`
  );
}
