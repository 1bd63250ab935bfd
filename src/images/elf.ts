/**
 * What a build must know of ELF files (System V ABI, chapters 4 and 5; 64-bit little-endian only):
 * which shared libraries a program needs, and what a kernel module says of itself.
 */
const ELF_MAGIC = 0x464c457f;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const PT_LOAD = 1;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;

/** A section and those fields of its header that builds look at. */
export interface Section {
  readonly name: string;
  readonly type: number;
  readonly size: number;
  readonly link: number;
  info: number;
  readonly alignment: number;
  /** The header itself, 64 bytes. */
  readonly header: Uint8Array;
  /** Empty if the section occupies no room in the file. */
  readonly bytes: Uint8Array;
}

const SHT_NOBITS = 8;

export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 64 && view(bytes).getUint32(0, true) === ELF_MAGIC && bytes[4] === 2;
}

/** The program interpreter (a path) and the libraries (names without folder) of a program. */
export function neededBy(elf: Uint8Array): {
  interpreter: string | undefined;
  libraries: string[];
} {
  const data = view(elf);
  const segments = programHeaders(elf);
  const interpreter = segments.find((segment) => segment.type === PT_INTERP);
  const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC);
  const tags: [bigint, number][] = [];
  for (let at = 0; dynamic !== undefined && at + 16 <= dynamic.fileSize; at += 16) {
    const tag = data.getBigUint64(dynamic.offset + at, true);
    tags.push([tag, Number(data.getBigUint64(dynamic.offset + at + 8, true))]);
  }
  const strings = tags.find(([tag]) => tag === DT_STRTAB)?.[1];
  const inFile = (address: number): number => {
    const load = segments.find(
      (segment) =>
        segment.type === PT_LOAD &&
        address >= segment.address &&
        address < segment.address + segment.fileSize,
    );
    return load === undefined ? elf.length : address - load.address + load.offset;
  };
  const needed = tags.filter(([tag]) => tag === DT_NEEDED);
  return {
    interpreter: interpreter && textAt(elf, interpreter.offset),
    libraries:
      strings === undefined ? [] : needed.map(([, name]) => textAt(elf, inFile(strings) + name)),
  };
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
}

function programHeaders(elf: Uint8Array): Segment[] {
  const data = view(elf);
  const first = Number(data.getBigUint64(32, true));
  const size = data.getUint16(54, true);
  return Array.from({ length: data.getUint16(56, true) }, (_, index) => {
    const at = first + index * size;
    return {
      type: data.getUint32(at, true),
      offset: Number(data.getBigUint64(at + 8, true)),
      address: Number(data.getBigUint64(at + 16, true)),
      fileSize: Number(data.getBigUint64(at + 32, true)),
    };
  });
}

/** The `key=value` strings that a kernel module carries; a key may occur several times. */
export function moduleInfo(elf: Uint8Array): [string, string][] {
  const section = elfSections(elf).find(({ name }) => name === '.modinfo');
  if (section === undefined) return [];
  const strings = Buffer.from(section.bytes).toString('latin1').split('\0');
  return strings
    .filter((text) => text.includes('='))
    .map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]);
}

export function elfSections(elf: Uint8Array): Section[] {
  const data = view(elf);
  const first = Number(data.getBigUint64(40, true));
  const size = data.getUint16(58, true);
  const headerAt = (index: number): Uint8Array =>
    elf.subarray(first + index * size, first + (index + 1) * size);
  const offsetOf = (header: Uint8Array): number => Number(view(header).getBigUint64(24, true));
  const names = offsetOf(headerAt(data.getUint16(62, true)));
  return Array.from({ length: data.getUint16(60, true) }, (_, index) => {
    const header = headerAt(index);
    const fields = view(header);
    const type = fields.getUint32(4, true);
    const length = Number(fields.getBigUint64(32, true));
    const offset = offsetOf(header);
    return {
      name: textAt(elf, names + fields.getUint32(0, true)),
      type,
      size: length,
      link: fields.getUint32(40, true),
      info: fields.getUint32(44, true),
      alignment: Number(fields.getBigUint64(48, true)),
      header,
      bytes: elf.subarray(offset, type === SHT_NOBITS ? offset : offset + length),
    };
  });
}

function textAt(bytes: Uint8Array, at: number): string {
  const end = bytes.indexOf(0, at);
  return Buffer.from(bytes.subarray(at, end < 0 ? bytes.length : end)).toString('latin1');
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
