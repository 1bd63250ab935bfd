/** What two machines that should be equal have unlike, and where each of them is; for people. */
import { disassemble, fNames, xNames } from '../isa/disassemble.ts';
import { controlNames } from '../machine/inspection.ts';
import type { RiscvMachine } from '../machine/riscv-machine.ts';

export interface Difference {
  /** `hart 0 a5`, `memory 0x80200000`. */
  readonly what: string;
  readonly left: string;
  readonly right: string;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const memoryMax = 8;
const ramBase = 0x8000_0000n;
const pageBytes = 4096n;

/** The next instruction of a hart, in words. */
export function instructionAt(machine: RiscvMachine, hart: number): string {
  const { inspection } = machine;
  const pc = inspection.pc(hart);
  const bytes = inspection.readVirtual(hart, pc, 4);
  if (bytes.length < 2) return `${hex(pc)}: not mapped`;
  let word = bytes[0]! | (bytes[1]! << 8);
  if ((word & 3) === 3) word |= ((bytes[2] ?? 0) << 16) | ((bytes[3] ?? 0) << 24);
  return `${hex(pc)}: ${disassemble(word, pc)}`;
}

/** Registers of all harts, by name. */
export function registersOf(machine: RiscvMachine): Map<string, bigint> {
  const { inspection } = machine;
  const all = new Map<string, bigint>();
  for (let hart = 0; hart < inspection.hartCount; hart++) {
    const put = (name: string, value: bigint): void => {
      all.set(`hart ${hart} ${name}`, value);
    };
    put('pc', inspection.pc(hart));
    put('privilege', BigInt(inspection.privilege(hart)));
    xNames.forEach((name, register) => {
      put(name, inspection.x(hart, register));
    });
    fNames.forEach((name, register) => {
      put(name, inspection.f(hart, register));
    });
    put('fflags', BigInt(inspection.floatFlags(hart)));
    put('frm', BigInt(inspection.roundingMode(hart)));
    for (const name of controlNames) put(name, inspection.control(hart, name));
  }
  return all;
}

/** The first differences, registers first. */
export function differences(left: RiscvMachine, right: RiscvMachine): Difference[] {
  const found: Difference[] = [];
  const others = registersOf(right);
  for (const [what, value] of registersOf(left)) {
    const other = others.get(what);
    if (other !== value) found.push({ what, left: hex(value), right: hex(other ?? 0n) });
  }
  for (const place of differingMemory(left, right)) found.push(place);
  if (left.time !== right.time) {
    found.push({ what: "the guest's clock", left: `${left.time}`, right: `${right.time}` });
  }
  return found;
}

function differingMemory(left: RiscvMachine, right: RiscvMachine): Difference[] {
  const found: Difference[] = [];
  for (let address = ramBase; found.length < memoryMax; address += pageBytes) {
    const a = left.inspection.readPhysical(address, Number(pageBytes));
    const b = right.inspection.readPhysical(address, Number(pageBytes));
    if (a === undefined || b === undefined) break;
    for (let at = 0; at < a.length && found.length < memoryMax; at += 8) {
      const value = (bytes: Uint8Array): bigint =>
        new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true);
      if (value(a) === value(b)) continue;
      const what = `memory ${hex(address + BigInt(at))}`;
      found.push({ what, left: hex(value(a)), right: hex(value(b)) });
    }
  }
  return found;
}
