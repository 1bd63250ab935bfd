/**
 * Guests that a translator likes: nested loops, calls, jump tables and straight code that is run
 * again and again, over several pages. And what it must not trip over: stores into the very code
 * that runs, pages of code mapped elsewhere under it, page edges inside instructions, device
 * registers, system calls, timers and counters in the middle of a loop.
 *
 * S-mode under Sv39. Pages of code lie at random places in RAM, and each has a twin whose constants
 * differ; a guest swaps them through its own leaf table. What they compute means nothing; that
 * every machine computes the same is the property.
 */
import type { SeededRandom } from '../../src/base/random.ts';
import { rows } from '../../src/isa/rows.ts';
import { Assembler } from './assembler.ts';
import type { Guest } from './machines.ts';

const ramBase = 0x8000_0000;
const pageBytes = 4096;
const poolAt = ramBase + 0x1_0000;
const virtualBase = 0x4000_0000;
const codePages = 8;
const dataPages = 4;
/** Virtual pages, counted from `virtualBase`: code, data, and the table that maps them all. */
const virtualPage = { code: 0, data: 16, leaves: 24 } as const;
const dataAt = virtualBase + virtualPage.data * pageBytes;
const leavesAt = virtualBase + virtualPage.leaves * pageBytes;
/** In the data: where functions and the targets of jump tables are, filled in by the builder. */
const pointersAt = 2 * pageBytes;

const r = {
  ...{ ra: 1, sp: 2, data: 3, leaves: 4, pointers: 8 },
  ...{ t0: 5, t1: 6, t2: 7 },
} as const;
/** A counter for each depth of nesting, over all functions. */
const counters = [9, 18, 19, 20, 21, 22];
const values = [10, 11, 12, 13, 14, 15, 16, 17, 23, 24, 25, 26, 27];
const functions = 5;

const csr = {
  ...{ sscratch: 0x140, satp: 0x180, mstatus: 0x300, mtvec: 0x305, mcounteren: 0x306 },
  ...{ mepc: 0x341, mscratch: 0x340, menvcfg: 0x30a, pmpcfg0: 0x3a0, pmpaddr0: 0x3b0 },
} as const;

const computes = rows.filter(
  ({ format, name }) => /^(R|R2|I|Shift)$/.test(format) && /^(?![lf]|jalr|amo|sc\.)/.test(name),
);
const loads = ['lb', 'lbu', 'lh', 'lhu', 'lw', 'lwu', 'ld'];
const stores = ['sb', 'sh', 'sw', 'sd'];
const floats = ['fadd.d', 'fmul.d', 'fsub.d', 'fdiv.d', 'fadd.s', 'fmul.s', 'fmin.d', 'fsgnjx.d'];
const fused = ['fmadd.d', 'fnmsub.d', 'fmsub.s', 'fnmadd.s'];
const compressedNop = 0x0001;

class LoopGuest {
  readonly #random: SeededRandom;
  readonly #code = new Assembler(virtualBase);
  readonly #pointers: string[] = [];
  /** Where the code has an instruction whose constant a guest, or a twin page, changes. */
  readonly #patches: string[] = [];
  #labels = 0;
  #left = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  build(): Guest {
    const random = this.#random;
    const code = this.#code;
    code.label('start');
    code.to('jal', 'function0', { rd: r.ra }).to('jal', 'start');
    for (let index = 0; index < functions; index++) this.#function(index);
    const bytes = code.finish();
    if (bytes.length > codePages * pageBytes) throw new Error('the code has outgrown its pages');
    return { image: this.#image(random, bytes) };
  }

  // --- Code

  #function(index: number): void {
    const code = this.#code;
    // Some begin near the end of a page, so that loops and instructions cross it.
    const left = pageBytes - ((code.here - virtualBase) & (pageBytes - 1));
    if (this.#random.chance(0.7) && left > 200) {
      const gap = left - 2 * this.#random.between(20, 90);
      for (let at = 0; at < gap; at += 4) code.word(0);
    }
    code.label(`function${index}`);
    code.op('addi', { rd: r.sp, rs1: r.sp, imm: -16 }).op('sd', { rs1: r.sp, rs2: r.ra });
    this.#left = 30;
    this.#loop(index, 0);
    this.#statements(index, 0, this.#random.between(2, 6));
    code.op('ld', { rd: r.ra, rs1: r.sp }).op('addi', { rd: r.sp, rs1: r.sp, imm: 16 });
    code.op('jalr', { rd: 0, rs1: r.ra });
  }

  #statements(level: number, depth: number, count: number): void {
    for (let index = 0; index < count && this.#left > 0; index++) this.#statement(level, depth);
  }

  #statement(level: number, depth: number): void {
    this.#left -= 1;
    if (this.#random.chance(0.2)) this.#code.half(compressedNop);
    const kind = this.#random.below(100);
    if (kind < 24) return this.#compute();
    if (kind < 40) return this.#access();
    if (kind < 48) return this.#branch(level, depth);
    if (kind < 60) return this.#loop(level, depth);
    if (kind < 70) return this.#call(level);
    if (kind < 75) return this.#table(level, depth);
    if (kind < 81) return this.#patched();
    if (kind < 83) return this.#patch();
    if (kind < 85) return this.#remap();
    if (kind < 92) return this.#float();
    if (kind < 95) return this.#atomic();
    return this.#system();
  }

  #value(): number {
    return this.#random.pick(values);
  }

  #label(): string {
    return `label${this.#labels++}`;
  }

  #compute(): void {
    for (let count = this.#random.between(1, 6); count > 0; count--) {
      const { format, name } = this.#random.pick(computes);
      const imm = format === 'Shift' ? this.#random.below(32) : this.#random.between(-2048, 2047);
      const operands = { rd: this.#value(), rs1: this.#value(), rs2: this.#value() };
      this.#code.op(name, format === 'R' || format === 'R2' ? operands : { ...operands, imm });
    }
  }

  #access(): void {
    // Now and then where nothing is mapped: a trap in the middle of straight code.
    const unmapped = this.#random.chance(0.04);
    const edge = unmapped || this.#random.chance(0.2);
    const imm = edge ? this.#random.between(2040, 2047) : this.#random.between(-64, 1000);
    if (unmapped) this.#code.li(r.t0, dataAt + dataPages * pageBytes);
    else if (edge) this.#code.op('addi', { rd: r.t0, rs1: r.data, imm: 2047 });
    const rs1 = edge ? r.t0 : r.data;
    if (this.#random.chance(0.5)) {
      this.#code.op(this.#random.pick(loads), { rd: this.#value(), rs1, imm });
    } else this.#code.op(this.#random.pick(stores), { rs1, rs2: this.#value(), imm });
  }

  #branch(level: number, depth: number): void {
    const over = this.#label();
    const name = this.#random.pick(['beq', 'bne', 'blt', 'bge', 'bltu', 'bgeu']);
    this.#code.to(name, over, { rs1: this.#value(), rs2: this.#value() });
    this.#statements(level, depth, this.#random.between(1, 2));
    this.#code.label(over);
  }

  #loop(level: number, depth: number): void {
    const counter = counters[level + depth];
    if (depth > 1 || counter === undefined || level + depth >= counters.length) {
      return this.#compute();
    }
    const again = this.#label();
    this.#code.li(counter, this.#random.between(2, depth === 0 ? 30 : 9)).label(again);
    this.#statements(level, depth + 1, this.#random.between(2, 5));
    this.#code.op('addi', { rd: counter, rs1: counter, imm: -1 });
    this.#code.to('bne', again, { rs1: counter });
  }

  /** Functions call only later ones, so every call ends. Their loops have other counters. */
  #call(level: number): void {
    if (level + 1 >= functions) return this.#compute();
    const callee = `function${this.#random.between(level + 1, functions - 1)}`;
    if (this.#random.chance(0.6)) {
      this.#code.to('jal', callee, { rd: r.ra });
      return;
    }
    this.#code.op('ld', { rd: r.t0, rs1: r.pointers, imm: this.#pointer(callee) });
    this.#code.op('jalr', { rd: r.ra, rs1: r.t0 });
  }

  #pointer(label: string): number {
    return (this.#pointers.push(label) - 1) * 8;
  }

  /** A jump table with four cases. */
  #table(level: number, depth: number): void {
    const end = this.#label();
    const cases = Array.from({ length: 4 }, () => this.#label());
    const slots = cases.map((each) => this.#pointer(each));
    const code = this.#code;
    code.op('andi', { rd: r.t0, rs1: this.#value(), imm: 3 });
    code.op('slli', { rd: r.t0, rs1: r.t0, imm: 3 });
    code.op('add', { rd: r.t0, rs1: r.t0, rs2: r.pointers });
    code.op('ld', { rd: r.t0, rs1: r.t0, imm: slots[0]! }).op('jalr', { rd: 0, rs1: r.t0 });
    for (const each of cases) {
      code.label(each);
      this.#statements(level, depth, 1);
      code.to('jal', end);
    }
    code.label(end);
  }

  /** An instruction whose constant changes now and then. */
  #patched(): void {
    const label = `patch${this.#patches.length}`;
    this.#patches.push(label);
    this.#code.label(label).op('addi', { rd: this.#value(), rs1: this.#value(), imm: 1 });
  }

  /** Flips a bit of a constant, in the code that runs or in other code. */
  #patch(): void {
    const near = this.#patches.slice(-3);
    if (near.length === 0) return this.#patched();
    const code = this.#code;
    const label = this.#random.pick(near);
    code.op('ld', { rd: r.t0, rs1: r.pointers, imm: this.#pointer(label) });
    code.op('lw', { rd: r.t1, rs1: r.t0 }).li(r.t2, 1 << 24);
    code.op('xor', { rd: r.t1, rs1: r.t1, rs2: r.t2 }).op('sw', { rs1: r.t0, rs2: r.t1 });
  }

  /** Maps a page of code to its twin, or back. */
  #remap(): void {
    const page = this.#random.below(codePages);
    const code = this.#code;
    code.op('ld', { rd: r.t0, rs1: r.leaves, imm: (virtualPage.code + page) * 8 });
    code.op('ld', { rd: r.t1, rs1: r.leaves, imm: (64 + page) * 8 });
    code.op('sd', { rs1: r.leaves, rs2: r.t1, imm: (virtualPage.code + page) * 8 });
    code.op('sd', { rs1: r.leaves, rs2: r.t0, imm: (64 + page) * 8 });
    if (this.#random.chance(0.3)) code.op('sfence.vma');
  }

  #float(): void {
    const f = (): number => this.#random.below(8);
    const rm = this.#random.pick([0, 7, 7, 7, 1]);
    const code = this.#code;
    if (this.#random.chance(0.3)) {
      code.op('fcvt.d.l', { rd: f(), rs1: this.#value(), rm });
      code.op('fcvt.w.d', { rd: this.#value(), rs1: f(), rm: 1 });
    } else if (this.#random.chance(0.5)) {
      code.op(this.#random.pick(floats), { rd: f(), rs1: f(), rs2: f(), rm });
    } else code.op(this.#random.pick(fused), { rd: f(), rs1: f(), rs2: f(), rs3: f(), rm });
  }

  #atomic(): void {
    const code = this.#code;
    const rd = this.#value();
    if (this.#random.chance(0.5)) {
      const name = this.#random.pick(['amoadd.d', 'amoswap.w', 'amomaxu.d', 'amoxor.w']);
      // A misaligned one traps before it does anything.
      const misaligned = this.#random.chance(0.1);
      if (misaligned) code.op('addi', { rd: r.t0, rs1: r.data, imm: 2 });
      code.op(name, { rd, rs1: misaligned ? r.t0 : r.data, rs2: this.#value() });
      return;
    }
    code.op('lr.d', { rd, rs1: r.data }).op('sc.d', { rd: r.t0, rs1: r.data, rs2: this.#value() });
    code.op('add', { rd, rs1: rd, rs2: r.t0 });
  }

  #system(): void {
    const code = this.#code;
    const rd = this.#value();
    const uart = 0x1000_0000;
    switch (this.#random.below(6)) {
      case 0:
        code.csr('csrrs', this.#random.pick([0xc00, 0xc01, 0xc02]), { rd });
        return;
      case 1:
        code.csr('csrrw', csr.sscratch, { rd, rs1: this.#value() });
        return;
      case 2:
        code.op('ecall');
        return;
      case 3:
        code.li(r.t0, uart).op('lbu', { rd, rs1: r.t0, imm: 5 });
        return;
      case 4:
        code.li(r.t0, uart).li(r.t1, 46).op('sb', { rs1: r.t0, rs2: r.t1 });
        return;
      default:
        code.op(this.#random.pick(['fence.i', 'fence', 'pause', 'ebreak']));
    }
  }

  // --- RAM

  #image(random: SeededRandom, code: Uint8Array): Uint8Array {
    const tables = { root: 0, middle: 1, leaves: 2 };
    const places = shuffled(random, 2 * codePages + dataPages).map((place) => place + 3);
    const physical = (page: number): number => poolAt + page * pageBytes;
    const image = new Uint8Array(physical(3 + places.length) - ramBase);
    const view = new DataView(image.buffer);
    image.set(this.#startAndHandler(physical(tables.root)));
    const put = (page: number, index: number, value: bigint): void =>
      view.setBigUint64(physical(page) - ramBase + index * 8, value, true);
    const entry = (address: number, bits: number): bigint =>
      (BigInt(address >>> 12) << 10n) | BigInt(bits);
    const rwx = 0xcf;
    put(tables.root, 0, entry(0, rwx)); // devices, as one gibibyte
    put(tables.root, 1, entry(physical(tables.middle), 1));
    put(tables.middle, 0, entry(physical(tables.leaves), 1));
    put(tables.leaves, virtualPage.leaves, entry(physical(tables.leaves), rwx));
    const twins = this.#twin(code);
    const pages = (bytes: Uint8Array, first: number, leaf: number, count: number): void => {
      for (let page = 0; page < count; page++) {
        const at = physical(places[first + page]!);
        image.set(bytes.subarray(page * pageBytes, (page + 1) * pageBytes), at - ramBase);
        // Accessed and dirty are for the walker to set.
        put(tables.leaves, leaf + page, entry(at, random.chance(0.5) ? rwx : 0x0f));
      }
    };
    pages(code, 0, virtualPage.code, codePages);
    pages(twins, codePages, 64, codePages);
    pages(this.#data(random), 2 * codePages, virtualPage.data, dataPages);
    return image;
  }

  /** The same code with other constants. */
  #twin(code: Uint8Array): Uint8Array {
    const twin = code.slice();
    for (const label of this.#patches) twin[this.#code.address(label) - virtualBase + 3]! ^= 0x02;
    return twin;
  }

  #data(random: SeededRandom): Uint8Array {
    const data = new Uint8Array(dataPages * pageBytes);
    const view = new DataView(data.buffer);
    for (let at = 0; at < pointersAt; at += 8) view.setBigUint64(at, random.u64(), true);
    for (const [index, label] of this.#pointers.entries()) {
      view.setBigUint64(pointersAt + index * 8, BigInt(this.#code.address(label)), true);
    }
    return data;
  }

  /** M-mode: to the code, and back behind every trap. */
  #startAndHandler(root: number): Uint8Array {
    const a = new Assembler(ramBase);
    const write = (number: number, value: bigint | number): void => {
      a.li(r.t0, value).csr('csrrw', number, { rs1: r.t0 });
    };
    a.to('jal', 'start');
    a.label('handler').csr('csrrw', csr.mscratch, { rs1: r.t0 });
    a.csr('csrrs', csr.mepc, { rd: r.t0 }).op('addi', { rd: r.t0, rs1: r.t0, imm: 4 });
    a.csr('csrrw', csr.mepc, { rs1: r.t0 }).csr('csrrs', csr.mscratch, { rd: r.t0 }).op('mret');
    a.label('start');
    write(csr.mtvec, a.address('handler'));
    write(csr.pmpaddr0, (1n << 54n) - 1n);
    write(csr.pmpcfg0, 0x1f);
    write(csr.mcounteren, -1n);
    write(csr.satp, (8n << 60n) | BigInt(root >>> 12));
    write(csr.mstatus, 0x6800);
    write(csr.mepc, virtualBase);
    a.li(r.sp, dataAt + dataPages * pageBytes)
      .li(r.data, dataAt + 1024)
      .li(r.leaves, leavesAt);
    a.li(r.pointers, dataAt + pointersAt);
    for (const value of values) a.li(value, this.#random.u64());
    return a.op('mret').finish();
  }
}

function shuffled(random: SeededRandom, count: number): number[] {
  const order = Array.from({ length: count }, (_, index) => index);
  for (let index = count - 1; index > 0; index--) {
    const other = random.below(index + 1);
    [order[index], order[other]] = [order[other]!, order[index]!];
  }
  return order;
}

export const loopGuest = (random: SeededRandom): Guest => new LoopGuest(random).build();
