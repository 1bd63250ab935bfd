import assert from 'node:assert/strict';
import test from 'node:test';
import { assemble } from '../isa/assemble.ts';
import { fAt, hart, status, xAt } from '../isa/hart-state.ts';
import type { EngineHost } from '../machine/engine.ts';
import { codePageBytes, layoutFor, pageBytes, ramBase, run } from '../machine/layout.ts';
import { makeWasmEngine } from './wasm-engine.ts';

const host: EngineHost = {
  deviceLoad: () => undefined,
  deviceStore: () => false,
  preservePage: () => {},
  breakpointHere: () => false,
  dataAccessed: () => false,
};

/** An engine with one hart in M-mode at the start of RAM, where these words lie. */
function machineMode(words: readonly number[]): { view: DataView; run(until: number): void } {
  const layout = layoutFor(4 * pageBytes);
  const engine = makeWasmEngine(layout, host);
  const view = new DataView(engine.memory.buffer);
  for (const [index, word] of words.entries()) {
    view.setUint32(layout.ramAt + 4 * index, word, true);
  }
  view.setBigUint64(hart.pc.at, BigInt(ramBase), true);
  view.setUint32(hart.privilege.at, 3, true);
  let count = 0;
  return {
    view,
    run(until) {
      view.setBigUint64(run.end.at, BigInt(until), true);
      assert.equal(engine.run(until - count), 0);
      assert.equal(view.getBigUint64(hart.pc.at, true), BigInt(ramBase + 4 * until));
      count = until;
    },
  };
}

test('a flag raised by an instruction that writes no F register makes the state dirty', () => {
  const quietNan = 0x7ff8_0000_0000_0000n;
  const half = 0x3fe0_0000_0000_0000n;
  const clean = 2n << 13n;
  const cases: readonly [name: string, value: bigint, flags: number][] = [
    ['flt.d', quietNan, 0x10],
    ['feq.d', quietNan, 0],
    ['fcvt.w.d', half, 1],
    ['fcvt.w.d', 0n, 0],
    ['fclass.d', half, 0],
  ];
  for (const [name, value, flags] of cases) {
    const { view, run } = machineMode([assemble(name, { rd: 5, rs1: 1, rs2: 2 })]);
    view.setBigUint64(hart.mstatus.at, clean, true);
    view.setBigUint64(fAt + 8, value, true);
    run(1);
    assert.equal(view.getUint32(hart.fflags.at, true), flags, name);
    const expected = flags === 0 ? clean : status.FS;
    assert.equal(view.getBigUint64(hart.mstatus.at, true) & status.FS, expected, name);
  }
});

test('what is written to a counter is what the next instruction reads', () => {
  for (const counter of [0xb00, 0xb02]) {
    const nop = assemble('addi');
    const write = assemble('csrrw', { rs1: 1, imm: counter });
    const read = assemble('csrrs', { rd: 2, imm: counter });
    const { view, run } = machineMode([nop, write, read]);
    view.setBigUint64(xAt + 8, 100n, true);
    run(3);
    assert.equal(view.getBigUint64(xAt + 16, true), 100n);
  }
});

test('with Sstc enabled nothing that software wrote stands in STIP', () => {
  const [mip, menvcfg] = [0x344, 0x30a];
  const setStip = assemble('csrrw', { rs1: 1, imm: mip });
  const enable = assemble('csrrw', { rs1: 2, imm: menvcfg });
  const read = (rd: number): number => assemble('csrrs', { rd, imm: mip });
  const { view, run } = machineMode([setStip, read(3), enable, read(4), setStip, read(5)]);
  const supervisorPending = 0x222n;
  view.setBigUint64(xAt + 8, supervisorPending, true);
  view.setBigUint64(xAt + 16, 1n << 63n, true);
  // Behind a write to menvcfg the machine looks at its timers: two runs.
  run(3);
  run(6);
  const found = [3, 4, 5].map((register) => view.getBigUint64(xAt + 8 * register, true));
  assert.deepEqual(found, [0x222n, 0x202n, 0x202n]);
});

const jumpToNextPage = assemble('jal', { imm: pageBytes });

test('code that is dropped after evictions takes nothing of RAM with it', () => {
  // Room for the code of four pages, and RAM close behind it.
  const codePages = 4;
  const whole = layoutFor(16 * pageBytes);
  const ramAt = Math.ceil((whole.codePagesAt + codePages * codePageBytes) / 65536) * 65536;
  const engine = makeWasmEngine({ ...whole, codePages, ramAt }, host);
  const view = new DataView(engine.memory.buffer);
  const ram = engine.memory.subarray(ramAt, ramAt + whole.ramBytes);
  ram.fill(0x5a);
  for (let page = 0; page < 16; page++) {
    view.setUint32(ramAt + page * pageBytes, jumpToNextPage, true);
  }
  const before = ram.slice();
  view.setBigUint64(hart.pc.at, BigInt(ramBase), true);
  view.setUint32(hart.privilege.at, 3, true);
  view.setBigUint64(run.end.at, 7n, true);
  assert.equal(engine.run(7), 0);
  assert.equal(view.getBigUint64(hart.pc.at, true), BigInt(ramBase + 7 * pageBytes));
  engine.flushCode();
  assert.ok(Buffer.compare(ram, before) === 0);
});
