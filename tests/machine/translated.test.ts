/**
 * What must not leak from translated code (DESIGN section 4): loops that are certainly translated,
 * and that do to themselves what a region must notice at the very next instruction. Then guests of
 * random loops (loops.ts), in every tier and with everything dropped at any time.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { SeededRandom } from '../../src/base/random.ts';
import { makeReferenceEngine } from '../../src/engine/reference.ts';
import {
  eagerEngine,
  makeInterpreter,
  type WasmEngine,
  wasmEngine,
} from '../../src/engine/wasm-engine.ts';
import { assemble } from '../../src/isa/assemble.ts';
import type { EngineMaker } from '../../src/machine/engine.ts';
import { Assembler, x } from './assembler.ts';
import { loopGuest } from './loops.ts';
import { drive, guestMaker, seen, sliced, translatingEngine, whole } from './machines.ts';
import { turmoilEvents } from './turmoil.ts';

const { a0, a1, ra, s0, s1, t0, t1, t2, zero } = x;
const ramBase = 0x8000_0000;
const eager = eagerEngine(2, { codeBytesPerModule: 0, codeBytesPerRun: 1 << 30 });

/** x10 to x17 behind so many instructions, and what the translator made. */
function run(
  image: Uint8Array,
  counts: bigint,
  make: EngineMaker,
  slice = counts,
  ramBytes = 16 << 20,
) {
  let engine: unknown;
  const machine = guestMaker({ image, ramBytes }, (layout, host) => {
    const made = make(layout, host);
    engine = made;
    return made;
  }).powerOn();
  while (machine.count < counts) {
    const end = machine.count + slice;
    machine.run(end < counts ? end : counts);
  }
  const { memory, statistics } = engine as WasmEngine;
  const view = new DataView(memory.buffer);
  const registers = Array.from({ length: 8 }, (_, n) => view.getBigUint64((10 + n) * 8, true));
  return { registers, fingerprint: machine.fingerprint(), made: statistics?.made ?? 0 };
}

/** Runs a loop in all tiers; returns the registers, which are the same in all. */
function inAllTiers(code: Assembler, counts = 2000n, ramBytes = 16 << 20): bigint[] {
  const image = code.finish();
  const translated = run(image, counts, eager, counts, ramBytes);
  assert.ok(translated.made > 0, 'nothing was translated');
  const others = {
    interpreter: run(image, counts, makeInterpreter, counts, ramBytes),
    reference: run(image, counts, makeReferenceEngine, counts, ramBytes),
    'translated, in slices': run(image, counts, eager, 37n, ramBytes),
  };
  for (const [name, { fingerprint, registers }] of Object.entries(others)) {
    assert.deepEqual(registers, translated.registers, name);
    assert.equal(fingerprint, translated.fingerprint, name);
  }
  return translated.registers;
}

const loop = (counter: number, times: number): Assembler =>
  new Assembler(ramBase).li(counter, times).li(a1, 0).li(12, 0);

/**
 * A loop that stores a word where a list says: for long into data, once into code, and into data
 * again. So the store is translated when it meets the code.
 */
function storingLoop(label: string, word: number, calls: boolean) {
  const passes = 90;
  const at = 60;
  const build = (target: number, word: number): Assembler => {
    const code = new Assembler(ramBase).li(a1, 0).li(12, 0).li(s0, passes).li(t1, word);
    code
      .li(s1, ramBase + 0x1000)
      .label('again')
      .op('ld', { rd: t0, rs1: s1 });
    code.op('sw', { rs1: t0, rs2: t1 });
    code.label('behind').op('addi', { rd: a0, rs1: a0, imm: 1 });
    if (calls) code.to('jal', 'function', { rd: ra });
    code.op('addi', { rd: s1, rs1: s1, imm: 8 }).op('addi', { rd: s0, rs1: s0, imm: -1 });
    code.to('bne', 'again', { rs1: s0 }).label('end').to('jal', 'end');
    while (code.here < ramBase + 0x1000) code.word(0);
    for (let pass = 0; pass < passes; pass++) {
      code.word(pass === at ? target : ramBase + 0x3000 + 8 * pass, 0);
    }
    while (code.here < ramBase + 0x2000) code.word(0);
    code.label('function').op('addi', { rd: a1, rs1: a1, imm: 1 }).op('jalr', { rs1: ra });
    return code;
  };
  return {
    code: build(build(0, word).address(label), word),
    before: BigInt(at),
    passes: BigInt(passes),
  };
}

test('a translated store into the instruction behind it', () => {
  const word = assemble('addi', { rd: a0, rs1: a0, imm: 5 });
  const { before, code, passes } = storingLoop('behind', word, false);
  assert.equal(inAllTiers(code)[0], before + (passes - before) * 5n);
});

test('a translated store into a function of another page, called next', () => {
  const word = assemble('addi', { rd: a1, rs1: a1, imm: 5 });
  const { before, code, passes } = storingLoop('function', word, true);
  assert.equal(inAllTiers(code)[1], before + (passes - before) * 5n);
});

test('a store into the loop, seldom, when its translation has long been in use', () => {
  const code = loop(s0, 200).la(t0, 'patched').li(s1, 0);
  code.label('again').label('patched').op('addi', { rd: a0, rs1: a0, imm: 1 });
  code.op('addi', { rd: s1, rs1: s1, imm: 1 }).op('andi', { rd: t1, rs1: s1, imm: 63 });
  code.to('bne', 'over', { rs1: t1 });
  code.op('lw', { rd: t1, rs1: t0 }).op('lui', { rd: t2, imm: 0x40_0000 });
  code.op('xor', { rd: t1, rs1: t1, rs2: t2 }).op('sw', { rs1: t0, rs2: t1 });
  code.label('over').op('addi', { rd: s0, rs1: s0, imm: -1 }).to('bne', 'again', { rs1: s0 });
  code.label('end').to('jal', 'end');
  // imm flips between 1 and 5 behind every 64 passes.
  assert.equal(inAllTiers(code)[0], 64n * 1n + 64n * 5n + 64n * 1n + 8n * 5n);
});

test('a function in another page changes while the loop that calls it is translated', () => {
  const code = loop(s0, 120)
    .li(t0, ramBase + 4096)
    .li(s1, 0)
    .label('again');
  code.op('jalr', { rd: ra, rs1: t0 }).op('addi', { rd: s1, rs1: s1, imm: 1 });
  code.op('andi', { rd: t1, rs1: s1, imm: 31 }).to('bne', 'over', { rs1: t1 });
  code.op('lw', { rd: t1, rs1: t0 }).op('lui', { rd: t2, imm: 0x20_0000 });
  code.op('xor', { rd: t1, rs1: t1, rs2: t2 }).op('sw', { rs1: t0, rs2: t1 });
  code.label('over').op('addi', { rd: s0, rs1: s0, imm: -1 }).to('bne', 'again', { rs1: s0 });
  code.label('end').to('jal', 'end');
  while (code.here < ramBase + 4096) code.word(0);
  code.op('addi', { rd: a0, rs1: a0, imm: 1 }).op('jalr', { rs1: ra });
  assert.equal(inAllTiers(code)[0], 32n * 1n + 32n * 3n + 32n * 1n + 24n * 3n);
});

test('counters and device registers in the middle of a loop', () => {
  const code = loop(s0, 60).li(t0, 0x1000_0000).li(t1, 0x0200_bff8).label('again');
  code.csr('csrrs', 0xb00, { rd: a0 }).op('addi', { rd: a1, rs1: a1, imm: 1 });
  code.op('lbu', { rd: 12, rs1: t0, imm: 5 }).csr('csrrs', 0xb02, { rd: 13 });
  code.op('ld', { rd: 14, rs1: t1 }).op('add', { rd: 15, rs1: 15, rs2: 13 });
  code.op('sb', { rs1: t0, rs2: a1 }).csr('csrrs', 0xb00, { rd: 16 });
  code.op('addi', { rd: s0, rs1: s0, imm: -1 }).to('bne', 'again', { rs1: s0 });
  code.label('end').to('jal', 'end');
  const registers = inAllTiers(code);
  assert.equal(registers[6]! - registers[0]!, 7n);
});

test('an atomic operation on a device register, in a loop: the budget is taken once', () => {
  const code = loop(s0, 60).li(t0, 0x0200_0000).label('again');
  code.op('amoadd.w', { rd: t1, rs1: t0, rs2: zero }).op('addi', { rd: a0, rs1: a0, imm: 1 });
  code.csr('csrrs', 0xb02, { rd: 13 }).op('addi', { rd: 12, rs1: 12, imm: 1 });
  code.op('addi', { rd: s0, rs1: s0, imm: -1 }).to('bne', 'again', { rs1: s0 });
  code.label('end').to('jal', 'end');
  assert.equal(inAllTiers(code)[0], 60n);
});

test('a function farther away than a region reaches, with device accesses and traps in it', () => {
  const far = ramBase + (300 << 20);
  const body = [
    assemble('lbu', { rd: 13, rs1: s1, imm: 5 }),
    assemble('addi', { rd: a0, rs1: a0, imm: 1 }),
    assemble('jalr', { rs1: ra }),
  ];
  const code = loop(s0, 100).li(t0, far).li(s1, 0x1000_0000);
  for (const [index, word] of body.entries()) {
    code.li(t1, word).op('sw', { rs1: t0, rs2: t1, imm: index * 4 });
  }
  code.label('again').op('jalr', { rd: ra, rs1: t0 }).op('addi', { rd: a1, rs1: a1, imm: 1 });
  code.op('addi', { rd: s0, rs1: s0, imm: -1 }).to('bne', 'again', { rs1: s0 });
  code.label('end').to('jal', 'end');
  assert.deepEqual(inAllTiers(code, 2000n, 320 << 20).slice(0, 2), [100n, 100n]);
});

test('straight code longer than a region is translated to its end', () => {
  const code = loop(s0, 400).label('again');
  for (let n = 0; n < 2000; n++) code.op('addi', { rd: a0, rs1: a0, imm: 1 });
  code.op('addi', { rd: s0, rs1: s0, imm: -1 }).op('jal', { imm: -4 * 2001 });
  const make = eagerEngine(50, { codeBytesPerModule: 0, codeBytesPerRun: 1 << 30 });
  const passes = 60n;
  const { made } = run(code.finish(), 2002n * passes, make);
  assert.ok(made >= 8, `${made} regions for 2000 instructions in ${passes} passes`);
});

test('code that comes by often but seldom stays interpreted', () => {
  const make = wasmEngine({
    hotLandings: 20,
    hotInstructionsMax: 200,
    codeBytesPerModule: 0,
    codeBytesPerRun: 1 << 30,
  });
  // A loop of so many instructions, landed on once in each pass.
  const madeOf = (instructions: number): number => {
    const code = loop(s0, 400).label('again');
    for (let n = 2; n < instructions; n++) code.op('addi', { rd: a0, rs1: a0, imm: 1 });
    code.op('addi', { rd: s0, rs1: s0, imm: -1 });
    code.op('jal', { imm: -4 * (instructions - 1) });
    return run(code.finish(), BigInt(instructions) * 100n, make, 50n).made;
  };
  assert.ok(madeOf(100) > 0, 'a loop of 100 instructions was not translated');
  assert.equal(madeOf(300), 0, 'a loop of 300 instructions was translated');
});

test('a page edge inside an instruction of a loop', () => {
  const code = loop(s0, 100).to('jal', 'again');
  while (code.here < ramBase + 4096 - 10) code.half(1);
  code
    .label('again')
    .op('addi', { rd: a0, rs1: a0, imm: 1 })
    .op('addi', { rd: a1, rs1: a1, imm: 2 });
  code.op('addi', { rd: 12, rs1: 12, imm: 3 }).op('addi', { rd: s0, rs1: s0, imm: -1 });
  code.to('bne', 'again', { rs1: s0 }).label('end').to('jal', 'end');
  assert.deepEqual(inAllTiers(code).slice(0, 3), [100n, 200n, 300n]);
});

test('a trap in the middle of a block: what is before it has happened, nothing behind it', () => {
  const code = new Assembler(ramBase).to('jal', 'start');
  code.label('handler').csr('csrrs', 0x341, { rd: t2 }).op('addi', { rd: t2, rs1: t2, imm: 4 });
  code.csr('csrrw', 0x341, { rs1: t2 }).csr('csrrs', 0xb02, { rd: 13 }).op('mret');
  code
    .label('start')
    .la(t0, 'handler')
    .csr('csrrw', 0x305, { rs1: t0 })
    .li(t1, 0x1234)
    .li(s0, 80)
    .li(a1, 0)
    .li(12, 0);
  code.label('again').op('addi', { rd: a0, rs1: a0, imm: 1 });
  code.op('ld', { rd: a0, rs1: t1 }).op('addi', { rd: a1, rs1: a1, imm: 1 });
  code.op('amoadd.d', { rd: a1, rs1: t1, rs2: zero }).op('addi', { rd: 12, rs1: 12, imm: 1 });
  code.op('addi', { rd: s0, rs1: s0, imm: -1 }).to('bne', 'again', { rs1: s0 });
  code.label('end').to('jal', 'end');
  assert.deepEqual(inAllTiers(code, 3000n).slice(0, 3), [80n, 80n, 80n]);
});

test('loops of all kinds: every tier, any eviction and any slicing give the same', () => {
  for (let seed = 0; seed < 24; seed++) {
    const random = new SeededRandom(seed, 3);
    const guest = loopGuest(new SeededRandom(seed));
    const events = turmoilEvents(new SeededRandom(seed, 1), 30, 700);
    const expected = seen(drive(guestMaker(guest, makeInterpreter).powerOn(), events));
    const ways: [string, EngineMaker, typeof whole][] = [
      ['translated at once', eager, whole],
      ['translated and dropped', translatingEngine(random), sliced(random, 3000)],
      ['translated, in short slices', eager, sliced(random, 60)],
    ];
    for (const [name, engine, slicer] of ways) {
      const trace = drive(guestMaker(guest, engine).powerOn(), events, { slicer });
      assert.deepEqual(seen(trace), expected, `seed ${seed}: ${name}`);
    }
  }
});
