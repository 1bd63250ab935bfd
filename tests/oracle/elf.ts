/** Lays the segments of a 64-bit little-endian ELF executable into RAM by their physical address. */
import assert from 'node:assert/strict';

const programHeader = { type: 0, offset: 8, physical: 24, fileBytes: 32, memoryBytes: 40 };
const load = 1;

export function loadElf(elf: Uint8Array, ram: Uint8Array, ramBase: number): void {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.length);
  assert.equal(view.getUint32(0), 0x7f454c46, 'an ELF file');
  const headersAt = Number(view.getBigUint64(32, true));
  const [size, count] = [view.getUint16(54, true), view.getUint16(56, true)];
  for (let n = 0; n < count; n++) {
    const at = headersAt + n * size;
    if (view.getUint32(at + programHeader.type, true) !== load) continue;
    const field = (offset: number): number => Number(view.getBigUint64(at + offset, true));
    const from = field(programHeader.offset);
    const bytes = elf.subarray(from, from + field(programHeader.fileBytes));
    ram.set(bytes, field(programHeader.physical) - ramBase);
  }
}
