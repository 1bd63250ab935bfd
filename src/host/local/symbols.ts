/**
 * Names for a guest's addresses, from files of two kinds: the symbol table of an ELF file (System V
 * ABI, chapter 4), and lines of address, kind and name as a kernel's System.map, its /proc/kallsyms
 * and `nm` have them.
 *
 * Only code is named. A symbol that says its size ends there; another one ends where the next
 * begins, whatever that is, and never reaches far.
 */
import { readFileSync } from 'node:fs';
import { UmbraError } from '../../base/errors.ts';
import { elfSections, isElf, type Section } from '../../images/elf.ts';

export interface FileSymbol {
  readonly address: bigint;
  /** In bytes; 0: not told. */
  readonly size: bigint;
  /** Undefined for what is no code and only ends what lies before it. */
  readonly name: string | undefined;
}

interface Range {
  readonly from: bigint;
  to: bigint;
  readonly name: string;
  readonly sized: boolean;
}

/** Bytes that a symbol without a size may name. */
const reachMax = 1n << 16n;

export class SymbolTable {
  /** In the order of their addresses, without overlap. */
  readonly #ranges: readonly Range[];

  constructor(symbols: readonly FileSymbol[]) {
    this.#ranges = rangesOf(symbols);
  }

  /** Where each begins, with its name. */
  *beginnings(): Generator<[address: bigint, name: string]> {
    for (const { from, name } of this.#ranges) yield [from, name];
  }

  nameAt(address: bigint): string | undefined {
    const ranges = this.#ranges;
    let [low, high] = [0, ranges.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ranges[middle]!.from <= address) low = middle + 1;
      else high = middle;
    }
    const range = ranges[low - 1];
    return range !== undefined && address < range.to ? range.name : undefined;
  }
}

/** Of several names of one place the one with a size has it, of several such the first. */
function rangesOf(symbols: readonly FileSymbol[]): Range[] {
  const order = (a: FileSymbol, b: FileSymbol): number =>
    Number(a.address - b.address) || Number(a.size === 0n) - Number(b.size === 0n);
  const ranges: Range[] = [];
  for (const { address, size, name } of symbols.toSorted(order)) {
    const last = ranges.at(-1);
    if (last !== undefined && address < last.to) {
      // A second name, or a label inside of a function.
      if (last.sized || address === last.from) continue;
      last.to = address;
    }
    if (name === undefined) continue;
    const sized = size > 0n;
    ranges.push({ from: address, to: address + (sized ? size : reachMax), name, sized });
  }
  return ranges;
}

// --- Files

/** @param specs each `FILE`, or `FILE@BASE`: by so much, in hexadecimal, its addresses move up */
export function loadSymbols(specs: readonly string[]): SymbolTable {
  return new SymbolTable(specs.flatMap(loadFile));
}

function loadFile(spec: string): FileSymbol[] {
  const [, path, base] = /^(.+?)(?:@(?:0x)?([0-9a-f]{1,16}))?$/is.exec(spec) ?? [spec, spec];
  const symbols = symbolsIn(readSymbolFile(path!), path!);
  const moved = BigInt(`0x${base ?? '0'}`);
  return symbols.map((each) => ({
    ...each,
    address: BigInt.asUintN(64, each.address + moved),
  }));
}

function readSymbolFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new UmbraError(
      'unreadable',
      `The symbols ${path} cannot be read (${reason}).`,
      'Check the path and its permissions.',
      { cause: error },
    );
  }
}

/** @param path for errors */
export function symbolsIn(file: Uint8Array, path: string): FileSymbol[] {
  const symbols = isElf(file) ? symbolsOfElf(file, path) : symbolsOfList(file, path);
  if (symbols.some(({ name }) => name !== undefined)) return symbols;
  throw unusable(path, 'it names no code', 'Give one that is not stripped.');
}

function unusable(path: string, why: string, remedy: string, cause?: unknown): UmbraError {
  return new UmbraError('symbols-unusable', `${path} gives no symbols: ${why}.`, remedy, { cause });
}

const listLine = /^([0-9a-f]{1,16}) ([a-z?-]) (.+)$/i;

function symbolsOfList(file: Uint8Array, path: string): FileSymbol[] {
  const lines = Buffer.from(file).toString('latin1').split(/\r?\n/);
  // What has no address, `nm` calls undefined.
  const matches = lines
    .filter((line) => line !== '' && !line.startsWith(' '))
    .map((line) => {
      const match = listLine.exec(line);
      if (match !== null) return match;
      const what = `"${line.slice(0, 40)}" is no line of address, kind and name`;
      throw unusable(path, what, 'Give a System.map, a copy of /proc/kallsyms, or an ELF file.');
    });
  if (matches.length > 0 && matches.every(([, address]) => /^0+$/.test(address!))) {
    throw unusable(path, 'all its addresses are zero', 'Read /proc/kallsyms as root.');
  }
  return matches.map(([, address, kind, name]) => ({
    address: BigInt(`0x${address}`),
    size: 0n,
    name: /[tw]/i.test(kind!) ? name!.replaceAll('\t', ' ') : undefined,
  }));
}

const ET_REL = 1;
const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;
const SHF_EXECINSTR = 4n;
const STT_NOTYPE = 0;
const STT_FUNC = 2;
const symbolBytes = 24;

function symbolsOfElf(elf: Uint8Array, path: string): FileSymbol[] {
  if (viewOf(elf).getUint16(16, true) === ET_REL) {
    throw unusable(path, 'it is not linked, so it has no addresses', 'Give the linked program.');
  }
  try {
    const sections = elfSections(elf);
    const ofType = (wanted: number) => sections.find(({ type }) => type === wanted);
    const table = ofType(SHT_SYMTAB) ?? ofType(SHT_DYNSYM);
    return table === undefined ? [] : elfSymbols(sections, table);
  } catch (cause) {
    if (cause instanceof RangeError) {
      throw unusable(path, 'it is damaged', 'Copy it again from where it was built.', cause);
    }
    throw cause;
  }
}

function elfSymbols(sections: readonly Section[], table: Section): FileSymbol[] {
  const symbols: FileSymbol[] = [];
  for (const { header, size } of sections) {
    const fields = viewOf(header);
    if ((fields.getBigUint64(8, true) & SHF_EXECINSTR) === 0n) continue;
    const end = fields.getBigUint64(16, true) + BigInt(size);
    symbols.push({ address: end, size: 0n, name: undefined });
  }
  const strings = Buffer.from(sections[table.link]?.bytes ?? []).toString('latin1');
  const data = viewOf(table.bytes);
  for (let at = 0; at + symbolBytes <= data.byteLength; at += symbolBytes) {
    const type = data.getUint8(at + 4) & 15;
    const section = sections[data.getUint16(at + 6, true)];
    if ((type !== STT_FUNC && type !== STT_NOTYPE) || section === undefined) continue;
    if ((viewOf(section.header).getBigUint64(8, true) & SHF_EXECINSTR) === 0n) continue;
    const nameAt = data.getUint32(at, true);
    const name = strings.slice(nameAt, strings.indexOf('\0', nameAt));
    // Marks of the assembler, such as $x where code begins, are no names.
    if (name === '' || name.startsWith('$') || name.startsWith('.L')) continue;
    const [address, size] = [data.getBigUint64(at + 8, true), data.getBigUint64(at + 16, true)];
    symbols.push({ address, size, name });
  }
  return symbols;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
