import assert from 'node:assert/strict';
import test from 'node:test';
import { hart } from '../isa/hart-state.ts';
import type { EngineHost } from '../machine/engine.ts';
import { codePageBytes, layoutFor, pageBytes, ramBase, run } from '../machine/layout.ts';
import { makeWasmEngine } from './wasm-engine.ts';

const host: EngineHost = {
  deviceLoad: () => undefined,
  deviceStore: () => false,
  preservePage: () => {},
};
const jumpToNextPage = 0x0000_106f;

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
