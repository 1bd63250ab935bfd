/** What the running hart of a saved state is about to execute, in words; for reports only. */
import { decode, newDecoded } from '../../src/isa/decode.ts';
import { hart } from '../../src/isa/hart-state.ts';
import { rows } from '../../src/isa/rows.ts';

/** @param at where the hart is in the state */
export function disassembled(state: Uint8Array, at: number, ram: Uint8Array): string {
  const view = new DataView(state.buffer, state.byteOffset);
  const pc = view.getBigUint64(at + hart.pc.at, true);
  const privilege = view.getUint32(at + hart.privilege.at, true);
  const place = `pc ${pc.toString(16)} in mode ${privilege}`;
  // By physical address; a virtual one is only told.
  const offset = Number(pc) - 0x8000_0000;
  if (offset < 0 || offset + 4 > ram.length) return place;
  const word = new DataView(ram.buffer, ram.byteOffset).getUint32(offset, true);
  const decoded = decode(word, newDecoded());
  const { rd, rs1, rs2, imm } = decoded;
  const name = rows[decoded.row]?.name ?? 'illegal';
  return `${place}: ${name} rd x${rd} rs1 x${rs1} rs2 x${rs2} imm ${imm}`;
}
