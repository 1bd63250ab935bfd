import assert from 'node:assert/strict';
import test from 'node:test';
import { virtMachineMaker } from '../board/virt.ts';
import { WrappedMachine } from '../host/local/wrapped-machine.ts';
import { assemble } from '../isa/assemble.ts';
import type { Input, Output } from '../machine/effects.ts';
import type { Machine, Stop } from '../machine/machine.ts';
import { HostClock } from './clock.ts';
import type { Ports } from './ports.ts';
import { Primary } from './primary.ts';
import { timing } from './timing.ts';

/** A board with this firmware alone. */
function boardOf(words: readonly number[]): Machine {
  return virtMachineMaker({
    hartCount: 1,
    ramBytes: 16 << 20,
    bios: new Uint8Array(Uint32Array.from(words).buffer),
    kernel: new Uint8Array(64),
    bootArguments: '',
    disks: [],
    macs: [],
    epochOffset: 0n,
    randomSeed: new Uint8Array(32),
  }).powerOn();
}

/** Its firmware writes to the test finisher at once. */
const switchesItselfOff = (): Machine =>
  boardOf([
    assemble('lui', { rd: 5, imm: 0x10_0000 }),
    assemble('lui', { rd: 6, imm: 0x5000 }),
    assemble('addi', { rd: 6, rs1: 6, imm: 0x555 }),
    assemble('sw', { rs1: 5, rs2: 6 }),
  ]);

/** Its firmware sends a byte to the UART; then it waits for ever, or sends the next. */
const speaks = (then: 'waits' | 'goes on'): Machine =>
  boardOf([
    assemble('lui', { rd: 5, imm: 0x1000_0000 }),
    assemble('sb', { rs1: 5, rs2: 5 }),
    then === 'waits' ? assemble('wfi', {}) : assemble('jal', { rd: 0, imm: -4 }),
    assemble('jal', { rd: 0, imm: -4 }),
  ]);

const options = {
  vm: 'vm',
  member: { host: 'a', process: '1' },
  configuration: new Uint8Array(),
  disks: [],
};

function portsAt(now: () => number, send: (output: Output) => void): Ports {
  return {
    clock: { now },
    disks: { submit: () => assert.fail('there is no disk') },
    outputs: { send, suppressed: () => {}, announce: () => {} },
    arbiter: undefined,
    entropy: (length) => new Uint8Array(length),
    blockHash: (bytes) => bytes,
    report: () => {},
  };
}

test('a machine that is off when its copy goes live, long after its last clock sample, ends', () => {
  const machine = switchesItselfOff();
  assert.equal(machine.run(100n), 'off');
  machine.takeOutputs();
  let now = 0;
  const sent: Output[] = [];
  const ports = portsAt(
    () => now,
    (output) => sent.push(output),
  );
  const primary = new Primary(options, ports, machine, 1, new HostClock(0n, 0), undefined);
  now = 1_000_000;
  for (let step = 0; step < 3 && primary.ended === undefined; step++) primary.step();
  assert.equal(primary.ended?.kind, 'off');
  assert.equal(machine.count, 4n);
  assert.deepEqual(sent, []);
});

/** A guest that is woken by a frame, answers with one, and then computes for as long again. */
class Answering extends WrappedMachine {
  #stage: 'waits' | 'woken' | 'answered' = 'waits';
  #answers: Output[] = [];

  override apply(input: Input): void {
    if (input.kind === 'frame') this.#stage = 'woken';
  }

  run(_until: bigint, frameBytes?: number): Stop {
    if (this.#stage === 'woken') {
      this.#answers.push({
        kind: 'frame',
        port: 0,
        frame: Uint8Array.of(2),
        segmentBytes: 0,
        count: this.count,
      });
      this.#stage = 'answered';
      if (frameBytes !== undefined) return 'frame';
    }
    this.#stage = 'waits';
    return 'idle';
  }

  override takeOutputs(): Output[] {
    return this.#answers.splice(0);
  }
}

test('the answer of a guest that a frame has woken leaves before the guest goes on', () => {
  const sent: string[] = [];
  const machine = new Answering(speaks('waits'));
  const ports = portsAt(
    () => 0,
    ({ kind }) => sent.push(kind),
  );
  const primary = new Primary(options, ports, machine, 1, new HostClock(0n, 0), undefined);
  primary.step();
  for (let request = 1; request <= 2; request++) {
    primary.frame(0, Uint8Array.of(1));
    assert.ok(primary.step() <= 0, 'it goes on at once');
    assert.equal(sent.length, request);
    assert.ok(primary.step() > 0, 'and waits');
  }
  // A second frame before it waits is answered like anything that it says while it works.
  primary.frame(0, Uint8Array.of(1));
  primary.step();
  primary.frame(0, Uint8Array.of(1));
  assert.ok(primary.step() > 0);
  assert.equal(sent.length, 4);
});

for (const then of ['waits', 'goes on'] as const) {
  test(`held outputs of a machine that ${then} are sealed ${then === 'waits' ? 'at once' : 'together'}`, () => {
    let now = 0;
    const sealedAt: number[] = [];
    const ports = {
      ...portsAt(
        () => now,
        () => assert.fail('nobody has acknowledged it'),
      ),
      recording: () => sealedAt.push(now),
    };
    const primary = new Primary(options, ports, speaks(then), 1, new HostClock(0n, 0), undefined);
    primary.gate.close();
    for (now = 100; now < 2_000; now += 100) {
      const next = primary.step();
      if (primary.gate.unsealed > 0) assert.ok(next <= (sealedAt.at(-1) ?? 0) + timing.sealMicros);
    }
    const [first, second] = sealedAt;
    if (then === 'waits') assert.deepEqual(sealedAt, [100]);
    else assert.deepEqual([first, second], [timing.sealMicros, 2 * timing.sealMicros]);
  });
}
