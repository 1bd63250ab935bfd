import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { assertRestoredRunsAlike, TestMachine } from '../testing.ts';
import { VirtioEntropy } from './entropy.ts';
import { MockDriver } from './mock-driver.ts';

function make(): { machine: TestMachine; device: VirtioEntropy; driver: MockDriver } {
  const machine = new TestMachine();
  const device = new VirtioEntropy(machine);
  const driver = new MockDriver(device, machine.memory);
  driver.start(1);
  return { machine, device, driver };
}

test('answers fill the buffers in the order in which they were offered', () => {
  const { machine, device, driver } = make();
  const first = driver.offer(0, { writable: [4] });
  const second = driver.offer(0, { writable: [2, 3] });
  driver.kick(0);
  assert.deepEqual(machine.outputs, [
    { kind: 'entropy', length: 4 },
    { kind: 'entropy', length: 5 },
  ]);
  assert.equal(device.pendingBytes, 9);
  device.receive(Uint8Array.of(1, 2, 3, 4));
  assert.deepEqual(driver.collect(0), [{ head: first, bytes: Uint8Array.of(1, 2, 3, 4) }]);
  device.receive(Uint8Array.of(5, 6, 7, 8, 9, 10));
  assert.deepEqual(driver.collect(0), [{ head: second, bytes: Uint8Array.of(5, 6, 7, 8, 9) }]);
  assert.equal(device.pendingBytes, 0);
});

test('the answer to a request from before a reset goes nowhere', () => {
  const { device, driver } = make();
  driver.offer(0, { writable: [4] });
  driver.kick(0);
  driver.start(1);
  const head = driver.offer(0, { writable: [2] });
  driver.kick(0);
  device.receive(Uint8Array.of(1, 2, 3, 4));
  assert.deepEqual(driver.collect(0), []);
  device.receive(Uint8Array.of(5, 6));
  assert.deepEqual(driver.collect(0), [{ head, bytes: Uint8Array.of(5, 6) }]);
});

test('a restored entropy device cannot be told from the original', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) =>
      assertRestoredRunsAlike(
        {
          make: (machine) => new VirtioEntropy(machine),
          prepare: (device, machine) => {
            const driver = new MockDriver(device, machine.memory);
            driver.start(1);
            return driver;
          },
          act: (device, random, _machine, driver) => {
            driver.device = device;
            switch (random.below(5)) {
              case 0:
                return device.receive(random.bytes(random.below(40)));
              case 1:
                if (!driver.hasRoom(0, 1)) return 'full';
                return driver.offer(0, { writable: [random.between(1, 30)] });
              case 2:
                return driver.kick(0);
              case 3:
                if (random.chance(0.1)) driver.start(1);
                return device.pendingBytes;
              default:
                return driver.collect(0).map(({ bytes }) => bytes.join());
            }
          },
          acts: 150,
        },
        seed,
      ),
    ),
    { numRuns: 25 },
  );
});
