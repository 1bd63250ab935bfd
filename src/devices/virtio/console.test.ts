import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { assertRestoredRunsAlike, TestMachine } from '../testing.ts';
import { VirtioConsole } from './console.ts';
import { MockDriver } from './mock-driver.ts';

const RECEIVE = 0;
const TRANSMIT = 1;
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

test('what is typed fills the buffers in order, and waits where there are none', () => {
  const machine = new TestMachine();
  const device = new VirtioConsole(machine);
  const driver = new MockDriver(device, machine.memory);
  device.receive(ascii('early '));
  driver.start(2);
  for (let index = 0; index < 2; index++) driver.offer(RECEIVE, { writable: [8] });
  device.receive(ascii('bird sings'));
  const text = (): string =>
    driver
      .collect(RECEIVE)
      .map(({ bytes }) => new TextDecoder().decode(bytes))
      .join('|');
  assert.equal(text(), 'early bi|rd sings');
  device.receive(ascii('!'));
  assert.equal(text(), '');
  driver.offer(RECEIVE, { writable: [8] });
  driver.kick(RECEIVE);
  assert.equal(text(), '!');
});

test('a restored console cannot be told from the original', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) =>
      assertRestoredRunsAlike(
        {
          make: (machine) => new VirtioConsole(machine),
          prepare: (device, machine) => {
            const driver = new MockDriver(device, machine.memory);
            driver.start(2);
            return driver;
          },
          act: (device, random, _machine, driver) => {
            driver.device = device;
            const queue = random.below(2);
            switch (random.below(5)) {
              case 0:
                return device.receive(random.bytes(random.below(40)));
              case 1:
                if (!driver.hasRoom(queue, 1)) return 'full';
                return queue === RECEIVE
                  ? driver.offer(queue, { writable: [random.between(1, 30)] })
                  : driver.offer(queue, { readable: [random.bytes(random.between(1, 30))] });
              case 2:
                return driver.kick(queue);
              case 3:
                if (random.chance(0.05)) device.reset();
                if (driver.status === 0) driver.start(2);
                return driver.acknowledge();
              default:
                return driver.collect(queue === RECEIVE ? RECEIVE : TRANSMIT).length;
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
