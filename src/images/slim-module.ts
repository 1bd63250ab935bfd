/**
 * Kernel modules made light for the guest: what the kernel would read at every boot and use at none.
 *
 * Out go the signature behind the file (the archive's signature has vouched for every byte, and a
 * check in the guest costs 30 to 70 million instructions a module), the BTF type information, and
 * local labels that no relocation names, as `strip --strip-unneeded` does. Code, data, relocations
 * and the names of functions stay as Debian built them.
 *
 * Formats: System V ABI, chapter 4; Linux Documentation/admin-guide/module-signing.rst.
 */
import { ByteWriter } from '../base/bytes.ts';
import { elfSections, type Section } from './elf.ts';

const SHT_SYMTAB = 2;
const SHT_RELA = 4;
const SHT_NOBITS = 8;
const STT_NOTYPE = 0;
const STB_LOCAL = 0;
const symbolSize = 24;
const relocationSize = 24;
const headerSize = 64;

const signatureMark = '~Module signature appended~\n';
const signatureTrailerSize = 12;

/** The module without its signature, or the module itself if it has none. */
export function withoutSignature(module: Uint8Array): Uint8Array {
  const markAt = module.length - signatureMark.length;
  if (Buffer.from(module.subarray(Math.max(markAt, 0))).toString('latin1') !== signatureMark) {
    return module;
  }
  const trailer = markAt - signatureTrailerSize;
  const view = new DataView(module.buffer, module.byteOffset, module.length);
  // struct module_signature ends in the length of the signature before it, big-endian.
  return module.subarray(0, trailer - view.getUint32(markAt - 4, false));
}

/** A module that loads in the same way and is smaller. */
export function slimModule(signed: Uint8Array): Uint8Array {
  const module = withoutSignature(signed);
  const sections = elfSections(module);
  const contents = sections.map((section) => (section.name === '.BTF' ? empty : section.bytes));
  const symtab = sections.findIndex((section) => section.type === SHT_SYMTAB);
  if (symtab >= 0) pruneSymbols(sections, contents, symtab);
  return assemble(module, sections, contents);
}

const empty = new Uint8Array(0);

/** Renumbers the symbols that stay, in the table itself and in every relocation. */
function pruneSymbols(sections: readonly Section[], contents: Uint8Array[], symtab: number): void {
  const table = contents[symtab]!;
  const names = contents[sections[symtab]!.link]!;
  const referenced = referencedSymbols(sections, contents, symtab);
  const renumbered = new Map<number, number>();
  const symbols = new ByteWriter(table.length);
  const strings = new StringTable(names);
  let locals = 0;
  for (let index = 0; index * symbolSize < table.length; index++) {
    const symbol = table.subarray(index * symbolSize, (index + 1) * symbolSize);
    const info = symbol[4]!;
    const isLabel = info === ((STB_LOCAL << 4) | STT_NOTYPE);
    if (index > 0 && isLabel && !referenced.has(index)) continue;
    if (info >> 4 === STB_LOCAL) locals++;
    renumbered.set(index, renumbered.size);
    symbols.u32(strings.keep(dataView(symbol).getUint32(0, true))).raw(symbol.subarray(4));
  }
  contents[symtab] = symbols.finish();
  contents[sections[symtab]!.link] = strings.finish();
  sections[symtab]!.info = locals;
  for (const [at, section] of sections.entries()) {
    if (section.type !== SHT_RELA || section.link !== symtab) continue;
    const relocations = copyOf(contents[at]!);
    const view = dataView(relocations);
    for (let entry = 0; entry < relocations.length; entry += relocationSize) {
      // r_info holds the symbol in its upper half.
      view.setUint32(entry + 12, renumbered.get(view.getUint32(entry + 12, true))!, true);
    }
    contents[at] = relocations;
  }
}

function referencedSymbols(
  sections: readonly Section[],
  contents: readonly Uint8Array[],
  symtab: number,
): Set<number> {
  const referenced = new Set<number>();
  for (const [at, section] of sections.entries()) {
    if (section.type !== SHT_RELA || section.link !== symtab) continue;
    const view = dataView(contents[at]!);
    for (let entry = 0; entry < view.byteLength; entry += relocationSize) {
      referenced.add(view.getUint32(entry + 12, true));
    }
  }
  return referenced;
}

/** The names that are still used, each once. */
class StringTable {
  readonly #old: Uint8Array;
  readonly #new: ByteWriter;
  readonly #places = new Map<number, number>([[0, 0]]);

  constructor(old: Uint8Array) {
    this.#old = old;
    this.#new = new ByteWriter(old.length).u8(0);
  }

  keep(place: number): number {
    const known = this.#places.get(place);
    if (known !== undefined) return known;
    const kept = this.#new.length;
    this.#new.raw(this.#old.subarray(place, this.#old.indexOf(0, place) + 1));
    this.#places.set(place, kept);
    return kept;
  }

  finish(): Uint8Array {
    return this.#new.finish();
  }
}

/** File header, sections in their order, section headers. */
function assemble(
  module: Uint8Array,
  sections: readonly Section[],
  contents: readonly Uint8Array[],
): Uint8Array {
  const writer = new ByteWriter(module.length).raw(module.subarray(0, headerSize));
  const offsets = sections.map((section, at) => {
    align(writer, Math.max(section.alignment, 8));
    const offset = writer.length;
    if (section.type !== SHT_NOBITS) writer.raw(contents[at]!);
    return offset;
  });
  align(writer, 8);
  const tableAt = writer.length;
  for (const [at, section] of sections.entries()) {
    const header = copyOf(section.header);
    const view = dataView(header);
    const size = section.type === SHT_NOBITS ? section.size : contents[at]!.length;
    view.setBigUint64(24, BigInt(at === 0 ? 0 : offsets[at]!), true);
    view.setBigUint64(32, BigInt(size), true);
    view.setUint32(44, section.info, true);
    writer.raw(header);
  }
  const slim = writer.finish();
  dataView(slim).setBigUint64(40, BigInt(tableAt), true);
  return slim;
}

function align(writer: ByteWriter, alignment: number): void {
  while (writer.length % alignment !== 0) writer.u8(0);
}

function dataView(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Not `slice`: of a Buffer that would be a view. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
