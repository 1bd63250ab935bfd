/**
 * What must not leak into the guest (DESIGN section 4), one small guest for each. Where a cache
 * would have to be seen, the guest is run in one piece, cut after every instruction, and by the
 * reference engine, and must write the same.
 *
 * The guests run in M-mode on the board and leave what they found in RAM at `resultsAt`.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { SeededRandom } from '../../src/base/random.ts';
import { makeReferenceEngine } from '../../src/engine/reference.ts';
import { makeWasmEngine } from '../../src/engine/wasm-engine.ts';
import type { Engine, EngineMaker } from '../../src/machine/engine.ts';
import { GuestClock } from '../../src/machine/guest-clock.ts';
import { layoutFor } from '../../src/machine/layout.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { Assembler, x } from './assembler.ts';
import { forgetfulEngine, guestMaker, throughCheckpoint } from './machines.ts';

const ramBase = 0x8000_0000;
const ramBytes = 16 << 20;
const resultsAt = ramBase + 0x10_0000;
const tablesAt = ramBase + 0x20_0000;
const csr = {
  ...{ satp: 0x180, mstatus: 0x300, mie: 0x304, mtvec: 0x305, mepc: 0x341, mcause: 0x342 },
  ...{ mtval: 0x343, pmpcfg0: 0x3a0, pmpaddr0: 0x3b0, mcycle: 0xb00, mhartid: 0xf14 },
};
const { zero, t0, t1, t2, s0, s1, a0, a1 } = x;

/** A guest under construction: s0 points to the results, every `keep` stores one more. */
class Guest extends Assembler {
  #kept = 0;
  constructor() {
    super(ramBase);
    this.li(s0, resultsAt);
  }
  keep(register: number): this {
    return this.op('sd', { rs1: s0, rs2: register, imm: 8 * this.#kept++ });
  }
  get kept(): number {
    return this.#kept;
  }
  store(name: string, address: number, value: bigint | number): this {
    return this.li(t0, address).li(t1, value).op(name, { rs1: t0, rs2: t1 });
  }
  write(number: number, value: bigint | number): this {
    return this.li(t0, value).csr('csrrw', number, { rs1: t0 });
  }
  read(number: number): this {
    return this.csr('csrrs', number, { rd: t0 }).keep(t0);
  }
  /** Traps go on at the label, in M-mode. Only from M-mode. */
  trapsTo(label: string): this {
    return this.la(t0, label).csr('csrrw', csr.mtvec, { rs1: t0 });
  }
  stop(): this {
    return this.label('end').to('jal', 'end');
  }
}

interface Ran {
  readonly machine: Machine;
  readonly results: bigint[];
}

function results(engine: Engine, kept: number): bigint[] {
  const view = new DataView(engine.memory.buffer);
  const at = layoutFor(ramBytes).ramAt + resultsAt - ramBase;
  return Array.from({ length: kept }, (_, index) => view.getBigUint64(at + 8 * index, true));
}

const countMax = 3000n;

function runOn(guest: Guest, makeEngine: EngineMaker, slice: bigint, hartCount = 1): Ran {
  let engine: Engine | undefined;
  const maker = guestMaker({ image: guest.finish(), hartCount }, (layout, host) => {
    engine = makeEngine(layout, host);
    return engine;
  });
  const machine = maker.powerOn();
  while (machine.count < countMax) {
    if (machine.run(machine.count + slice) !== 'budget') break;
  }
  return { machine, results: results(engine!, guest.kept) };
}

/** What the guest found; the same in one piece, cut up, forgetful, and by the reference engine. */
function found(guest: Guest, hartCount = 1): bigint[] {
  const one = runOn(guest, makeWasmEngine, countMax, hartCount);
  const forgetful = forgetfulEngine(new SeededRandom(1), 2);
  const others: [string, EngineMaker, bigint][] = [
    ['cut after every count', makeWasmEngine, 1n],
    ['forgetful', forgetful, 3n],
    ['reference', makeReferenceEngine, countMax],
  ];
  for (const [name, makeEngine, slice] of others) {
    const other = runOn(guest, makeEngine, slice, hartCount);
    assert.deepEqual(other.results, one.results, name);
    assert.equal(other.machine.fingerprint(), one.machine.fingerprint(), name);
  }
  return one.results;
}

// --- Translation

const leaf = (physical: number, bits: number): bigint =>
  (BigInt(physical >>> 12) << 10n) | BigInt(bits);
const rwx = 0xcf;
const leavesAt = tablesAt + 0x2000;
const virtual = 0x4000_0000;

const allOfMemory = (guest: Guest): Guest =>
  guest.write(csr.pmpaddr0, (1n << 54n) - 1n).write(csr.pmpcfg0, 0x1f);

/**
 * Sv39 for S-mode: virtual page n of the second gibibyte by entry n of one leaf table; RAM itself as
 * one page that maps to itself. Then goes on in S-mode, still at the same addresses; traps go to
 * the label `trap`, in M-mode.
 */
function paged(entries: readonly bigint[], protect = allOfMemory): Guest {
  const [root, middle] = [tablesAt, tablesAt + 0x1000];
  const guest = new Guest();
  guest.store('sd', root + 8, leaf(middle, 1)).store('sd', root + 16, leaf(ramBase, rwx));
  guest.store('sd', middle, leaf(leavesAt, 1));
  for (const [index, entry] of entries.entries()) guest.store('sd', leavesAt + 8 * index, entry);
  protect(guest).write(csr.satp, (8n << 60n) | BigInt(root >>> 12));
  guest.li(t0, 0x800).csr('csrrs', csr.mstatus, { rs1: t0 }).trapsTo('trap');
  return guest
    .la(t0, 'supervisor')
    .csr('csrrw', csr.mepc, { rs1: t0 })
    .op('mret')
    .label('supervisor');
}

/** What the handler of `paged` guests keeps: cause and value. */
const keepTrap = (guest: Guest): Guest =>
  guest.stop().label('trap').read(csr.mcause).read(csr.mtval).to('jal', 'end');

/** A page of code: stores a1 at a0, then says a number in s1 and returns. */
function sayingPage(guest: Guest, page: number, says: number): void {
  const code = new Assembler(0).op('sd', { rs1: a0, rs2: a1 });
  code.op('addi', { rd: s1, imm: says }).op('jalr', { rs1: t2 });
  const view = new DataView(code.finish().buffer);
  for (const at of [0, 4, 8]) guest.store('sw', page + at, view.getUint32(at, true));
}

test('a store that maps the code being executed elsewhere is seen by the next instruction', () => {
  const [here, there] = [ramBase + 0x30_0000, ramBase + 0x30_1000];
  const guest = paged([leaf(here, rwx)]);
  sayingPage(guest, here, 1);
  sayingPage(guest, there, 2);
  guest.li(a0, leavesAt).li(a1, leaf(there, rwx)).li(t0, virtual);
  guest.op('jalr', { rd: t2, rs1: t0 }).keep(s1);
  assert.deepEqual(found(keepTrap(guest)), [2n, 0n, 0n]);
});

test('a page table that maps itself: the store that takes away its own right is the last', () => {
  const guest = paged([leaf(leavesAt, rwx)]);
  guest.li(a0, virtual).li(a1, leaf(leavesAt, 0xc3));
  guest.op('sd', { rs1: a0, rs2: zero, imm: 16 }).op('sd', { rs1: a0, rs2: a1 });
  guest.op('sd', { rs1: a0, rs2: zero, imm: 8 });
  assert.deepEqual(found(keepTrap(guest)), [15n, BigInt(virtual + 8)]);
});

test('a store into a page table is seen without a fence, by loads, stores and fetches', () => {
  const pages = [ramBase + 0x30_0000, ramBase + 0x30_1000] as const;
  const guest = paged([leaf(pages[0], rwx), leaf(leavesAt, rwx)]);
  for (const [index, page] of pages.entries()) guest.store('sd', page + 64, 10 + index);
  guest.li(a0, virtual).op('ld', { rd: t0, rs1: a0, imm: 64 }).keep(t0);
  guest.op('sd', { rs1: a0, rs2: a0, imm: 128 });
  // Through the virtual window onto the table itself.
  guest
    .li(a1, virtual + 0x1000)
    .li(t1, leaf(pages[1], 0x43))
    .op('sd', { rs1: a1, rs2: t1 });
  guest.op('ld', { rd: t0, rs1: a0, imm: 64 }).keep(t0);
  guest.op('sd', { rs1: a0, rs2: a0, imm: 128 });
  assert.deepEqual(found(keepTrap(guest)), [10n, 11n, 15n, BigInt(virtual + 128)]);
});

test('an entry that becomes valid, changes and becomes invalid again is seen each time', () => {
  const pages = [ramBase + 0x30_0000, ramBase + 0x30_1000] as const;
  const guest = paged([leaf(pages[0], rwx)]);
  for (const [index, page] of pages.entries()) guest.store('sd', page + 64, 10 + index);
  const [entry, loaded] = [leavesAt + 16, virtual + 0x2000 + 64];
  // The walker has read this table; its third entry is not valid yet, its second never is.
  guest.li(a0, virtual).op('ld', { rd: t0, rs1: a0, imm: 64 }).keep(t0).li(a1, loaded);
  for (const page of pages) {
    guest.store('sd', entry, leaf(page, rwx)).op('ld', { rd: t0, rs1: a1 }).keep(t0);
  }
  // The upper half of the second and the lower of the third.
  guest
    .li(t2, entry - 4)
    .op('sd', { rs1: t2, rs2: zero })
    .op('ld', { rd: t0, rs1: a1 });
  assert.deepEqual(found(keepTrap(guest)), [10n, 10n, 11n, 13n, BigInt(loaded)]);
});

test('zeros, fetched where PMP treats the page unlike, are illegal and nothing worse', () => {
  const empty = ramBase + 0x30_0000;
  const guest = paged([], (g) => {
    // The first half of the page by one entry, all else by another.
    g.write(csr.pmpaddr0, BigInt(empty + 2048) >> 2n).write(csr.pmpaddr0 + 1, (1n << 54n) - 1n);
    return g.write(csr.pmpcfg0, 0x1f0f);
  });
  guest.li(t0, empty).op('jalr', { rs1: t0 });
  assert.deepEqual(found(keepTrap(guest)), [2n, 0n]);
});

test('a store across a page edge that faults half-way stores nothing', () => {
  const page = ramBase + 0x30_0000;
  const guest = paged([leaf(page, rwx)]);
  guest.store('sd', page + 4088, -1).li(a0, virtual + 4092);
  guest.op('sd', { rs1: a0, rs2: zero });
  keepTrap(guest);
  const [trapCause, value] = found(guest);
  assert.deepEqual([trapCause, value], [15n, BigInt(virtual + 4096)]);
  const again = paged([leaf(page, rwx)])
    .store('sd', page + 4088, -1)
    .li(a0, virtual + 4092);
  again.op('sd', { rs1: a0, rs2: zero }).stop().label('trap');
  again
    .li(a0, page + 4088)
    .op('ld', { rd: t0, rs1: a0 })
    .keep(t0)
    .to('jal', 'end');
  assert.deepEqual(found(again), [2n ** 64n - 1n]);
});

test('an access across a page edge is checked by PMP for its own bytes only', () => {
  const pages = [ramBase + 0x30_0000, ramBase + 0x40_0000] as const;
  // Ranges in turn allowed and not: the access has the end of one and the start of another.
  const guest = paged([leaf(pages[0], rwx), leaf(pages[1], rwx)], (g) => {
    const edges = [0, 64, 4096, 8192].map((offset) => pages[0] + offset);
    edges.push(pages[1] + 4, pages[1] + 4096);
    for (const [index, edge] of edges.entries()) g.write(csr.pmpaddr0 + index, BigInt(edge) >> 2n);
    g.write(csr.pmpaddr0 + 6, (1n << 54n) - 1n);
    return g.write(csr.pmpcfg0, 0x1f_08_0f_08_0f_08_0fn);
  });
  guest
    .li(a0, virtual + 4092)
    .op('ld', { rd: t0, rs1: a0 })
    .li(s1, 1)
    .keep(s1);
  assert.deepEqual(found(keepTrap(guest)), [1n, 0n, 0n]);
});

// --- Code

test('code that changes the instruction behind the store is executed as changed', () => {
  const guest = new Guest();
  const changed = new DataView(new Assembler(0).op('addi', { rd: s1, imm: 2 }).finish().buffer);
  guest.la(a0, 'patched').li(a1, changed.getUint32(0, true));
  guest.op('sw', { rs1: a0, rs2: a1 }).label('patched').op('addi', { rd: s1, imm: 1 });
  assert.deepEqual(found(guest.keep(s1).stop()), [2n]);
});

/** Offers the entropy device one buffer: what a driver does, without waiting for anything. */
function offerBuffer(guest: Guest, device: number, address: number, bytes: number): void {
  const rings = ramBase + 0x50_0000;
  const register = (offset: number, value: number): Guest =>
    guest.store('sw', device + offset, value);
  register(0x70, 3).store('sw', device + 0x24, 1);
  register(0x20, 1); // VIRTIO_F_VERSION_1
  register(0x70, 11);
  register(0x38, 8);
  for (const [offset, at] of [
    [0x80, rings],
    [0x90, rings + 0x1000],
    [0xa0, rings + 0x2000],
  ] as const) {
    register(offset, at);
  }
  register(0x44, 1);
  register(0x70, 15);
  guest
    .store('sd', rings, address)
    .store('sw', rings + 8, bytes)
    .store('sw', rings + 12, 2);
  guest.store('sw', rings + 0x1000, 1 << 16);
  register(0x50, 0);
}

test('what a device writes into code, tables and data is seen at once', () => {
  const [one, two] = [ramBase + 0x30_0000, ramBase + 0x30_1000];
  const bytesOf = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);
  const saying = (imm: number): Uint8Array =>
    new Assembler(0).op('addi', { rd: s1, imm }).op('jalr', { rs1: t2 }).finish();
  const cases: readonly [what: string, at: number, bytes: Uint8Array][] = [
    ['code', one, saying(2)],
    ['table', leavesAt, bytesOf(leaf(two, rwx))],
    ['data', one + 64, bytesOf(2n)],
  ];
  for (const [what, at, bytes] of cases) {
    const guest = paged([leaf(one, rwx), leaf(0x1000_1000, 0xc7)]);
    for (const [index, page] of [one, two].entries()) {
      const view = new DataView(saying(index + 1).buffer);
      for (const offset of [0, 4]) guest.store('sw', page + offset, view.getUint32(offset, true));
      guest.store('sd', page + 64, index + 1);
    }
    offerBuffer(guest, virtual + 0x1000, at, bytes.length);
    // Spins on the sum of what the code says and what the data are, until it changes.
    guest.li(a0, virtual).li(a1, 2);
    guest.label('again').op('jalr', { rd: t2, rs1: a0 }).op('ld', { rd: t0, rs1: a0, imm: 64 });
    guest.op('add', { rd: t0, rs1: t0, rs2: s1 }).to('beq', 'again', { rs1: t0, rs2: a1 });
    keepTrap(guest.keep(t0));
    const runs = [makeWasmEngine, makeReferenceEngine].map((makeEngine) => {
      let engine: Engine | undefined;
      const machine = guestMaker({ image: guest.finish() }, (layout, host) => {
        engine = makeEngine(layout, host);
        return engine;
      }).powerOn();
      machine.run(2000n);
      assert.equal(results(engine!, 1)[0], 0n, 'nothing has changed yet');
      assert.deepEqual(
        machine.takeOutputs().map(({ kind }) => kind),
        ['entropy'],
      );
      machine.apply({ kind: 'entropy', bytes });
      machine.run(2100n);
      return [...results(engine!, 1), machine.fingerprint()];
    });
    // One of the two has changed, or with the table both: by where in the loop the input came.
    assert.ok(runs[0]![0]! > 2n, what);
    assert.deepEqual(runs[1], runs[0], what);
  }
});

// --- Reservations

/** LR, some instructions, SC; what SC says. */
const reserving = (between: number): Guest => {
  const guest = new Guest().li(a0, resultsAt + 0x100).op('lr.d', { rd: t0, rs1: a0 });
  for (let n = 0; n < between; n++) guest.op('addi', { rd: t1, rs1: t1, imm: 1 });
  return guest.op('sc.d', { rd: t2, rs1: a0, rs2: a0 }).keep(t2).stop();
};

test('a reservation outlives the end of a slice, a save and a restore', () => {
  const guest = reserving(5);
  assert.deepEqual(found(guest), [0n]);
  const maker = guestMaker({ image: guest.finish() });
  let machine: Machine = maker.powerOn();
  const straight = maker.powerOn();
  for (let count = 4n; count < 20n; count++) {
    machine.run(count);
    machine = throughCheckpoint(maker, machine, 1 << 20);
  }
  straight.run(machine.count);
  assert.equal(machine.fingerprint(), straight.fingerprint());
});

test('an input that may write memory ends reservations; a clock sample does not', () => {
  for (const [kind, result] of [
    ['console', 1n],
    ['clock', 0n],
  ] as const) {
    const guest = reserving(5);
    let engine: Engine | undefined;
    const machine = guestMaker({ image: guest.finish() }, (layout, host) => {
      engine = makeWasmEngine(layout, host);
      return engine;
    }).powerOn();
    const reserved = guest.finish().length / 4 - 6;
    machine.run(BigInt(reserved));
    if (kind === 'console') machine.apply({ kind, bytes: Uint8Array.of(1) });
    else machine.apply({ kind, time: machine.time, rate: 1, span: 1 });
    machine.run(100n);
    assert.deepEqual(results(engine!, 1), [result], kind);
  }
});

// --- Several harts

test('PAUSE hands over to the next hart, and so does WFI', () => {
  for (const yielding of ['pause', 'wfi']) {
    const guest = new Guest().csr('csrrs', csr.mhartid, { rd: a0 }).li(a1, resultsAt + 0x800);
    // Software interrupts wake from WFI and are never taken.
    guest.write(csr.mie, 8).li(s1, 3);
    guest.label('again').li(t0, 8).op('amoadd.d', { rd: t0, rs1: a1, rs2: t0 });
    guest.op('add', { rd: t0, rs1: t0, rs2: s0 }).op('sd', { rs1: t0, rs2: a0 });
    // Wake the other one: msip of hart 1 - hartid.
    guest.li(t1, 0x0200_0000).op('slli', { rd: t2, rs1: a0, imm: 2 });
    guest.op('add', { rd: t2, rs1: t2, rs2: t1 }).op('sw', { rs1: t2, rs2: zero });
    guest.op('xori', { rd: t2, rs1: a0, imm: 1 }).op('slli', { rd: t2, rs1: t2, imm: 2 });
    guest.op('add', { rd: t2, rs1: t2, rs2: t1 }).li(t1, 1).op('sw', { rs1: t2, rs2: t1 });
    guest.op(yielding).op('addi', { rd: s1, rs1: s1, imm: -1 });
    guest.to('bne', 'again', { rs1: s1 }).label('end').op('wfi').to('jal', 'end');
    for (let n = 0; n < 6; n++) guest.keep(zero); // never reached: only names the results
    assert.deepEqual(found(guest, 2), [0n, 1n, 0n, 1n, 0n, 1n], yielding);
  }
});

test('a store into a page table is seen by a hart that had its turn before', () => {
  const pages = [ramBase + 0x30_0000, ramBase + 0x30_1000] as const;
  const guest = paged([leaf(pages[0], rwx)]);
  for (const [index, page] of pages.entries()) guest.store('sd', page + 64, 10 + index);
  guest
    .li(a1, resultsAt + 0x800)
    .li(t0, 1)
    .op('amoadd.d', { rd: t0, rs1: a1, rs2: t0 });
  guest.li(a0, virtual).to('bne', 'second', { rs1: t0 });
  for (let turn = 0; turn < 2; turn++) {
    guest.op('ld', { rd: t0, rs1: a0, imm: 64 }).keep(t0);
    guest.op('sd', { rs1: a0, rs2: a0, imm: 128 }).op('pause');
  }
  guest.label('second').op('ld', { rd: t0, rs1: a0, imm: 64 });
  guest.store('sd', leavesAt, leaf(pages[1], 0x43)).op('pause').to('jal', 'end');
  assert.deepEqual(found(keepTrap(guest), 2), [10n, 11n, 15n, BigInt(virtual + 128)]);
});

test('a turn is 50,000 counts, and a reservation does not outlive it', () => {
  const guest = new Guest();
  const before = (guest.here - ramBase) / 4;
  guest.csr('csrrs', csr.mcycle, { rd: t1 });
  guest.csr('csrrs', csr.mhartid, { rd: a0 }).to('bne', 'second', { rs1: a0 });
  guest
    .li(a1, resultsAt + 0x800)
    .op('lr.d', { rd: t0, rs1: a1 })
    .li(t2, 25_000);
  guest.label('spin').op('addi', { rd: t2, rs1: t2, imm: -1 }).to('bne', 'spin', { rs1: t2 });
  guest.op('sc.d', { rd: t0, rs1: a1, rs2: a1 }).keep(t0).label('end').to('jal', 'end');
  guest.label('second').keep(t1).to('jal', 'end');
  const runs = [1_000_000n, 7n, 49_999n].map((slice) => {
    let engine: Engine | undefined;
    const machine = guestMaker({ image: guest.finish(), hartCount: 2 }, (layout, host) => {
      engine = makeWasmEngine(layout, host);
      return engine;
    }).powerOn();
    while (machine.count < 120_000n) {
      const end = machine.count + slice;
      machine.run(end < 120_000n ? end : 120_000n);
    }
    return [...results(engine!, 2), machine.fingerprint()];
  });
  assert.deepEqual(runs[0]!.slice(0, 2), [1n, 50_000n + BigInt(before)]);
  assert.deepEqual(runs[1], runs[0]);
  assert.deepEqual(runs[2], runs[0]);
});

// --- Numbers

test('NaNs that arithmetic makes are canonical; what is only moved keeps its payload', () => {
  const [quiet, signalling, infinity] = [
    0x7ff8_0000_1234_5678n,
    0xfff0_0000_0000_0001n,
    0x7ffn << 52n,
  ];
  const guest = new Guest().li(t0, 0x6000).csr('csrrs', csr.mstatus, { rs1: t0 });
  for (const [f, value] of [quiet, signalling, infinity].entries()) {
    guest.li(t0, value).op('fmv.d.x', { rd: f, rs1: t0 });
  }
  const keepFloat = (name: string, rs1: number, rs2 = 0): Guest =>
    guest.op(name, { rd: 5, rs1, rs2, rs3: 2 }).op('fmv.x.d', { rd: t0, rs1: 5 }).keep(t0);
  keepFloat('fadd.d', 0, 2);
  keepFloat('fmul.d', 1, 0);
  keepFloat('fsub.d', 2, 2);
  keepFloat('fmadd.d', 0, 1);
  keepFloat('fsgnj.d', 0, 0);
  keepFloat('fsgnjn.d', 1, 1);
  const canonical = 0x7ff8n << 48n;
  const kept = [quiet, signalling ^ (1n << 63n)];
  assert.deepEqual(found(guest.stop()), [canonical, canonical, canonical, canonical, ...kept]);
});

test('cycle and instret are functions of the count, traps counted', () => {
  const guest = new Guest().trapsTo('trap');
  const before = (guest.here - ramBase) / 4;
  guest.csr('csrrs', csr.mcycle, { rd: t0 }).csr('csrrs', 0xb02, { rd: t1 }).op('ebreak');
  guest.label('trap').csr('csrrs', csr.mcycle, { rd: t2 }).keep(t0).keep(t1).keep(t2);
  const first = BigInt(before);
  // The breakpoint is a trap and no instruction retires with it.
  assert.deepEqual(found(guest.stop()), [first, first + 1n, first + 3n]);
});

// --- Timers

test('a timer fires at exactly the count that the clock computes, whatever the samples', () => {
  for (const seed of Array.from({ length: 12 }, (_, index) => index)) {
    const random = new SeededRandom(seed);
    const guest = new Guest().trapsTo('trap');
    const wanted = BigInt(random.between(20, 2000));
    guest
      .store('sd', 0x0200_4000, wanted)
      .write(csr.mie, 0x80)
      .csr('csrrsi', csr.mstatus, { rs1: 8 });
    guest.label('spin').to('jal', 'spin');
    guest.label('trap').csr('csrrs', csr.mcycle, { rd: t0 }).csr('csrrs', 0xc01, { rd: t1 });
    guest.keep(t0).keep(t1).stop();
    let engine: Engine | undefined;
    const machine = guestMaker({ image: guest.finish() }, (layout, host) => {
      engine = makeWasmEngine(layout, host);
      return engine;
    }).powerOn();
    machine.run(BigInt((guest.address('trap') - ramBase) / 4));
    let expected: bigint | undefined;
    while (expected === undefined) {
      const until = machine.count + BigInt(random.between(1, 3000));
      const due = new GuestClock(engine!.memory).countAt(wanted);
      machine.run(until);
      if (due <= until) expected = due;
      else {
        const [rate, span] = [random.between(1 << 12, 1 << 23), random.below(4000)];
        machine.apply({ kind: 'clock', time: machine.time + BigInt(random.below(9)), rate, span });
        if (machine.time >= wanted) expected = machine.count;
      }
    }
    machine.run(machine.count + 50n);
    // The interrupt itself is one count; the first instruction of the handler reads the next.
    assert.equal(results(engine!, 2)[0], expected! + 1n, `seed ${seed}`);
    assert.ok(results(engine!, 2)[1]! >= wanted);
  }
});

// --- Power

test('a reset by the guest starts over, the count going on', () => {
  const guest = new Guest().csr('csrrs', csr.mcycle, { rd: t0 }).keep(t0).li(t2, 500);
  guest.label('spin').op('addi', { rd: t2, rs1: t2, imm: -1 }).to('bne', 'spin', { rs1: t2 });
  const [cycle] = found(guest.store('sw', 0x10_0000, 0x7777).stop());
  assert.ok(cycle! > 2000n && cycle! < countMax, `the last start was at ${cycle}`);
});
