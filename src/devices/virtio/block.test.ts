import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import type { DiskRequest } from '../../machine/effects.ts';
import { assertRestoredRunsAlike, restoreInto, saved, TestMachine } from '../testing.ts';
import {
  type BlockConfiguration,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VirtioBlock,
} from './block.ts';
import { MockDriver } from './mock-driver.ts';

const sectors = 100;
const features = [1, 2, 6, 9, 13, 28, 29, 32];
const nothing = new Uint8Array(0);

interface World {
  machine: TestMachine;
  block: VirtioBlock;
  driver: MockDriver;
}

function make(extra: Partial<BlockConfiguration> = {}): World {
  const machine = new TestMachine();
  const block = new VirtioBlock({ disk: 1, capacity: sectors * 512, ...extra }, machine);
  const driver = new MockDriver(block, machine.memory);
  driver.start(1, extra.readOnly ? [28, 29, 32] : features);
  return { machine, block, driver };
}

function header(type: number, sector: number | bigint): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setUint32(0, type, true);
  new DataView(bytes.buffer).setBigUint64(8, BigInt(sector), true);
  return bytes;
}

const pattern = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (at * 7 + seed) & 0xff);

function requests(machine: TestMachine): DiskRequest[] {
  return machine.outputs.splice(0).map((output) => {
    assert.equal(output.kind, 'disk');
    return (output as { request: DiskRequest }).request;
  });
}

const answer = (request: number, ok = true, data: Uint8Array = nothing) =>
  ({ kind: 'disk', disk: 1, request, ok, data }) as const;

test('a read brings its data into memory only when it completes', () => {
  const { machine, block, driver } = make();
  driver.offer(0, { readable: [header(VIRTIO_BLK_T_IN, 5)], writable: [512, 512, 1] });
  driver.kick(0);
  const expected = { disk: 1, request: 0, action: 'read', offset: 2560, length: 1024 } as const;
  assert.deepEqual(requests(machine), [{ ...expected, data: nothing }]);
  assert.deepEqual(driver.collect(0), []);
  assert.equal(machine.interrupt, false);
  const data = pattern(1024);
  block.complete(answer(0, true, data));
  assert.deepEqual([...driver.collect(0)[0]!.bytes], [...data, VIRTIO_BLK_S_OK]);
  assert.ok(machine.interrupt);
  assert.deepEqual(block.pendingRequests, []);
});

test('a write keeps its data as they were at the kick', () => {
  const { machine, block, driver } = make();
  const data = pattern(1536);
  driver.offer(0, {
    readable: [header(VIRTIO_BLK_T_OUT, 0), data.subarray(0, 700), data.subarray(700)],
    writable: [1],
  });
  driver.kick(0);
  machine.memory.bytes.fill(0xee, 0x4000);
  const [request] = requests(machine);
  assert.deepEqual(request, {
    disk: 1,
    request: 0,
    action: 'write',
    offset: 0,
    length: 1536,
    data,
  });
  const restored = new VirtioBlock({ disk: 1, capacity: sectors * 512 }, machine);
  restoreInto(restored, saved(block));
  assert.deepEqual(restored.pendingRequests, [request]);
});

test('requests complete in any order, failures as I/O errors', () => {
  const { machine, block, driver } = make();
  const heads = [0, 1, 2].map((sector) =>
    driver.offer(0, { readable: [header(VIRTIO_BLK_T_IN, sector)], writable: [512, 1] }),
  );
  driver.kick(0);
  assert.deepEqual(
    requests(machine).map(({ request }) => request),
    [0, 1, 2],
  );
  block.complete(answer(2, false));
  block.complete(answer(0, true, pattern(512)));
  assert.deepEqual(
    block.pendingRequests.map(({ request }) => request),
    [1],
  );
  const used = driver.collect(0);
  assert.deepEqual(
    used.map(({ head }) => head),
    [heads[2], heads[0]],
  );
  assert.deepEqual(
    used.map(({ bytes }) => [bytes.length, bytes.at(-1)]),
    [
      [513, VIRTIO_BLK_S_IOERR],
      [513, VIRTIO_BLK_S_OK],
    ],
  );
});

/** Each request that the device answers by itself, with its status. */
const refusals: readonly [string, number, number | bigint, number, readonly number[], number][] = [
  ['a read past the end', VIRTIO_BLK_T_IN, sectors - 1, 0, [1024, 1], VIRTIO_BLK_S_IOERR],
  [
    'a read from far past the end',
    VIRTIO_BLK_T_IN,
    2n ** 64n - 1n,
    0,
    [512, 1],
    VIRTIO_BLK_S_IOERR,
  ],
  ['a read of half a sector', VIRTIO_BLK_T_IN, 0, 0, [256, 1], VIRTIO_BLK_S_IOERR],
  ['a read of nothing', VIRTIO_BLK_T_IN, 0, 0, [1], VIRTIO_BLK_S_IOERR],
  ['a write past the end', VIRTIO_BLK_T_OUT, sectors, 512, [1], VIRTIO_BLK_S_IOERR],
  ['a discard without its segment', VIRTIO_BLK_T_DISCARD, 0, 8, [1], VIRTIO_BLK_S_IOERR],
  ['an unknown type', 99, 0, 0, [1], VIRTIO_BLK_S_UNSUPP],
];

for (const [name, type, sector, outBytes, writable, status] of refusals) {
  test(`${name} is refused at once`, () => {
    const { machine, driver } = make();
    const readable = [header(type, sector), pattern(outBytes)].filter(({ length }) => length > 0);
    driver.offer(0, { readable, writable });
    driver.kick(0);
    assert.deepEqual(requests(machine), []);
    assert.equal(driver.collect(0).length, 1);
    const place = 0x4000 + readable.reduce((sum, { length }) => sum + ((length + 15) & ~15), 0);
    const statusAt = place + (writable.length === 2 ? (writable[0]! + 15) & ~15 : 0);
    assert.equal(machine.memory.bytes[statusAt], status);
  });
}

test('a read-only disk refuses writes and has no discard', () => {
  const { machine, block, driver } = make({ readOnly: true });
  assert.equal((block.read(0x010, 4) >>> 5) & 1, 1);
  for (const type of [VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_DISCARD]) {
    driver.offer(0, { readable: [header(type, 0), pattern(512)], writable: [1] });
  }
  driver.kick(0);
  assert.deepEqual(requests(machine), []);
  assert.deepEqual(
    driver.collect(0).map(({ bytes }) => bytes[0]),
    [VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_UNSUPP],
  );
});

test('flush and discard go to the disk, the identity is answered at once', () => {
  const { machine, block, driver } = make({ serial: 'umbra-1' });
  const segment = new Uint8Array(16);
  new DataView(segment.buffer).setBigUint64(0, 10n, true);
  new DataView(segment.buffer).setUint32(8, 20, true);
  driver.offer(0, { readable: [header(VIRTIO_BLK_T_FLUSH, 0)], writable: [1] });
  driver.offer(0, { readable: [header(VIRTIO_BLK_T_DISCARD, 0), segment], writable: [1] });
  driver.offer(0, { readable: [header(VIRTIO_BLK_T_GET_ID, 0)], writable: [20, 1] });
  driver.kick(0);
  assert.deepEqual(
    requests(machine).map(({ action, offset, length }) => [action, offset, length]),
    [
      ['flush', 0, 0],
      ['discard', 5120, 10_240],
    ],
  );
  const [id] = driver.collect(0);
  assert.equal(new TextDecoder().decode(id!.bytes), `umbra-1${'\0'.repeat(14)}`);
  block.complete(answer(0));
  block.complete(answer(1));
  assert.deepEqual(
    driver.collect(0).map(({ bytes }) => [...bytes]),
    [[0], [0]],
  );
});

test('a request outlives a reset by the guest, its reply does not, and its number is not reused', () => {
  const { machine, block, driver } = make();
  driver.offer(0, { readable: [header(VIRTIO_BLK_T_IN, 0)], writable: [512, 1] });
  driver.kick(0);
  assert.ok(block.awaits(0));
  driver.start(1, features);
  assert.equal(block.pendingRequests.length, 1);
  assert.ok(!block.awaits(0));
  machine.outputs.length = 0;
  driver.offer(0, { readable: [header(VIRTIO_BLK_T_IN, 0)], writable: [512, 1] });
  driver.kick(0);
  assert.deepEqual(
    requests(machine).map(({ request }) => request),
    [1],
  );
  assert.ok(block.awaits(1));
  block.complete(answer(0, true, pattern(512, 3)));
  assert.deepEqual(driver.collect(0), []);
  assert.ok(!machine.memory.bytes.includes(3 + 7, 0x4000));
  block.complete(answer(1, true, pattern(512)));
  assert.equal(driver.collect(0).length, 1);
});

test('what is pending is bounded; the ring goes on as answers come', () => {
  const { machine, block, driver } = make({ capacity: 2 ** 30 });
  const heads = Array.from({ length: 16 }, () =>
    driver.offer(0, { readable: [header(VIRTIO_BLK_T_OUT, 0)], writable: [1], indirect: true }),
  );
  // All are made to name one table: a write of 254 times all of memory, the longest there is.
  const table = 0x8000;
  const fields = new DataView(machine.memory.bytes.buffer);
  const describe = (index: number, at: number, length: number, flags: number): void => {
    const descriptor = table + 16 * index;
    fields.setBigUint64(descriptor, machine.memory.base + BigInt(at), true);
    fields.setUint32(descriptor + 8, length, true);
    fields.setUint16(descriptor + 12, flags, true);
    fields.setUint16(descriptor + 14, index + 1, true);
  };
  machine.memory.bytes.set(header(VIRTIO_BLK_T_OUT, 0), 0x7000);
  describe(0, 0x7000, 16, 1);
  for (let index = 1; index <= 254; index++) describe(index, 0, 0x1_0000, 1);
  describe(255, 0x7100, 1, 2);
  for (const head of heads) {
    fields.setBigUint64(16 * head, machine.memory.base + BigInt(table), true);
    fields.setUint32(16 * head + 8, 16 * 256, true);
  }
  driver.kick(0);
  assert.equal(requests(machine).length, 3); // The first two stay below 32 MiB.
  const restored = new VirtioBlock({ disk: 1, capacity: 2 ** 30 }, machine);
  restoreInto(restored, saved(block));
  for (const next of heads.keys()) {
    restored.complete(answer(next));
    assert.equal(requests(machine).length, next + 3 < heads.length ? 1 : 0);
  }
});

test('a restored disk cannot be told from the original', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) =>
      assertRestoredRunsAlike(
        {
          make: (machine) => new VirtioBlock({ disk: 1, capacity: sectors * 512 }, machine),
          prepare: (block, machine) => {
            const driver = new MockDriver(block, machine.memory);
            driver.start(1, features);
            return driver;
          },
          act: (block, random, _machine, driver) => {
            driver.device = block;
            switch (random.below(6)) {
              case 0:
              case 1: {
                if (!driver.hasRoom(0, 3)) return 'full';
                const write = random.chance(0.5);
                const type = write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
                const length = 512 * random.between(1, 3);
                const first = header(type, random.below(sectors + 1));
                return write
                  ? driver.offer(0, { readable: [first, random.bytes(length)], writable: [1] })
                  : driver.offer(0, { readable: [first], writable: [length, 1] });
              }
              case 2:
                return driver.kick(0);
              case 3:
                if (random.chance(0.1)) driver.start(1, features);
                return driver.acknowledge();
              case 4: {
                if (block.pendingRequests.length === 0) return 'idle';
                const { request, action, length } = random.pick(block.pendingRequests);
                const ok = random.chance(0.9);
                const data = random.bytes(ok && action === 'read' ? length : 0);
                return block.complete(answer(request, ok, data));
              }
              default:
                return driver.collect(0).map(({ bytes }) => bytes.join());
            }
          },
          acts: 150,
        },
        seed,
      ),
    ),
    { numRuns: 20 },
  );
});
