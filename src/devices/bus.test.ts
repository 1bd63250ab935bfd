import assert from 'node:assert/strict';
import test from 'node:test';
import { Bus } from './bus.ts';
import { Clint } from './clint.ts';
import { Plic } from './plic.ts';
import { TestMachine } from './testing.ts';
import { Uart } from './uart.ts';
import { virtMap } from './virt-map.ts';

function make(): { machine: TestMachine; bus: Bus } {
  const machine = new TestMachine();
  const bus = new Bus([
    { ...virtMap.uart, device: new Uart(machine) },
    { ...virtMap.clint, device: new Clint(machine, machine) },
    { ...virtMap.plic, device: new Plic(machine) },
  ]);
  return { machine, bus };
}

test('an access reaches the device behind its address', () => {
  const { bus } = make();
  assert.equal(bus.read(0x1000_0005, 1), 0x60);
  assert.equal(bus.write(0x0c00_0028, 4, 3), true);
  assert.equal(bus.read(0x0c00_0028, 4), 3);
});

test('eight bytes are two halves', () => {
  const { machine, bus } = make();
  assert.equal(bus.write64(0x0200_4008, 0x1122_3344_5566_7788n), true);
  assert.equal(machine.timeCompare[1], 0x1122_3344_5566_7788n);
  assert.equal(bus.read64(0x0200_4008), 0x1122_3344_5566_7788n);
});

test('what no device takes faults: holes, misalignment, widths', () => {
  const { bus } = make();
  for (const [address, size] of [
    [0x1000_0100, 1],
    [0x0bff_fffc, 4],
    [0x0200_4002, 4],
    [0x0200_4000, 1],
    [0x0c00_0000, 2],
  ] as const) {
    assert.equal(bus.read(address, size), undefined);
    assert.equal(bus.write(address, size, 0), false);
  }
  assert.equal(bus.read64(0x0c00_0000), undefined);
  assert.equal(bus.read64(0x0200_4004), undefined);
  assert.equal(bus.write64(0x0c00_0000, 0n), false);
});
