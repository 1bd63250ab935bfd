import assert from 'node:assert/strict';
import test from 'node:test';
import { virtMachineMaker } from '../board/virt.ts';
import { assemble } from '../isa/assemble.ts';
import type { Output } from '../machine/effects.ts';
import type { Machine } from '../machine/machine.ts';
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
