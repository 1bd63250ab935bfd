import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { SeededRandom } from '../../base/random.ts';
import { assertRestoredRunsAlike, TestMachine } from '../testing.ts';
import { VirtioBlock } from './block.ts';
import { VirtioConsole } from './console.ts';
import { VirtioEntropy } from './entropy.ts';
import { MockDriver, type Offer } from './mock-driver.ts';
import { VirtioNet } from './net.ts';

/** A console: its transmit queue (1) turns every readable buffer into an output. */
function make(features?: readonly number[]): { machine: TestMachine; driver: MockDriver } {
  const machine = new TestMachine();
  const device = new VirtioConsole(machine);
  const driver = new MockDriver(device, machine.memory);
  driver.start(2, features);
  return { machine, driver };
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

function sent(machine: TestMachine): number[][] {
  return machine.outputs.splice(0).map((output) => {
    assert.equal(output.kind, 'console');
    return output.kind === 'console' ? [...output.bytes] : [];
  });
}

for (const indirect of [false, true]) {
  test(`a chain of several buffers is one message (${indirect ? 'indirect' : 'direct'})`, () => {
    const { machine, driver } = make();
    const head = driver.offer(1, { readable: [bytes(1, 2), bytes(3), bytes(4, 5)], indirect });
    driver.kick(1);
    assert.deepEqual(sent(machine), [[1, 2, 3, 4, 5]]);
    assert.deepEqual(driver.collect(1), [{ head, bytes: bytes() }]);
    assert.ok(machine.interrupt);
    assert.equal(driver.acknowledge(), 1);
    assert.equal(machine.interrupt, false);
  });
}

test('the indices run through 65,536 chains and beyond', () => {
  const { machine, driver } = make();
  for (let round = 0; round < 9_000; round++) {
    for (let index = 0; index < 8; index++) driver.offer(1, { readable: [bytes(index)] });
    driver.kick(1);
    assert.equal(driver.collect(1).length, 8);
    assert.equal(machine.outputs.splice(0).length, 8);
  }
  assert.equal(driver.kickAt(1), 72_000 & 0xffff);
});

test('with event indices, an interrupt comes only when the driver has caught up', () => {
  const { machine, driver } = make();
  const send = (): boolean => {
    driver.offer(1, { readable: [bytes(0)] });
    driver.kick(1);
    return driver.acknowledge() === 1;
  };
  assert.equal(send(), true);
  assert.equal(send(), false); // The first is not collected yet.
  driver.collect(1);
  assert.equal(send(), true);
  assert.equal(machine.interrupt, false);
});

test("without event indices, the driver's flag decides", () => {
  const { driver } = make([32]);
  const driverFlags = 0x1000 + 0x400;
  for (const [flags, causes] of [
    [0, 1],
    [1, 0],
    [0, 1],
  ] as const) {
    driver.poke16(driverFlags, flags);
    driver.offer(1, { readable: [bytes(0)] });
    driver.kick(1);
    assert.equal(driver.acknowledge(), causes);
  }
});

/** Ways to break a ring of one good offer. Queue 1 lies at 0x1000; see the mock driver's layout. */
const crimes: readonly [string, (driver: MockDriver) => void][] = [
  ['an index that runs ahead', (driver) => driver.poke16(0x1402, 17)],
  ['a head beyond the table', (driver) => driver.poke16(0x1404, 16)],
  [
    'a loop',
    (driver) => {
      driver.poke16(0x100c, 1);
      driver.poke16(0x100e, 0);
    },
  ],
  [
    'a next beyond the table',
    (driver) => {
      driver.poke16(0x100c, 1);
      driver.poke16(0x100e, 99);
    },
  ],
  ['a buffer outside RAM', (driver) => driver.poke16(0x1006, 0x8000)],
  ['a buffer that ends outside RAM', (driver) => driver.poke16(0x100a, 0x7fff)],
  [
    'an empty buffer',
    (driver) => {
      driver.poke16(0x1008, 0);
      driver.poke16(0x100a, 0);
    },
  ],
  ['an indirect table of a broken length', (driver) => driver.poke16(0x100c, 4)],
];

for (const [crime, commit] of crimes) {
  test(`${crime} asks for a reset, after which all is well`, () => {
    const { machine, driver } = make();
    driver.offer(1, { readable: [bytes(1, 2, 3)] });
    commit(driver);
    driver.kick(1);
    assert.equal(driver.status, 0x4f);
    assert.equal(driver.acknowledge(), 2);
    assert.deepEqual(sent(machine), []);
    driver.kick(1);
    assert.equal(machine.interrupt, false);
    driver.start(2);
    driver.offer(1, { readable: [bytes(7)] });
    driver.kick(1);
    assert.deepEqual(sent(machine), [[7]]);
    assert.equal(driver.status, 0x0f);
  });
}

test('an indirect table that points to another is refused', () => {
  const { driver, machine } = make();
  driver.offer(1, { readable: [bytes(1)], indirect: true });
  const table = Number(machine.memory.bytes[0x1000]! | (machine.memory.bytes[0x1001]! << 8));
  driver.poke16(table + 12, 4);
  driver.poke16(table + 8, 16);
  driver.kick(1);
  assert.equal(driver.status, 0x4f);
});

test('a descriptor that is indirect and has a next is refused', () => {
  const { driver } = make();
  driver.offer(1, { readable: [bytes(1)], indirect: true });
  driver.poke16(0x100c, 5);
  driver.kick(1);
  assert.equal(driver.status, 0x4f);
});

test('rings outside RAM or misaligned are refused', () => {
  const { driver } = make();
  for (const [register, value] of [
    [0x080, 0x8000_0008],
    [0x080, 0x7fff_0000],
    [0x090, 0x8000_ffff],
    [0x0a0, 0x8000_fff0],
  ] as const) {
    driver.start(2);
    driver.register(0x044, 0);
    driver.register(register, value);
    driver.register(0x044, 1);
    assert.equal(driver.status, 0x4f);
  }
});

/**
 * Any device; offers good and bad, pokes into the rings, writes to any register: nothing throws and
 * no walk is endless.
 */
const makers = {
  net: (machine: TestMachine) => new VirtioNet({ port: 0, mac: new Uint8Array(6) }, machine),
  block: (machine: TestMachine) => new VirtioBlock({ disk: 0, capacity: 2 ** 20 }, machine),
  console: (machine: TestMachine) => new VirtioConsole(machine),
  entropy: (machine: TestMachine) => new VirtioEntropy(machine),
} as const;
type AnyDevice = ReturnType<(typeof makers)[keyof typeof makers]>;

const queuesOf = (device: AnyDevice): number =>
  device instanceof VirtioNet || device instanceof VirtioConsole ? 2 : 1;

function hostileAct(
  device: AnyDevice,
  random: SeededRandom,
  machine: TestMachine,
  driver: MockDriver,
): string {
  driver.device = device;
  const queue = random.below(queuesOf(device));
  const act = random.below(20);
  if (driver.status !== 0x0f || !driver.hasRoom(queue, 4)) {
    driver.start(queuesOf(device), random.pick([[32], [28, 32], [28, 29, 32]]));
  } else if (act < 8) {
    driver.offer(queue, randomOffer(random));
  } else if (act < 12) {
    driver.kick(queue);
  } else if (act < 15) {
    input(device, random);
  } else if (act === 15) {
    corruptDescriptor(machine, driver, random, queue);
  } else if (act === 16) {
    driver.poke16(queue * 0x1000 + 0x400 + 2 * random.below(20), random.below(20));
  } else if (act === 17) {
    const value = random.chance(0.5) ? random.below(4) : random.u32();
    device.write(4 * random.below(0x40), 4, value);
  } else {
    return `${device.read(4 * random.below(0x50), 4)}`;
  }
  return `${driver.status}`;
}

function randomOffer(random: SeededRandom): Offer {
  const header = new Uint8Array(16);
  header[0] = random.pick([0, 0, 1, 1, 4, 8, 11, 99]);
  header[8] = random.below(8);
  const lengths = [1, 16, 20, 512, 1024];
  return {
    readable: [header, random.bytes(random.pick(lengths))].slice(random.below(2)),
    writable: random.pick([[], [random.pick(lengths)], [random.pick(lengths), 1]]),
    indirect: random.chance(0.3),
  };
}

function input(device: AnyDevice, random: SeededRandom): void {
  if (device instanceof VirtioNet) {
    device.deliver(random.bytes(random.between(14, 200)));
  } else if (device instanceof VirtioBlock) {
    const pending = device.pendingRequests;
    if (pending.length === 0) return;
    const { request, action, length } = random.pick(pending);
    const ok = random.chance(0.8);
    const data = random.bytes(ok && action === 'read' ? length : 0);
    device.complete({ kind: 'disk', disk: 0, request, ok, data });
  } else {
    device.receive(random.bytes(random.below(50)));
  }
}

function corruptDescriptor(
  machine: TestMachine,
  driver: MockDriver,
  random: SeededRandom,
  queue: number,
): void {
  const at = queue * 0x1000 + 16 * random.below(16);
  const address = machine.memory.base + BigInt(random.below(0x1_1000));
  new DataView(machine.memory.bytes.buffer).setBigUint64(at, address, true);
  driver.poke16(at + 8, random.pick([0, 1, 16, 17, 64, 512, 528]));
  driver.poke16(at + 10, random.pick([0, 0, 0, 1, 0xffff]));
  driver.poke16(at + 12, random.below(8));
  driver.poke16(at + 14, random.below(17));
}

for (const [name, make] of Object.entries(makers)) {
  test(`a hostile driver of the ${name} device breaks nothing, nor does restoring under it`, () => {
    fc.assert(
      fc.property(fc.integer(), (seed) =>
        assertRestoredRunsAlike<AnyDevice, MockDriver>(
          {
            make,
            prepare: (device, machine) => new MockDriver(device, machine.memory),
            act: hostileAct,
            acts: 250,
          },
          seed,
        ),
      ),
      { numRuns: 25 },
    );
  });

  test(`the hostile driver does reach the ${name} device`, () => {
    let outputs = 0;
    let broken = 0;
    for (let seed = 0; seed < 10; seed++) {
      const machine = new TestMachine();
      const device = make(machine);
      const driver = new MockDriver(device, machine.memory);
      const random = new SeededRandom(seed);
      for (let act = 0; act < 250; act++) {
        hostileAct(device, random, machine, driver);
        if (driver.status === 0x4f) broken++;
      }
      outputs += machine.outputs.length;
    }
    assert.ok(outputs > 20 && broken > 20, `${outputs} outputs, broken ${broken} times`);
  });
}
