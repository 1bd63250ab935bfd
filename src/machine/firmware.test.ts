import assert from 'node:assert/strict';
import test from 'node:test';
import { hart } from '../isa/hart-state.ts';
import { type FirmwareContext, firmwareCall, hsm, startSupervisor } from './firmware.ts';
import { Harts, supervisorSoftware } from './harts.ts';
import { layoutFor, parkedEndsAt, parkedTlb, ramBase } from './layout.ts';

const [HSM, IPI, RFENCE, SRST, DBCN] = [0x48534d, 0x735049, 0x52464e43, 0x53525354, 0x4442434e];
const notSupported = -2n;
const invalidParameter = -3n;
const invalidAddress = -5n;
const alreadyAvailable = -6n;
const all = -1n;

/** Hart 0 of three runs, the others are stopped; RAM has 64 bytes. */
function make() {
  const memory = new Uint8Array(layoutFor(1 << 20).ramAt);
  const harts = new Harts(memory, 3);
  for (const index of [0, 1, 2]) startSupervisor(harts, index, 0n, 0n);
  for (const index of [1, 2]) harts.setWord(index, hart.hsmState, hsm.stopped);
  const said: (string | Uint8Array)[] = [];
  const ram = Uint8Array.from({ length: 64 }, (_, at) => at);
  const context: FirmwareContext = {
    harts,
    readRam(address, length) {
      const at = Number(address) - ramBase;
      return at >= 0 && at + length <= ram.length ? ram.subarray(at, at + length) : undefined;
    },
    consoleOutput: (bytes) => said.push(bytes),
    power: (action) => said.push(action),
  };
  const call = (extension: number, number: number, ...args: (number | bigint)[]) => {
    const registers = [...args, 0, 0, 0].slice(0, 3);
    for (const [index, value] of registers.entries()) {
      harts.setX(harts.running, 10 + index, BigInt.asUintN(64, BigInt(value)));
    }
    harts.setX(harts.running, 16, BigInt(number));
    harts.setX(harts.running, 17, BigInt(extension));
    firmwareCall(context);
    const [error, value] = [harts.x(harts.running, 10), harts.x(harts.running, 11)];
    return [BigInt.asIntN(64, error), value] as const;
  };
  const pending = (): number[] =>
    [0, 1, 2].filter((index) => harts.get(index, hart.mipSoftware) & supervisorSoftware);
  return { memory, harts, call, said, pending };
}

test('a mask names harts from its base on; all ones name all; a hart that is not there none', () => {
  const { call, pending } = make();
  assert.deepEqual(call(IPI, 0, 0b10, 1), [0n, 0n]);
  assert.deepEqual(pending(), [2]);
  for (const [mask, base] of [
    [0b1001, 0],
    [1, 3],
    [2, -2],
  ] as const) {
    assert.deepEqual(call(IPI, 0, mask, base), [invalidParameter, 0n]);
    assert.deepEqual(call(RFENCE, 1, mask, base), [invalidParameter, 0n]);
  }
  assert.deepEqual(pending(), [2]);
  assert.deepEqual(call(RFENCE, 0, 0b111, 0), [0n, 0n]);
  assert.deepEqual(call(RFENCE, 3, 0b111, 0), [notSupported, 0n]);
  assert.deepEqual(call(IPI, 0, 0, all), [0n, 0n]);
  assert.deepEqual(pending(), [0, 1, 2]);
});

test('a hart is started once, where there is RAM, with its number and what it was given', () => {
  const { harts, call, memory } = make();
  assert.deepEqual(call(HSM, 0, 3, ramBase, 7), [invalidParameter, 0n]);
  assert.deepEqual(call(HSM, 0, all, ramBase, 7), [invalidParameter, 0n]);
  assert.deepEqual(call(HSM, 0, 1, 0x1000, 7), [invalidAddress, 0n]);
  assert.deepEqual(call(HSM, 2, 1), [0n, 1n]);
  harts.set(1, hart.mipLines, 1n << 9n);
  const kept = [1, 2].map((index) => parkedEndsAt + index * parkedTlb.endBytes);
  for (const at of kept) memory.fill(1, at, at + parkedTlb.endBytes);
  assert.deepEqual(call(HSM, 0, 1, ramBase + 4, 7), [0n, 0n]);
  assert.deepEqual(call(HSM, 2, 1), [0n, 0n]);
  assert.deepEqual(
    [harts.get(1, hart.pc), harts.x(1, 10), harts.x(1, 11)],
    [BigInt(ramBase + 4), 1n, 7n],
  );
  assert.equal(harts.get(1, hart.mipLines), 1n << 9n, 'wires are not reset');
  const sums = kept.map((at) =>
    memory.subarray(at, at + parkedTlb.endBytes).reduce((a, b) => a + b),
  );
  assert.deepEqual(sums, [0, 8], 'its translations of before are, and only its');
  assert.deepEqual(call(HSM, 0, 1, ramBase, 7), [alreadyAvailable, 0n]);
  assert.deepEqual(call(HSM, 2, 3), [invalidParameter, 0n]);
});

test('a hart that stops itself is stopped; one that suspends itself waits', () => {
  const { harts, call } = make();
  assert.deepEqual(call(HSM, 3, 0x8000_0000), [notSupported, 0n]);
  assert.equal(harts.getWord(0, hart.waiting), 0);
  assert.deepEqual(call(HSM, 3, 0), [0n, 0n]);
  assert.equal(harts.getWord(0, hart.waiting), 1);
  call(HSM, 1);
  assert.equal(harts.getWord(0, hart.hsmState), hsm.stopped);
});

test('reset and console take what the specification defines and nothing else', () => {
  const { call, said } = make();
  assert.deepEqual(call(SRST, 0, 3, 0), [invalidParameter, 0n]);
  assert.deepEqual(call(SRST, 0, 0, 2), [invalidParameter, 0n]);
  assert.deepEqual(call(DBCN, 0, 65, ramBase, 0), [invalidParameter, 0n]);
  assert.deepEqual(call(DBCN, 0, 1, ramBase, 1), [invalidParameter, 0n]);
  assert.deepEqual(call(DBCN, 0, 0, ramBase, 0), [0n, 0n]);
  assert.deepEqual(said, []);
  assert.deepEqual(call(DBCN, 0, 2, ramBase + 62, 0), [0n, 2n]);
  call(DBCN, 2, 0x141);
  call(SRST, 0, 0, 1);
  assert.deepEqual(said, [Uint8Array.of(62, 63), Uint8Array.of(0x41), 'failed']);
  assert.deepEqual(call(0x1234, 0), [notSupported, 0n]);
  assert.deepEqual(call(DBCN, 99), [notSupported, 0n]);
});
