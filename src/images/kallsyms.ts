/**
 * The symbols that a Linux kernel carries within itself, for /proc/kallsyms: names and addresses of
 * all its functions and most of its data, also where the distribution gives no System.map.
 *
 * From: a kernel's Image, as it is loaded. To: symbols. Nothing in the Image says where its tables
 * are; they are found by what they must look like (scripts/kallsyms.c of Linux 6.4 and later):
 *
 *   num_syms u32 | names | markers u32[] | token_table | token_index u16[256] | offsets u32[] | base u64
 *
 * each aligned to 8 bytes. A name is a length (ULEB128, at most two bytes) and so many tokens; its
 * first character is the symbol's type. A marker is the offset of every 256th name. Invariant:
 * whatever is not exactly so is refused, never guessed.
 */
import { UmbraError } from '../base/errors.ts';

export interface KernelSymbol {
  readonly address: bigint;
  /** As in System.map: T and t are code. */
  readonly type: string;
  readonly name: string;
}

const tokens = 256;
const namesPerMarker = 256;
/** Where 64-bit RISC-V kernels are linked, and run unless they move themselves (KASLR). */
const linkAddress = 0xffff_ffff_8000_0000n;

/** In the order of their addresses. @param title for errors @throws UmbraError `kernel-without-symbols` */
export function kernelSymbols(image: Uint8Array, title: string): KernelSymbol[] {
  const tables = new Tables(image);
  const table = tables.tokenTable();
  if (table === undefined) throw unusable(title, 'no table of tokens is in it');
  const names = tables.names(table.at);
  if (names === undefined) throw unusable(title, 'its table of names is not as Linux 6.4 has it');
  const symbols = tables.symbols(names, table.tokens, align(table.indexAt + 2 * tokens));
  if (symbols === undefined) throw unusable(title, 'its addresses do not ascend');
  return symbols;
}

const align = (at: number): number => (at + 7) & ~7;

interface Names {
  readonly at: number;
  readonly count: number;
}

class Tables {
  readonly #image: Uint8Array;
  readonly #view: DataView;

  constructor(image: Uint8Array) {
    this.#image = image;
    this.#view = new DataView(image.buffer, image.byteOffset, image.length);
  }

  /** Digits are tokens of their own, one behind the other, in every kernel. */
  tokenTable(): { at: number; indexAt: number; tokens: string[] } | undefined {
    const bytes = Buffer.from(this.#image.buffer, this.#image.byteOffset, this.#image.length);
    const digits = Buffer.from('0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00', 'latin1');
    for (let found = bytes.indexOf(digits); found >= 0; found = bytes.indexOf(digits, found + 1)) {
      // The token of '0' is the 48th: the table begins so many ends of strings before it.
      let at = found;
      for (let index = 48; index > 0 && at > 0; index--) {
        at -= 1;
        while (at > 0 && bytes[at - 1] !== 0) at -= 1;
      }
      for (const start of [at, align(at) - 8, align(at)]) {
        const read = this.#tokensAt(bytes, start);
        if (read !== undefined) return { at: start, ...read };
      }
    }
    return undefined;
  }

  #tokensAt(bytes: Buffer, start: number) {
    if (start < 0 || start % 8 !== 0) return undefined;
    const all: string[] = [];
    const begins: number[] = [];
    let at = start;
    for (let index = 0; index < tokens; index++) {
      const end = bytes.indexOf(0, at);
      if (end < 0 || end - at > 64) return undefined;
      begins.push(at - start);
      all.push(bytes.toString('latin1', at, end));
      at = end + 1;
    }
    const indexAt = align(at);
    if (indexAt + 2 * tokens > bytes.length) return undefined;
    const isIndex = begins.every(
      (begin, n) => this.#view.getUint16(indexAt + 2 * n, true) === begin,
    );
    return isIndex ? { indexAt, tokens: all } : undefined;
  }

  /** Before the tokens are the markers, the first of which is 0, and before those the names. */
  names(tokenTableAt: number): Names | undefined {
    const view = this.#view;
    let at = tokenTableAt - 4;
    // What fills up to the next multiple of eight.
    if (view.getUint32(at, true) === 0) at -= 4;
    const last = at;
    while (at > 4 && view.getUint32(at, true) > view.getUint32(at - 4, true)) at -= 4;
    if (view.getUint32(at, true) !== 0) return undefined;
    const markersAt = at;
    const markers = (last - markersAt) / 4 + 1;
    const bytesMin = view.getUint32(last, true);
    // The names behind the last marker, at most 256 of at most some 500 bytes.
    for (
      let start = align(markersAt - bytesMin) - 8;
      start > markersAt - bytesMin - 2 ** 17;
      start -= 8
    ) {
      if (start < 8) return undefined;
      const count = view.getUint32(start - 8, true);
      if (Math.ceil(count / namesPerMarker) !== markers) continue;
      if (this.#walks({ at: start, count }, markersAt)) return { at: start, count };
    }
    return undefined;
  }

  /** Whether each marker is where the names say. */
  #walks({ at: start, count }: Names, markersAt: number): boolean {
    let at = start;
    for (let index = 0; index < count; index++) {
      if (index % namesPerMarker === 0) {
        const marker = this.#view.getUint32(markersAt + (index / namesPerMarker) * 4, true);
        if (marker !== at - start) return false;
      }
      const { length, from } = this.#length(at);
      at = from + length;
      if (length === 0 || at > markersAt) return false;
    }
    return align(at) === markersAt;
  }

  #length(at: number): { length: number; from: number } {
    const first = this.#image[at]!;
    if (first < 0x80) return { length: first, from: at + 1 };
    return { length: (first & 0x7f) | (this.#image[at + 1]! << 7), from: at + 2 };
  }

  symbols({ at: start, count }: Names, texts: readonly string[], offsetsAt: number) {
    const baseAt = align(offsetsAt + 4 * count);
    if (baseAt + 8 > this.#image.length) return undefined;
    // A kernel that can move itself has it filled in when it starts.
    const base = this.#view.getBigUint64(baseAt, true) || linkAddress;
    const symbols: KernelSymbol[] = [];
    let at = start;
    let before = 0;
    for (let index = 0; index < count; index++) {
      const { length, from } = this.#length(at);
      at = from + length;
      let whole = '';
      for (const token of this.#image.subarray(from, at)) whole += texts[token];
      const offset = this.#view.getUint32(offsetsAt + 4 * index, true);
      if (offset < before) return undefined;
      before = offset;
      symbols.push({ address: base + BigInt(offset), type: whole[0]!, name: whole.slice(1) });
    }
    return symbols;
  }
}

const unusable = (title: string, why: string): UmbraError =>
  new UmbraError(
    'kernel-without-symbols',
    `${title} gives no symbols: ${why}.`,
    'Give an uncompressed Linux kernel of 6.4 or later with CONFIG_KALLSYMS, or use a copy of /proc/kallsyms.',
  );
