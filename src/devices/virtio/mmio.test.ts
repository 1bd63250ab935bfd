import assert from 'node:assert/strict';
import test from 'node:test';
import { TestMachine } from '../testing.ts';
import { VirtioConsole } from './console.ts';
import { EmptySlot } from './mmio.ts';
import { VirtioNet } from './net.ts';

function make(): VirtioNet {
  return new VirtioNet({ port: 0, mac: Uint8Array.of(1, 2, 3, 4, 5, 6) }, new TestMachine());
}

test('a slot says what it is', () => {
  const net = make();
  assert.deepEqual(
    [0, 4, 8, 12].map((offset) => net.read(offset, 4)),
    [0x74726976, 2, 1, 0x554d4551],
  );
  const empty = new EmptySlot();
  assert.deepEqual(
    [0, 4, 8, 12].map((offset) => empty.read(offset, 4)),
    [0x74726976, 2, 0, 0x554d4551],
  );
});

test('FEATURES_OK needs VERSION_1 and nothing that was not offered', () => {
  for (const [low, high, good] of [
    [0, 1, true],
    [1 << 5, 1, true],
    [0, 0, false],
    [1 << 3, 1, false],
    [0, 3, false],
  ] as const) {
    const net = make();
    net.write(0x70, 4, 3);
    net.write(0x24, 4, 0);
    net.write(0x20, 4, low);
    net.write(0x24, 4, 1);
    net.write(0x20, 4, high);
    net.write(0x70, 4, 11);
    assert.equal(net.read(0x70, 4), good ? 11 : 3);
  }
});

test('features cannot be changed after FEATURES_OK, nor a queue in use', () => {
  const net = make();
  net.write(0x24, 4, 1);
  net.write(0x20, 4, 1);
  net.write(0x70, 4, 11);
  net.write(0x20, 4, 0);
  for (const [register, value] of [
    [0x80, 0x8000_0000],
    [0x90, 0x8000_1000],
    [0xa0, 0x8000_2000],
    [0x38, 8],
    [0x44, 1],
  ] as const) {
    net.write(register, 4, value);
  }
  assert.equal(net.read(0x44, 4), 1);
  net.write(0x80, 4, 0);
  net.write(0x44, 4, 0);
  net.write(0x44, 4, 1);
  assert.equal(net.read(0x70, 4), 11);
});

test('the configuration reads in every width, all ones beyond its end', () => {
  const net = make();
  assert.equal(net.read(0x100, 1), 1);
  assert.equal(net.read(0x102, 2), 0x0403);
  assert.equal(net.read(0x104, 4), 0x0001_0605);
  assert.equal(net.read(0x108, 4), 0xffff_ffff);
  assert.equal(new VirtioConsole(new TestMachine()).read(0x100, 2), 0xffff);
});

test('a reset forgets everything', () => {
  const net = make();
  net.write(0x30, 4, 1);
  net.write(0x70, 4, 3);
  net.write(0x70, 4, 0);
  assert.deepEqual([net.read(0x70, 4), net.read(0x44, 4), net.read(0x34, 4)], [0, 0, 256]);
});
