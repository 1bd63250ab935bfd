import assert from 'node:assert/strict';
import test from 'node:test';
import { ByteReader } from '../base/bytes.ts';
import { makeReferenceEngine } from '../engine/reference.ts';
import { makeWasmEngine } from '../engine/wasm-engine.ts';
import { assemble } from '../isa/assemble.ts';
import type { EngineMaker } from './engine.ts';
import { ramBase } from './layout.ts';
import { RiscvMachine } from './riscv-machine.ts';

const deviceAt = 0x1000_0000;

/** Whether SC succeeds after a store to a device, which writes memory when told at offset 8. */
function succeeds(makeEngine: EngineMaker, offset: number): boolean {
  const [x5, x6, x7] = [5, 6, 7];
  const words = [
    assemble('auipc', { rd: x5 }),
    assemble('lui', { rd: x6, imm: deviceAt }),
    assemble('lr.d', { rd: x7, rs1: x5 }),
    assemble('sw', { rs1: x6, rs2: x6, imm: offset }),
    assemble('sc.d', { rd: x7, rs1: x5, rs2: x5 }),
    assemble('sd', { rs1: x5, rs2: x7, imm: 64 }),
    assemble('jal'),
  ];

  const machine = new RiscvMachine({
    version: 1,
    hartCount: 1,
    ramBytes: 1 << 20,
    bootImages: [
      { address: BigInt(ramBase), bytes: new Uint8Array(Uint32Array.from(words).buffer) },
    ],
    entry: BigInt(ramBase),
    deviceTree: 0n,
    firmware: 'image',
    firmwareInformation: 0n,
    makeEngine,
    makePeripherals: ({ memory }) => ({
      read: () => undefined,
      write(physical) {
        if (physical === BigInt(deviceAt + 8)) memory.write(BigInt(ramBase), Uint8Array.of(1));
        return true;
      },
      apply: () => {},
      pendingDiskRequests: () => [],
      wakeTime: () => undefined,
      tick: () => {},
      reset: () => {},
      save: () => {},
      restore: () => {},
    }),
  });
  machine.run(7n);
  const chunks = machine.checkpoint();
  chunks.next(1);
  const page = new ByteReader(chunks.next(1)!);
  assert.equal(page.varint(), 0);
  return new DataView(page.raw(4096).slice().buffer).getBigUint64(64, true) === 0n;
}

test('what a device writes when it is told to ends the reservation of the hart that tells it', () => {
  for (const makeEngine of [makeWasmEngine, makeReferenceEngine]) {
    assert.equal(succeeds(makeEngine, 4), true);
    assert.equal(succeeds(makeEngine, 8), false);
  }
});
