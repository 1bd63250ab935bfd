import assert from 'node:assert/strict';
import test from 'node:test';
import { makeReferenceEngine } from '../engine/reference.ts';
import { eagerEngine, makeWasmEngine } from '../engine/wasm-engine.ts';
import { assemble } from '../isa/assemble.ts';
import type { EngineMaker } from './engine.ts';
import { ramBase } from './layout.ts';
import type { Machine } from './machine.ts';
import { type MachineParts, RiscvMachine } from './riscv-machine.ts';

const deviceAt = 0x1000_0000;
const [x5, x6, x7, x8] = [5, 6, 7, 8];

/**
 * One hart in M-mode at these words; one device, which writes to the start of RAM when told at 8,
 * and sends a frame when told its length at 12.
 */
function parts(words: readonly number[], makeEngine: EngineMaker = makeWasmEngine): MachineParts {
  const bytes = new Uint8Array(4 * words.length);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of words.entries()) view.setUint32(4 * index, word, true);
  return {
    version: 1,
    hartCount: 1,
    ramBytes: 1 << 20,
    bootImages: () => [{ address: BigInt(ramBase), bytes }],
    entry: BigInt(ramBase),
    deviceTree: 0n,
    firmware: 'image',
    firmwareInformation: 0n,
    makeEngine,
    makePeripherals: ({ memory, emit }) => ({
      read: () => undefined,
      write(physical, _bytes, value) {
        if (physical === BigInt(deviceAt + 8)) memory.write(BigInt(ramBase), Uint8Array.of(1));
        else if (physical === BigInt(deviceAt + 12)) {
          emit({ kind: 'frame', port: 0, frame: new Uint8Array(Number(value)), segmentBytes: 0 });
        } else emit({ kind: 'console', bytes: Uint8Array.of(Number(value & 0xffn)) });
        return true;
      },
      apply: () => {},
      takesSegments: () => false,
      pendingDiskRequests: () => [],
      awaitsDiskRequest: () => false,
      wakeTime: () => undefined,
      tick: () => {},
      reset: () => {},
      save: () => {},
      restore: () => {},
    }),
  };
}

function restored(made: MachineParts, machine: RiscvMachine): Machine {
  const checkpoint = machine.checkpoint();
  const restore = RiscvMachine.restore(made);
  for (let chunk = checkpoint.next(4096); chunk; chunk = checkpoint.next(4096)) restore.add(chunk);
  return restore.finish();
}

function throughCheckpoint(made: MachineParts, machine: RiscvMachine): bigint {
  return restored(made, machine).fingerprint();
}

test('a restored machine boots the same images when it is reset', () => {
  const words = [
    assemble('addi', { rd: x5, rs1: x5, imm: 1 }),
    assemble('jal', { rd: 0, imm: -4 }),
  ];
  const made = parts(words);
  const machine = new RiscvMachine(made);
  machine.run(10n);
  const copy = restored(made, machine);
  for (const one of [machine, copy]) {
    one.apply({ kind: 'control', action: 'reset' });
    one.run(20n);
  }
  assert.equal(copy.fingerprint(), machine.fingerprint());
});

test('a run that ends at some frames is cut behind them, which changes nothing', () => {
  const words = [
    assemble('lui', { rd: x6, imm: deviceAt }),
    assemble('addi', { rd: x5, rs1: x5, imm: 20 }),
    assemble('sw', { rs1: x6, rs2: x5, imm: 12 }),
    assemble('addi', { rd: x7, rs1: x7, imm: 3 }),
    assemble('sw', { rs1: x6, rs2: 0, imm: 12 }),
    assemble('jal', { rd: 0, imm: -16 }),
  ];
  for (const makeEngine of [makeWasmEngine, eagerEngine(1), makeReferenceEngine]) {
    const made = parts(words, makeEngine);
    const whole = new RiscvMachine(made);
    assert.equal(whole.run(1_000n), 'budget');
    const cut = new RiscvMachine(made);
    const ends: bigint[] = [];
    while (cut.run(1_000n, (frame) => frame.length >= 60) === 'frame') ends.push(cut.count);
    assert.equal(cut.count, 1_000n);
    assert.deepEqual(ends.slice(0, 3), [13n, 18n, 23n]);
    const outputs = whole.takeOutputs();
    assert.deepEqual(cut.takeOutputs(), outputs);
    const long = outputs.filter((output) => output.kind === 'frame' && output.frame.length >= 60);
    assert.deepEqual(
      ends,
      long.map(({ count }) => count + 1n),
    );
    assert.equal(cut.fingerprint(), whole.fingerprint());
  }
});

test('what a device writes when it is told to ends the reservation of the hart that tells it', () => {
  for (const makeEngine of [makeWasmEngine, makeReferenceEngine]) {
    const said = [4, 8].map((offset) => {
      const words = [
        assemble('auipc', { rd: x5 }),
        assemble('lui', { rd: x6, imm: deviceAt }),
        assemble('lr.d', { rd: x7, rs1: x5 }),
        assemble('sw', { rs1: x6, rs2: 0, imm: offset }),
        assemble('sc.d', { rd: x7, rs1: x5, rs2: x5 }),
        assemble('addi', { rd: x7, rs1: x7, imm: 0x30 }),
        assemble('sw', { rs1: x6, rs2: x7 }),
      ];
      const machine = new RiscvMachine(parts(words, makeEngine));
      machine.run(BigInt(words.length));
      const last = machine.takeOutputs().at(-1);
      return last?.kind === 'console' && String.fromCharCode(last.bytes.at(-1)!);
    });
    assert.deepEqual(said, ['0', '1']);
  }
});

test('a page whose first store fills an entry of a table that was walked empty is saved', () => {
  const [satp, mstatus, mtvec] = [0x180, 0x300, 0x305];
  const handler = 14;
  const words = [
    assemble('auipc', { rd: x5 }),
    assemble('lui', { rd: x6, imm: 0x8_0000 }),
    assemble('add', { rd: x6, rs1: x6, rs2: x5 }),
    assemble('srli', { rd: x7, rs1: x6, imm: 12 }),
    assemble('addi', { rd: x8, imm: 8 }),
    assemble('slli', { rd: x8, rs1: x8, imm: 60 }),
    assemble('or', { rd: x7, rs1: x7, rs2: x8 }),
    assemble('csrrw', { rs1: x7, imm: satp }),
    assemble('addi', { rd: x7, rs1: x5, imm: 4 * handler }),
    assemble('csrrw', { rs1: x7, imm: mtvec }),
    // Loads are made as S-mode makes them, until the trap.
    assemble('lui', { rd: x7, imm: 0x2_1000 }),
    assemble('addi', { rd: x7, rs1: x7, imm: -0x800 }),
    assemble('csrrs', { rs1: x7, imm: mstatus }),
    assemble('ld', { rd: x7 }),
    // The handler: the root's first entry.
    assemble('sd', { rs1: x6, rs2: x6 }),
    assemble('jal'),
  ];
  const made = parts(words);
  const machine = new RiscvMachine(made);
  machine.apply({ kind: 'control', action: 'reset' });
  machine.run(20n);
  assert.equal(throughCheckpoint(made, machine), machine.fingerprint());
});

test('a checkpoint reads a bounded stretch of zeros at a time, and all that lies behind them', () => {
  const ramBytes = 16 << 20;
  const last = ramBase + ramBytes - 4096;
  const zeros = new Uint8Array(ramBytes - 8192);
  const made = {
    ...parts([assemble('jal')]),
    ramBytes,
    bootImages: () => [
      { address: BigInt(ramBase + 4096), bytes: zeros },
      { address: BigInt(last), bytes: Uint8Array.of(7) },
    ],
  };
  const machine = new RiscvMachine(made);
  assert.equal(throughCheckpoint(made, machine), machine.fingerprint());
  const whole = machine.checkpoint();
  let filled = 0;
  for (let chunk = whole.next(1 << 20); chunk; chunk = whole.next(1 << 20)) {
    if (chunk.length > 0) filled++;
  }
  assert.equal(filled, 2);
  const checkpoint = machine.checkpoint();
  checkpoint.next(1);
  const before = checkpoint.bytesLeft;
  assert.equal(checkpoint.next(1 << 20)?.length, 0);
  assert.equal(before - checkpoint.bytesLeft, 4096 + (1 << 20));
});

test('checkpoints that overlap in time are each the machine at its own count', () => {
  const store = 1 << 14;
  const made = parts([
    // Through RAM in steps of a page, again and again, with a value that is always new.
    assemble('lui', { rd: x6, imm: 0x80010 << 12 }),
    assemble('lui', { rd: x7, imm: 0x800f0 << 12 }),
    assemble('lui', { rd: x8, imm: 1 << 12 }),
    assemble('addi', { rd: x5, rs1: x5, imm: 1 }),
    assemble('sd', { rs1: x6, rs2: x5, imm: 0 }),
    assemble('add', { rd: x6, rs1: x6, rs2: x8 }),
    assemble('bltu', { rs1: x6, rs2: x7, imm: -12 }),
    assemble('jal', { rd: 0, imm: -28 }),
  ]);
  for (const [first, second] of [
    [40n, 3n],
    [500n, 700n],
    [BigInt(store), 90n],
  ] as const) {
    const machine = new RiscvMachine(made);
    const copies: { readonly fingerprint: bigint; readonly chunks: Uint8Array[] }[] = [];
    const checkpoints = [first, second].map((counts) => {
      machine.run(machine.count + counts);
      const chunks: Uint8Array[] = [];
      copies.push({ fingerprint: machine.fingerprint(), chunks });
      return { checkpoint: machine.checkpoint(), chunks };
    });
    const abandoned = machine.checkpoint();
    abandoned.next(8192);
    const left = new Set(checkpoints);
    for (let turn = 0; left.size > 0; turn++) {
      for (const one of left) {
        const chunk = one.checkpoint.next(turn % 3 === 0 ? 20_000 : 4096);
        if (chunk === undefined) left.delete(one);
        else one.chunks.push(chunk);
        machine.run(machine.count + 97n);
      }
      if (turn === 5) abandoned.cancel();
    }
    for (const { fingerprint, chunks } of copies) {
      const restore = RiscvMachine.restore(made);
      for (const chunk of chunks) restore.add(chunk);
      assert.equal(restore.finish().fingerprint(), fingerprint);
    }
  }
});
test('behind a checkpoint a fingerprint hashes only what was stored since, on both sides', () => {
  const pages = 64;
  // Stores into the sixteenth page, again and again.
  const words = [
    assemble('auipc', { rd: x5 }),
    assemble('lui', { rd: x6, imm: 0x1_0000 }),
    assemble('add', { rd: x5, rs1: x5, rs2: x6 }),
    assemble('addi', { rd: x7, rs1: x7, imm: 1 }),
    assemble('sd', { rs1: x5, rs2: x7 }),
    assemble('jal', { rd: 0, imm: -8 }),
  ];
  let hashed = 0;
  const counting: EngineMaker = (layout, host) => {
    const engine = makeWasmEngine(layout, host);
    const hashPage = engine.hashPage.bind(engine);
    engine.hashPage = (page) => {
      hashed++;
      return hashPage(page);
    };
    return engine;
  };
  const bytes = new Uint8Array(pages * 4096).fill(7);
  const plain = parts(words, counting);
  const made = {
    ...plain,
    bootImages: () => [{ address: BigInt(ramBase), bytes }, ...plain.bootImages()],
  };
  const [machine, alone] = [new RiscvMachine(made), new RiscvMachine(made)];
  for (const one of [machine, alone]) one.run(20n);
  const checkpoint = machine.checkpoint();
  const restore = RiscvMachine.restore(made);
  for (let chunk = checkpoint.next(4096); chunk; chunk = checkpoint.next(4096)) {
    restore.add(chunk);
    // What has been passed and hashed is stored into again.
    machine.run(machine.count + 10n);
  }
  const copy = restore.finish();
  const expected = [alone, copy].map((one) => {
    one.run(machine.count);
    return one.fingerprint();
  });
  hashed = 0;
  assert.equal(machine.fingerprint(), expected[0]);
  assert.equal(hashed, 1);
  assert.equal(copy.fingerprint(), expected[1]);
  assert.equal(expected[0], expected[1]);
  const again = RiscvMachine.restore(made);
  for (const chunk of chunksOf(machine)) again.add(chunk);
  const fresh = again.finish();
  hashed = 0;
  assert.equal(fresh.fingerprint(), expected[0]);
  assert.equal(hashed, 0);
});

function* chunksOf(machine: RiscvMachine): Generator<Uint8Array> {
  const checkpoint = machine.checkpoint();
  for (let chunk = checkpoint.next(4096); chunk; chunk = checkpoint.next(4096)) yield chunk;
}
