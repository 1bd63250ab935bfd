/** For tests: a linked RISC-V program with a symbol table, made at run time. */
import { ByteWriter } from '../../base/bytes.ts';

export interface ElfSymbol {
  readonly name: string;
  readonly address: number;
  readonly size?: number;
  /** `function` by default; a `label` has no type, as in assembly. */
  readonly kind?: 'function' | 'label' | 'object';
}

const headerBytes = 64;
const segmentBytes = 56;
const types = { function: 2, label: 0, object: 1 };

/** One segment and one section of code at an address, entered at its first byte. */
export function elfFile(
  address: number,
  code: Uint8Array,
  symbols: readonly ElfSymbol[],
): Uint8Array {
  const names = new Names();
  const table = new ByteWriter().raw(new Uint8Array(24));
  for (const { name, address: at, size = 0, kind = 'function' } of symbols) {
    const section = kind === 'object' ? 2 : 1;
    table
      .u32(names.add(name))
      .u8((1 << 4) | types[kind])
      .u8(0)
      .u16(section);
    table.u64(BigInt(at)).u64(BigInt(size));
  }
  const SHF_ALLOC = 2n;
  const SHF_EXECINSTR = 4n;
  const sections: Section[] = [
    { name: '.text', type: 1, flags: SHF_ALLOC | SHF_EXECINSTR, address, bytes: code },
    { name: '.data', type: 1, flags: SHF_ALLOC, address: 0, bytes: new Uint8Array(0) },
    { name: '.symtab', type: 2, flags: 0n, address: 0, bytes: table.finish() },
    { name: '.strtab', type: 3, flags: 0n, address: 0, bytes: new Uint8Array(0) },
  ];
  const named = sections.map((section) => ({ ...section, nameAt: names.add(section.name) }));
  const strings = names.bytes();
  const contents = named.map(({ type, bytes }) => (type === 3 ? strings : bytes));
  const first = headerBytes + segmentBytes;
  const ends = contents.map((_, index) =>
    contents.slice(0, index + 1).reduce((sum, bytes) => sum + bytes.length, first),
  );
  const end = ends.at(-1)!;
  const writer = new ByteWriter();
  writer.raw(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1)).raw(new Uint8Array(9));
  writer.u16(2).u16(243).u32(1).u64(BigInt(address)).u64(BigInt(headerBytes)).u64(BigInt(end));
  writer.u32(0).u16(headerBytes).u16(segmentBytes).u16(1).u16(64);
  writer.u16(named.length + 1).u16(named.length);
  writer.u32(1).u32(5).u64(BigInt(first)).u64(BigInt(address)).u64(BigInt(address));
  writer.u64(BigInt(code.length)).u64(BigInt(code.length)).u64(4n);
  for (const bytes of contents) writer.raw(bytes);
  writer.raw(new Uint8Array(64));
  for (const [index, section] of named.entries()) {
    const { length } = contents[index]!;
    writer.u32(section.nameAt).u32(section.type).u64(section.flags).u64(BigInt(section.address));
    writer.u64(BigInt(ends[index]! - length)).u64(BigInt(length));
    writer
      .u32(section.type === 2 ? named.length : 0)
      .u32(0)
      .u64(1n)
      .u64(0n);
  }
  return writer.finish();
}

interface Section {
  readonly name: string;
  readonly type: number;
  readonly flags: bigint;
  readonly address: number;
  readonly bytes: Uint8Array;
}

class Names {
  #text = '\0';

  add(name: string): number {
    const at = this.#text.length;
    this.#text += `${name}\0`;
    return at;
  }

  bytes(): Uint8Array {
    return Buffer.from(this.#text, 'latin1');
  }
}
