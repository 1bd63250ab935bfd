/**
 * Single instructions on QEMU: registers in, registers out, many thousands a second.
 *
 * The guest's RAM is a file that both sides map: the test writes code and cases into it and finds
 * the results in the same place. No compiler takes part; the guest's loop is the two hundred words
 * below.
 *
 * Cases with equal words share a *slot* of code: 64 bytes full of `c.ebreak` with the words in the
 * middle, so that whatever comes after the words, or at the target of a short jump, traps. The loop
 * enters a slot by `mret` with every register loaded from the case's record, and every trap leads
 * back: it stores the registers over the record and goes on to the next. So a result always ends in
 * a trap; a breakpoint is the normal one.
 */
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runQemu } from './qemu.ts';

export interface Case {
  /** 32-bit instructions, or 16-bit ones where the low two bits are not both set. */
  readonly words: readonly number[];
  /** Values by register number; the others are zero. */
  readonly x?: Readonly<Record<number, bigint>>;
  readonly f?: Readonly<Record<number, bigint>>;
  /** `frm` in bits 5 to 7, `fflags` below. */
  readonly fcsr?: number;
  /** Eight doublewords at `scratchAddress`, otherwise zero. */
  readonly memory?: readonly bigint[];
}

/** All values are unsigned. */
export interface Result {
  /** Where the first word was. */
  readonly pc: bigint;
  readonly x: BigUint64Array;
  readonly f: BigUint64Array;
  readonly fcsr: number;
  /** The trap that ended the case; `breakpoint` at the end of the words if none of them trapped. */
  readonly cause: number;
  readonly epc: bigint;
  readonly tval: bigint;
  readonly memory: BigUint64Array;
}

export const breakpoint = 3;

const ram = 0x8000_0000;
const slotBytes = 64;
const slotEntry = 32;

/** The layout of a record, in doublewords; x0 has the place of the pc. */
const at = { pc: 0, x: 0, f: 32, fcsr: 64, cause: 65, tval: 66, memory: 67 };
const memoryWords = 8;
const recordWords = at.memory + memoryWords;

const endPointer = 0x1000;
const scratch = 0x2000;
const slots = 0x1_0000;
export const scratchAddress = BigInt(ram + scratch);

/** The few instructions that the loop needs. */
const i = (opcode: number, f3: number, rd: number, rs1: number, immediate: number): number =>
  ((immediate << 20) | (rs1 << 15) | (f3 << 12) | (rd << 7) | opcode) >>> 0;
const s = (opcode: number, f3: number, rs2: number, rs1: number, to: number): number =>
  (((to >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (f3 << 12) | ((to & 31) << 7) | opcode) >>> 0;
const ld = (rd: number, rs1: number, offset: number): number => i(0x03, 3, rd, rs1, offset);
const fld = (rd: number, rs1: number, offset: number): number => i(0x07, 3, rd, rs1, offset);
const sw = (rs2: number, rs1: number, offset: number): number => s(0x23, 2, rs2, rs1, offset);
const sd = (rs2: number, rs1: number, offset: number): number => s(0x23, 3, rs2, rs1, offset);
const fsd = (rs2: number, rs1: number, offset: number): number => s(0x27, 3, rs2, rs1, offset);
const addi = (rd: number, rs1: number, value: number): number => i(0x13, 0, rd, rs1, value);
const slli = (rd: number, rs1: number, bits: number): number => i(0x13, 1, rd, rs1, bits);
const add = (rd: number, rs1: number, rs2: number): number => i(0x33, 0, rd, rs1, rs2);
const lui = (rd: number, pages: number): number => ((pages << 12) | (rd << 7) | 0x37) >>> 0;
const bne = (rs1: number, rs2: number, words: number): number => s(0x63, 1, rs2, rs1, words * 4);
const jr = (rs1: number): number => i(0x67, 0, 0, rs1, 0);
const csrrw = (rd: number, csr: number, rs1: number): number => i(0x73, 1, rd, rs1, csr);
const csrrs = (rd: number, csr: number, rs1: number): number => i(0x73, 2, rd, rs1, csr);
const mret = 0x3020_0073;
const csr = {
  ...{ fcsr: 3, mstatus: 0x300, mtvec: 0x305, mscratch: 0x340 },
  ...{ mepc: 0x341, mcause: 0x342, mtval: 0x343 },
};

const each = (count: number, words: (index: number) => number | number[]): number[] =>
  Array.from({ length: count }, (_, index) => words(index)).flat();

/** rd = the address of `offset` in RAM; x1 is lost. */
const address = (rd: number, offset: number): number[] => [
  ...[addi(rd, 0, 1), slli(rd, rd, 31)],
  ...[lui(1, (offset + 0x800) >> 12), addi(1, 1, ((offset + 0x800) & 0xfff) - 0x800)],
  add(rd, rd, 1),
];

/** The guest: set-up, then the loop of enter and leave. x31 is the record between cases. */
function guest(records: number): number[] {
  const powerOff = [lui(1, 0x5), addi(1, 1, 0x555), lui(2, 0x100), sw(1, 2, 0)];
  const enter = [
    ...[...address(2, endPointer), ld(2, 2, 0), bne(31, 2, 1 + powerOff.length), ...powerOff],
    csrrw(0, csr.mscratch, 31),
    ...[ld(1, 31, at.pc * 8), csrrw(0, csr.mepc, 1)],
    ...[lui(1, 8), addi(1, 1, -0x800), csrrs(0, csr.mstatus, 1)], // MPP = M, FS = dirty
    ...[ld(1, 31, at.fcsr * 8), csrrw(0, csr.fcsr, 1)],
    ...address(2, scratch),
    ...each(memoryWords, (n) => [ld(1, 31, (at.memory + n) * 8), sd(1, 2, n * 8)]),
    ...each(32, (n) => fld(n, 31, (at.f + n) * 8)),
    ...each(31, (n) => ld(n + 1, 31, (at.x + n + 1) * 8)),
    mret,
  ];
  const setUp = (trap: number): number[] => [
    ...[...address(2, trap), csrrw(0, csr.mtvec, 2)],
    ...address(31, records),
  ];
  const enterOffset = setUp(0).length * 4;
  const leave = [
    csrrw(31, csr.mscratch, 31),
    ...each(30, (n) => sd(n + 1, 31, (at.x + n + 1) * 8)),
    ...[csrrs(1, csr.mscratch, 0), sd(1, 31, (at.x + 31) * 8)],
    ...each(32, (n) => fsd(n, 31, (at.f + n) * 8)),
    ...[csrrs(1, csr.fcsr, 0), sd(1, 31, at.fcsr * 8)],
    ...[csrrs(1, csr.mepc, 0), sd(1, 31, at.pc * 8)],
    ...[csrrs(1, csr.mcause, 0), sd(1, 31, at.cause * 8)],
    ...[csrrs(1, csr.mtval, 0), sd(1, 31, at.tval * 8)],
    ...address(2, scratch),
    ...each(memoryWords, (n) => [ld(1, 2, n * 8), sd(1, 31, (at.memory + n) * 8)]),
    addi(31, 31, recordWords * 8),
    ...[...address(2, enterOffset), jr(2)],
  ];
  return [...setUp(enterOffset + enter.length * 4), ...enter, ...leave];
}

/** The slots of code for all distinct sequences of words, and each case's entry. */
function assembleSlots(cases: readonly Case[]): {
  code: Uint16Array<ArrayBuffer>;
  entries: number[];
} {
  const slotOf = new Map<string, number>();
  const entries = cases.map(({ words }) => {
    const key = words.join();
    const slot = slotOf.get(key) ?? slotOf.size;
    slotOf.set(key, slot);
    return slots + slot * slotBytes + slotEntry;
  });
  const code = new Uint16Array((slotOf.size * slotBytes) / 2).fill(0x9002);
  cases.forEach(({ words }, index) => {
    let to = (entries[index]! - slots) / 2;
    for (const word of words) {
      code[to++] = word;
      if ((word & 3) === 3) code[to++] = word >>> 16;
    }
  });
  return { code, entries };
}

function writeRecords(
  cases: readonly Case[],
  entries: readonly number[],
): BigUint64Array<ArrayBuffer> {
  const records = new BigUint64Array(cases.length * recordWords);
  cases.forEach((one, index) => {
    const record = records.subarray(index * recordWords);
    for (const [n, value] of Object.entries(one.x ?? {})) record[at.x + Number(n)] = value;
    for (const [n, value] of Object.entries(one.f ?? {})) record[at.f + Number(n)] = value;
    record.set(one.memory ?? [], at.memory);
    record[at.fcsr] = BigInt(one.fcsr ?? 0);
    record[at.pc] = BigInt(ram + entries[index]!);
  });
  return records;
}

function readRecord(record: BigUint64Array, entry: number): Result {
  const x = record.slice(at.x, at.x + 32);
  x[0] = 0n;
  return {
    pc: BigInt(ram + entry),
    x,
    f: record.subarray(at.f, at.f + 32),
    fcsr: Number(record[at.fcsr]),
    cause: Number(record[at.cause]),
    epc: record[at.pc]!,
    tval: record[at.tval]!,
    memory: record.subarray(at.memory, recordWords),
  };
}

/** What both sides run: bytes to lay into RAM, and how to read the results out of it again. */
export interface Image {
  readonly megabytes: number;
  /** Offsets from the start of RAM; the rest of it is zero. Harts start at offset 0. */
  readonly chunks: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
  /** To be called with the bytes at `resultsOffset` once the guest has powered off. */
  readonly resultsOffset: number;
  readonly resultsBytes: number;
  results(bytes: Uint8Array<ArrayBuffer>): Result[];
}

export function imageOf(cases: readonly Case[]): Image {
  const { code, entries } = assembleSlots(cases);
  const records = writeRecords(cases, entries);
  const recordsOffset = (slots + code.byteLength + 4095) & ~4095;
  const end = recordsOffset + records.byteLength;
  const chunk = (offset: number, { buffer }: { buffer: ArrayBuffer }) => ({
    offset,
    bytes: new Uint8Array(buffer),
  });
  return {
    // The board's device tree goes to the top of RAM.
    megabytes: Math.ceil(end / 2 ** 20) + 16,
    chunks: [
      chunk(0, Uint32Array.from(guest(recordsOffset))),
      chunk(endPointer, BigUint64Array.of(BigInt(ram + end))),
      chunk(slots, code),
      chunk(recordsOffset, records),
    ],
    resultsOffset: recordsOffset,
    resultsBytes: records.byteLength,
    results(bytes) {
      const after = new BigUint64Array(bytes.buffer, bytes.byteOffset, records.length);
      return entries.map((entry, index) =>
        readRecord(after.subarray(index * recordWords, (index + 1) * recordWords), entry),
      );
    },
  };
}

/** One result per case, in order. Cases do not see each other, except for LR/SC reservations. */
export async function qemuExecute(cases: readonly Case[]): Promise<Result[]> {
  const image = imageOf(cases);
  const folder = mkdtempSync(join(tmpdir(), 'umbra-oracle-'));
  const path = join(folder, 'ram');
  const file = openSync(path, 'w+');
  try {
    ftruncateSync(file, image.megabytes * 2 ** 20);
    for (const { offset, bytes } of image.chunks) writeSync(file, bytes, 0, null, offset);
    const backend = `memory-backend-file,id=ram,size=${image.megabytes}M,mem-path=${path},share=on`;
    await runQemu({ memoryMb: image.megabytes }, [
      ...['-object', backend, '-machine', 'virt,memory-backend=ram'],
    ]);
    const bytes = new Uint8Array(image.resultsBytes);
    readSync(file, bytes, 0, bytes.length, image.resultsOffset);
    return image.results(bytes);
  } finally {
    closeSync(file);
    rmSync(folder, { recursive: true });
  }
}
