import assert from 'node:assert/strict';
import test from 'node:test';
import { virtMachineMaker } from '../board/virt.ts';
import { assemble } from '../isa/assemble.ts';
import type { Output } from '../machine/effects.ts';
import type { Machine } from '../machine/machine.ts';
import { HostClock } from './clock.ts';
import type { Ports } from './ports.ts';
import { Primary } from './primary.ts';

/** A board whose firmware writes to the test finisher at once. */
function switchesItselfOff(): Machine {
  const words = [
    assemble('lui', { rd: 5, imm: 0x10_0000 }),
    assemble('lui', { rd: 6, imm: 0x5000 }),
    assemble('addi', { rd: 6, rs1: 6, imm: 0x555 }),
    assemble('sw', { rs1: 5, rs2: 6 }),
  ];
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

test('a machine that is off when its copy goes live, long after its last clock sample, ends', () => {
  const machine = switchesItselfOff();
  assert.equal(machine.run(100n), 'off');
  machine.takeOutputs();
  let now = 0;
  const sent: Output[] = [];
  const ports: Ports = {
    clock: { now: () => now },
    disks: { submit: () => assert.fail('there is no disk') },
    outputs: {
      send: (output) => sent.push(output),
      suppressed: () => {},
      announce: () => {},
    },
    arbiter: undefined,
    entropy: (length) => new Uint8Array(length),
    blockHash: (bytes) => bytes,
    report: () => {},
  };
  const options = {
    vm: 'vm',
    member: { host: 'a', process: '1' },
    configuration: new Uint8Array(),
    disks: [],
  };
  const primary = new Primary(options, ports, machine, 1, new HostClock(0n, 0), undefined);
  now = 1_000_000;
  for (let step = 0; step < 3 && primary.ended === undefined; step++) primary.step();
  assert.equal(primary.ended?.kind, 'off');
  assert.equal(machine.count, 4n);
  assert.deepEqual(sent, []);
});
