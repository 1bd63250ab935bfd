/**
 * Guests in turmoil: random instructions in all three modes, over page tables, code and PMP ranges
 * that they themselves keep changing, under interrupts. What they compute means nothing; that
 * every machine computes the same is the property.
 *
 * A handler in M-mode keeps them from getting stuck: it skips most instructions that trap, and else
 * starts another context, which is a mode, a status, an address space, a place in the code and
 * pointers worth using. Code is random words that favour those pointers. Nothing protects the
 * handler: a guest may well ruin it.
 *
 * | physical    | what                                                    |
 * |-------------|---------------------------------------------------------|
 * | +0x0_0000   | start and handler                                       |
 * | +0x1_0000   | contexts                                                |
 * | +0x2_0000   | the pool: tables, data and code, mapped at random       |
 */
import type { SeededRandom } from '../../src/base/random.ts';
import { assemble } from '../../src/isa/assemble.ts';
import { compressedRows } from '../../src/isa/compressed.ts';
import type { Row } from '../../src/isa/row.ts';
import { rows } from '../../src/isa/rows.ts';
import { f32, f64 } from '../../src/isa/softfloat.ts';
import type { Input } from '../../src/machine/effects.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { boxed, floatOperand, integerOperand } from '../oracle/operands.ts';
import { Assembler } from './assembler.ts';
import type { Event, Guest } from './machines.ts';

const ramBase = 0x8000_0000;
const contextsAt = ramBase + 0x1_0000;
const contextBytes = 256;
const contexts = 32;
const poolAt = ramBase + 0x2_0000;
const pages = {
  root: 0,
  root48: 1,
  middle: 2,
  leaves: 3,
  moreLeaves: 4,
  data: 5,
  code: 9,
} as const;
const codePages = 6;
const poolPages = pages.code + codePages;
/** Where the leaf tables map the pool, in a random order. */
const virtualBase = 0x4000_0000;
const mappedPages = 40;

const physical = (page: number): number => poolAt + page * 4096;

// --- Registers: what the handler gives each context

const pointers = [8, 9, 10, 11, 12, 13, 14, 15];
const values = [16, 17, 18, 19, 20, 21];
const results = [1, 2, 3, 4, 5, 6, 7, 22, 23, 24, 25, 26, 27, 28, 29];
const [h0, h1] = [30, 31];

const csrNumbers = {
  ...{ fflags: 1, frm: 2, fcsr: 3, cycle: 0xc00, time: 0xc01, instret: 0xc02 },
  ...{ sstatus: 0x100, sie: 0x104, stvec: 0x105, sscratch: 0x140, sepc: 0x141, scause: 0x142 },
  ...{ stval: 0x143, sip: 0x144, stimecmp: 0x14d, satp: 0x180, mstatus: 0x300, medeleg: 0x302 },
  ...{ mideleg: 0x303, mie: 0x304, mtvec: 0x305, mcounteren: 0x306, menvcfg: 0x30a },
  ...{ mscratch: 0x340, mepc: 0x341, mcause: 0x342, mtval: 0x343, mip: 0x344 },
  ...{ pmpcfg0: 0x3a0, pmpcfg2: 0x3a2, pmpaddr0: 0x3b0, mcycle: 0xb00, mhartid: 0xf14 },
} as const;
const plicClaim = 0x0c20_0004;
const uart = 0x1000_0000;
const mtimecmp = 0x0200_4000;
const mtime = 0x0200_bff8;

// --- Code

const byName = (names: RegExp): readonly Row[] => rows.filter((row) => names.test(row.name));
const loads = byName(/^(l[bhwd]u?|fl[wd])$/);
const stores = byName(/^(s[bhwd]|fs[wd])$/);
const atomics = byName(/^(amo|lr|sc)/);
const branches = byName(/^b(eq|ne|lt|ge)/);
const floats = byName(/^f(?!l[wd]$|s[wd]$|ence)/);
const computes = rows.filter(
  (row) =>
    ['R', 'R2', 'I', 'Shift', 'U'].includes(row.format) && !/^[lf]|jalr|amo|sc\./.test(row.name),
);
/** CSRs that random code writes; the handler's own are left in peace, mostly. */
const playful = [
  ...[1, 2, 3, 0x100, 0x104, 0x140, 0x141, 0x144, 0x14d, 0x180, 0x300, 0x302, 0x303, 0x304],
  ...[0x306, 0x340, 0x344, 0x3a0, 0x3b0, 0x3b1, 0x3b2, 0xb00, 0xc00, 0xc01, 0xc02, 0xf14],
];

function randomWord(random: SeededRandom): number {
  const pick = random.pick.bind(random);
  const any = (row: Row): number => (row.match | (random.u32() & ~row.mask)) >>> 0;
  const fields = (row: Row, operands: object): number => assemble(row.name, operands);
  const rd = random.chance(0.95) ? pick(results) : random.below(32);
  const base = pick(pointers);
  const value = random.chance(0.6) ? pick(values) : random.below(30);
  const imm = random.chance(0.5) ? 0 : random.between(-16, 16);
  const row = (from: readonly Row[]): Row => random.pick(from);
  const kind = random.below(100);
  if (kind < 20) return fields(row(loads), { rd, rs1: base, imm });
  if (kind < 42) return fields(row(stores), { rs1: base, rs2: value, imm });
  if (kind < 50) return (any(row(atomics)) & ~0xf_8f80) | (base << 15) | (rd << 7);
  if (kind < 58)
    return fields(row(branches), {
      rs1: random.below(32),
      rs2: value,
      imm: 2 * random.between(-12, 20),
    });
  if (kind < 60) return assemble('jal', { rd, imm: 2 * random.between(-20, 60) });
  if (kind < 62) return assemble('jalr', { rd, rs1: base, imm });
  if (kind < 72) return any(row(floats));
  if (kind < 84) return (any(row(computes)) & ~0xf80) | (rd << 7);
  if (kind < 89) {
    const name = pick(['csrrw', 'csrrs', 'csrrc', 'csrrs', 'csrrwi', 'csrrsi', 'csrrci']);
    return assemble(name, { rd, rs1: random.chance(0.5) ? 0 : value, imm: pick(playful) });
  }
  if (kind < 90) return assemble('sfence.vma', {});
  if (kind < 91) return assemble(pick(['fence.i', 'fence', 'pause', 'wfi']), {});
  if (kind < 92) return assemble(pick(['ecall', 'ebreak', 'mret', 'sret']), {});
  if (kind < 93) return random.u32();
  return randomHalf(random) | (randomHalf(random) << 16);
}

function randomHalf(random: SeededRandom): number {
  const { mask, match } = random.pick(compressedRows);
  return (match | (random.u32() & ~mask)) & 0xffff;
}

// --- What contexts hold

const leafBits = (random: SeededRandom): number => {
  const usual = random.pick([0xcf, 0xdf, 0xcf, 0xdf, 0xc7, 0xd7, 0x4f, 0x0f, 0x1f, 0xcb]);
  return random.chance(0.93) ? usual : random.below(256);
};

function pageEntry(random: SeededRandom): bigint {
  const page = BigInt(physical(random.below(poolPages)));
  return ((page >> 12n) << 10n) | BigInt(leafBits(random));
}

const tableEntry = (page: number): bigint => ((BigInt(physical(page)) >> 12n) << 10n) | 1n;

const satp = (random: SeededRandom): bigint => {
  const mode = random.pick([8n, 8n, 8n, 9n, 0n]);
  const root = mode === 9n ? pages.root48 : pages.root;
  return (mode << 60n) | (BigInt(physical(root)) >> 12n);
};

/** Offsets where something happens: page edges, and entries of the leaf tables. */
const offset = (random: SeededRandom): number =>
  random.pick([
    () => random.between(4080, 4095),
    () => random.below(16),
    () => 8 * random.below(mappedPages),
    () => random.below(4096),
  ])();

function pointer(random: SeededRandom): bigint {
  const virtual = (): number => virtualBase + random.below(mappedPages) * 4096;
  const place = random.below(40);
  if (place === 0) return BigInt(random.pick([uart, mtime, mtimecmp, 0x0c00_0028, 0x1000_1000]));
  if (place === 1) return random.u64();
  if (place < 14) return BigInt(physical(random.below(poolPages)) + offset(random));
  return BigInt(virtual() + offset(random));
}

function someValue(random: SeededRandom): bigint {
  switch (random.below(5)) {
    case 0:
    case 1:
      return pageEntry(random);
    case 2:
      return BigInt(randomWord(random)) | (BigInt(randomWord(random)) << 32n);
    case 3:
      return random.chance(0.5) ? satp(random) : pointer(random);
    default:
      return integerOperand(random);
  }
}

/** MPP, FS, SUM, MXR, MPRV, TVM, TW, TSR; interrupts are on after the MRET, mostly. */
function status(random: SeededRandom, mode: number): bigint {
  const bits = random.u32() & 0x7e_6000 & (random.chance(0.7) ? ~0x70_0000 : -1);
  const float = random.chance(0.9) ? 0x6000 : 0;
  return BigInt((bits & (mode === 3 ? -1 : ~0x2_0000)) | float | (mode << 11) | 0xa2);
}

/** @param leaves the entries that map the pool */
function context(random: SeededRandom, leaves: readonly bigint[]): bigint[] {
  const mode = random.pick([0, 0, 0, 1, 1, 3]);
  const entry = random.below(codePages * 4096) & ~1;
  const bare = mode === 3 || random.chance(0.1);
  const user = mode === 0 ? 1n : 0n;
  const executable = [...leaves.keys()].filter((index) => {
    const leaf = leaves[index]!;
    const isCode = (leaf >> 10n) << 12n >= BigInt(physical(pages.code));
    return isCode && (leaf & 9n) === 9n && ((leaf >> 4n) & 1n) === user;
  });
  const index = executable.length > 0 ? random.pick(executable) : 0;
  const virtual = virtualBase + index * 4096 + (entry & 4095);
  const at = bare ? physical(pages.code) + entry : virtual;
  const delegated = random.chance(0.3) ? random.u64() & 0xb3ffn : 0n;
  const head = [BigInt(at), status(random, mode), satp(random), delegated];
  return [...head, ...pointers.map(() => pointer(random)), ...values.map(() => someValue(random))];
}

// --- The image

function startAndHandler(random: SeededRandom, hartCount: number): Uint8Array {
  const a = new Assembler(ramBase);
  const write = (csr: number, value: bigint | number): void => {
    a.li(h0, value).csr('csrrw', csr, { rs1: h0 });
  };
  const store = (name: string, address: number, value: number): void => {
    a.li(h1, address).li(h0, value).op(name, { rs1: h1, rs2: h0 });
  };
  a.to('jal', 'start', { rd: 0 });
  a.label('handler');
  a.csr('csrrs', csrNumbers.mcause, { rd: h0 }).to('blt', 'next', { rs1: h0, rs2: 0 });
  for (const fetch of [1, 12]) a.li(h1, fetch).to('beq', 'next', { rs1: h0, rs2: h1 });
  a.csr('csrrs', csrNumbers.mcycle, { rd: h0 }).op('andi', { rd: h0, rs1: h0, imm: 15 });
  a.to('beq', 'next', { rs1: h0, rs2: 0 });
  a.csr('csrrs', csrNumbers.mepc, { rd: h0 }).op('addi', { rd: h0, rs1: h0, imm: 4 });
  a.csr('csrrw', csrNumbers.mepc, { rs1: h0 }).op('mret');
  // The next context; harts share the list.
  a.label('next');
  a.li(h1, contextsAt).op('ld', { rd: h0, rs1: h1 });
  a.op('addi', { rd: h0, rs1: h0, imm: 1 }).op('andi', { rd: h0, rs1: h0, imm: contexts - 1 });
  a.op('sd', { rs1: h1, rs2: h0 }).op('slli', { rd: h0, rs1: h0, imm: 8 });
  a.op('add', { rd: h1, rs1: h1, rs2: h0 }).op('addi', { rd: h1, rs1: h1, imm: contextBytes });
  const take = (slot: number, csr: number): void => {
    a.op('ld', { rd: h0, rs1: h1, imm: slot * 8 }).csr('csrrw', csr, { rs1: h0 });
  };
  take(0, csrNumbers.mepc);
  take(1, csrNumbers.mstatus);
  take(2, csrNumbers.satp);
  take(3, csrNumbers.medeleg);
  for (const [slot, rd] of [...pointers, ...values].entries()) {
    a.op('ld', { rd, rs1: h1, imm: (4 + slot) * 8 });
  }
  a.csr('csrrs', csrNumbers.mcause, { rd: h0 }).to('bge', 'out', { rs1: h0, rs2: 0 });
  // An interrupt: take what the UART has, and set both timers anew.
  a.li(h1, plicClaim).op('lw', { rd: 29, rs1: h1 });
  a.to('beq', 'clock', { rs1: 29, rs2: 0 });
  a.li(h0, uart).op('lbu', { rd: 28, rs1: h0 }).op('sw', { rs1: h1, rs2: 29 });
  a.op('sb', { rs1: h0, rs2: 28 });
  a.label('clock').li(h1, mtime).op('ld', { rd: h0, rs1: h1 });
  a.op('addi', { rd: h0, rs1: h0, imm: random.between(10, 200) });
  a.csr('csrrs', csrNumbers.mhartid, { rd: h1 }).op('slli', { rd: h1, rs1: h1, imm: 3 });
  a.li(29, mtimecmp).op('add', { rd: h1, rs1: h1, rs2: 29 }).op('sd', { rs1: h1, rs2: h0 });
  a.op('addi', { rd: h0, rs1: h0, imm: random.between(-20, 20) });
  a.csr('csrrw', csrNumbers.stimecmp, { rs1: h0 });
  a.label('out').op('mret');
  a.label('start');
  write(csrNumbers.mtvec, a.address('handler'));
  write(csrNumbers.stvec, virtualBase + random.below(mappedPages) * 4096);
  write(csrNumbers.menvcfg, random.chance(0.7) ? 1n << 63n : 0n);
  write(csrNumbers.mcounteren, -1n);
  write(csrNumbers.mideleg, random.pick([0n, 0x222n, 0x20n]));
  write(csrNumbers.mie, 0xaaan);
  protect(random, write);
  // UART: interrupt on data received. PLIC: the UART for every hart in M-mode.
  store('sb', uart + 1, 1);
  store('sw', 0x0c00_0028, 1);
  for (let hart = 0; hart < hartCount; hart++) store('sw', 0x0c00_2000 + hart * 0x100, 1 << 10);
  a.csr('csrrs', csrNumbers.mhartid, { rd: h1 }).op('slli', { rd: h1, rs1: h1, imm: 3 });
  a.li(29, mtimecmp).op('add', { rd: h1, rs1: h1, rs2: 29 }).li(h0, 20);
  a.op('sd', { rs1: h1, rs2: h0 });
  return a.to('jal', 'handler', { rd: 0 }).finish();
}

/** Half of the guests: PMP ranges with odd edges over the pool, then all of memory. */
function protect(random: SeededRandom, write: (csr: number, value: bigint) => void): void {
  const ranges = random.chance(0.5) ? random.between(1, 5) : 0;
  let config = 0n;
  for (let index = 0; index < ranges; index++) {
    const address = physical(random.below(poolPages)) + 4 * random.below(1024);
    const napot = (1n << BigInt(random.between(0, 11))) - 1n;
    const mode = random.pick([1n, 2n, 3n]);
    write(csrNumbers.pmpaddr0 + index, (BigInt(address) >> 2n) | (mode === 3n ? napot : 0n));
    const allowed = random.pick([7n, 7n, 5n, 3n, 1n, 4n, 0n]);
    config |= ((mode << 3n) | allowed | (random.chance(0.05) ? 0x80n : 0n)) << BigInt(index * 8);
  }
  write(csrNumbers.pmpaddr0 + ranges, (1n << 54n) - 1n);
  write(csrNumbers.pmpcfg0, config | (0x1fn << BigInt(ranges * 8)));
}

export function turmoil(random: SeededRandom, hartCount = 1): Guest {
  const image = new Uint8Array(physical(poolPages) - ramBase);
  const view = new DataView(image.buffer);
  image.set(startAndHandler(random, hartCount));
  const put = (page: number, index: number, value: bigint): void =>
    view.setBigUint64(physical(page) - ramBase + index * 8, value, true);
  const leaves = Array.from({ length: mappedPages }, () => pageEntry(random));
  for (let n = 0; n < contexts; n++) {
    for (const [slot, value] of context(random, leaves).entries()) {
      const at = contextsAt - ramBase + contextBytes * (n + 1) + slot * 8;
      view.setBigUint64(at, BigInt.asUintN(64, value), true);
    }
  }
  put(pages.root48, 0, tableEntry(pages.root));
  put(pages.root, 1, tableEntry(pages.middle));
  // The first gibibyte of RAM as one page, now and then: whoever uses it can reach the handler.
  if (random.chance(0.3)) put(pages.root, 2, (BigInt(ramBase) >> 2n) | BigInt(leafBits(random)));
  put(pages.middle, 0, tableEntry(pages.leaves));
  put(pages.middle, 1, tableEntry(pages.moreLeaves));
  if (random.chance(0.5)) put(pages.middle, 2, (BigInt(ramBase) >> 2n) | BigInt(leafBits(random)));
  for (let index = 0; index < mappedPages; index++) {
    put(pages.leaves, index, leaves[index]!);
    put(pages.moreLeaves, index, pageEntry(random));
  }
  for (let index = 0; index < 4 * 512; index++) {
    const format = random.chance(0.5) ? f32 : f64;
    put(pages.data, index, boxed(format, floatOperand(format, random)));
  }
  for (let index = 0; index < codePages * 1024; index++) {
    view.setUint32(physical(pages.code) - ramBase + index * 4, randomWord(random), true);
  }
  return { image, hartCount };
}

// --- What comes from outside

function someInput(random: SeededRandom): (machine: Machine) => Input {
  const kind = random.below(10);
  if (kind < 3) return () => ({ kind: 'console', bytes: Uint8Array.of(65) });
  if (kind < 4) return () => ({ kind: 'entropy', bytes: Uint8Array.of(1, 2, 3) });
  const ahead = BigInt(random.below(40));
  const [rate, span] = [1 + random.below(1 << 23), random.below(2000)];
  return ({ time }) => ({ kind: 'clock', time: time + ahead, rate, span });
}

/** Inputs at random counts, about `gap` apart. */
export function turmoilEvents(random: SeededRandom, number: number, gap: number): Event[] {
  let count = 0n;
  return Array.from({ length: number }, () => {
    count += BigInt(random.between(1, 2 * gap));
    return { count, input: someInput(random) };
  });
}
