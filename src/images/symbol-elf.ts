/**
 * A file of symbols for debuggers: an ELF file (System V ABI, chapter 4; RISC-V psABI) with a symbol
 * table and nothing else. Code and data are the target's, so its one section of code holds no bytes.
 */
import { ByteWriter } from '../base/bytes.ts';
import type { KernelSymbol } from './kallsyms.ts';

const headerBytes = 64;
const sectionBytes = 64;
const symbolBytes = 24;
const [ET_EXEC, EM_RISCV] = [2, 243];
/** Compressed instructions, doubles in registers: what Linux is for on 64 bits. */
const EF_RISCV_RVC_DOUBLE = 5;
const [SHT_SYMTAB, SHT_STRTAB, SHT_NOBITS] = [2, 3, 8];
const SHF_ALLOC_EXECINSTR = 6n;
const [STT_OBJECT, STT_FUNC] = [1, 2];
const [STB_LOCAL, STB_GLOBAL, STB_WEAK] = [0, 1, 2];
const [codeSection, SHN_ABS] = [1, 0xfff1];

/** @param symbols in the order of their addresses */
export function symbolElf(symbols: readonly KernelSymbol[]): Uint8Array {
  const names = new Names();
  const [text, symtab, strtab] = ['.text', '.symtab', '.strtab'].map((name) => names.add(name));
  const code = symbols.filter(isCode);
  const from = code[0]?.address ?? 0n;
  const size =
    code.length === 0 ? 0n : sizeTo(code.at(-1)!, undefined) + code.at(-1)!.address - from;
  const table = new ByteWriter().raw(new Uint8Array(symbolBytes));
  const later = new ByteWriter();
  let locals = 1;
  for (const [index, symbol] of symbols.entries()) {
    const isLocal = bindingOf(symbol) === STB_LOCAL;
    if (isLocal) locals += 1;
    const next = symbols
      .slice(index + 1, index + 64)
      .find(({ address }) => address > symbol.address);
    // Local ones come first.
    (isLocal ? table : later)
      .u32(names.add(symbol.name))
      .u8((bindingOf(symbol) << 4) | (isCode(symbol) ? STT_FUNC : STT_OBJECT))
      .u8(0)
      .u16(isCode(symbol) ? codeSection : SHN_ABS)
      .u64(symbol.address)
      .u64(sizeTo(symbol, next));
  }
  const symbolsOf = table.raw(later.finish()).finish();
  const strings = names.bytes();
  const stringsAt = headerBytes + symbolsOf.length;
  const sectionsAt = (stringsAt + strings.length + 7) & ~7;
  const writer = new ByteWriter();
  writer.raw(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1)).raw(new Uint8Array(9));
  writer.u16(ET_EXEC).u16(EM_RISCV).u32(1).u64(from).u64(0n).u64(BigInt(sectionsAt));
  writer.u32(EF_RISCV_RVC_DOUBLE).u16(headerBytes).u16(0).u16(0).u16(sectionBytes).u16(4).u16(3);
  writer.raw(symbolsOf).raw(strings);
  writer.raw(new Uint8Array(sectionsAt - stringsAt - strings.length));
  writer.raw(new Uint8Array(sectionBytes));
  section(writer, {
    name: text!,
    type: SHT_NOBITS,
    flags: SHF_ALLOC_EXECINSTR,
    address: from,
    size,
  });
  const at = BigInt(headerBytes);
  const own = { at, size: BigInt(symbolsOf.length), link: 3, info: locals, entry: symbolBytes };
  section(writer, { name: symtab!, type: SHT_SYMTAB, ...own });
  const bytes = BigInt(strings.length);
  section(writer, { name: strtab!, type: SHT_STRTAB, at: BigInt(stringsAt), size: bytes });
  return writer.finish();
}

const isCode = ({ type }: KernelSymbol): boolean => /[tTwW]/.test(type);

function bindingOf({ type }: KernelSymbol): number {
  if (/[wWvV]/.test(type)) return STB_WEAK;
  return type === type.toUpperCase() ? STB_GLOBAL : STB_LOCAL;
}

/** Up to the next one; the last one's end is not known. */
const sizeTo = ({ address }: KernelSymbol, next: KernelSymbol | undefined): bigint =>
  next === undefined ? 4n : next.address - address;

interface SectionHeader {
  readonly name: number;
  readonly type: number;
  readonly flags?: bigint;
  readonly address?: bigint;
  readonly at?: bigint;
  readonly size: bigint;
  readonly link?: number;
  readonly info?: number;
  readonly entry?: number;
}

function section(writer: ByteWriter, header: SectionHeader): void {
  const { name, type, flags = 0n, address = 0n, at = BigInt(headerBytes), size } = header;
  const { link = 0, info = 0, entry = 0 } = header;
  writer.u32(name).u32(type).u64(flags).u64(address).u64(at).u64(size);
  writer.u32(link).u32(info).u64(8n).u64(BigInt(entry));
}

class Names {
  readonly #parts: string[] = ['\0'];
  #length = 1;

  /** @returns where it begins */
  add(name: string): number {
    const at = this.#length;
    this.#parts.push(`${name}\0`);
    this.#length += name.length + 1;
    return at;
  }

  bytes(): Uint8Array {
    return Buffer.from(this.#parts.join(''), 'latin1');
  }
}
