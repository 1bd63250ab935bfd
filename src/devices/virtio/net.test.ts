import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { assertRestoredRunsAlike, restoreInto, saved, TestMachine } from '../testing.ts';
import { MockDriver, queueSize } from './mock-driver.ts';
import { frameBytesMax, netBacklogBytesMax, VirtioNet } from './net.ts';

const mac = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const features = [5, 15, 16, 28, 29, 32];
const RECEIVE = 0;
const TRANSMIT = 1;
const header = new Uint8Array(12);

function make(chosen = features): { machine: TestMachine; net: VirtioNet; driver: MockDriver } {
  const machine = new TestMachine();
  const net = new VirtioNet({ port: 3, mac }, machine);
  const driver = new MockDriver(net, machine.memory);
  driver.start(2, chosen);
  return { machine, net, driver };
}

const frame = (length: number, fill = 7): Uint8Array => new Uint8Array(length).fill(fill);

test('the driver reads address and link from the configuration', () => {
  const { net } = make();
  assert.deepEqual(
    Array.from({ length: 8 }, (_, at) => net.read(0x100 + at, 1)),
    [...mac, 1, 0],
  );
});

test('a packet out is a frame output inside the kick, without its header', () => {
  const { machine, driver } = make();
  const sent = frame(60);
  driver.offer(TRANSMIT, { readable: [header, sent] });
  driver.offer(TRANSMIT, { readable: [Uint8Array.of(...header, ...sent)], indirect: true });
  assert.deepEqual(machine.outputs, []);
  driver.kick(TRANSMIT);
  const output = { kind: 'frame', port: 3, frame: sent, segmentBytes: 0 };
  assert.deepEqual(machine.outputs, [output, output]);
  assert.equal(driver.collect(TRANSMIT).length, 2);
});

test('a runt or a giant is given back and not sent', () => {
  const { machine, driver } = make();
  driver.offer(TRANSMIT, { readable: [header, frame(13)] });
  driver.offer(TRANSMIT, { readable: [header, frame(frameBytesMax + 1)] });
  driver.offer(TRANSMIT, { readable: [frame(5)] });
  driver.kick(TRANSMIT);
  assert.deepEqual(machine.outputs, []);
  assert.equal(driver.collect(TRANSMIT).length, 3);
  assert.equal(driver.status, 0x0f);
});

test('a frame in fills one buffer, or as many as it needs', () => {
  const { machine, net, driver } = make();
  for (let index = 0; index < 4; index++) driver.offer(RECEIVE, { writable: [12, 38] });
  net.deliver(frame(38));
  assert.ok(machine.interrupt);
  net.deliver(frame(100));
  const [first, ...merged] = driver.collect(RECEIVE).map(({ bytes }) => [...bytes]);
  assert.deepEqual(first, [...header, ...frame(38)].with(10, 1));
  assert.deepEqual(merged.flat(), [...header, ...frame(100)].with(10, 3));
  assert.deepEqual(
    merged.map((bytes) => bytes.length),
    [50, 50, 12],
  );
});

/** As Linux asks for: checksums (0, 1) and segments over IPv4 (11, 7) left to the other side. */
const offloads = [0, 1, 7, 11, ...features];

/** Headers of IPv4 and TCP with this many words of TCP options, and some data. */
function joined(dataBytes: number, options = 0): Uint8Array {
  const made = frame(54 + 4 * options + dataBytes);
  made[14] = 0x45;
  made[46] = (5 + options) << 4;
  return made;
}

test('joined segments come with how to take them apart, and a frame behind them without', () => {
  const { net, driver } = make(offloads);
  assert.ok(net.takesSegments);
  for (let index = 0; index < 4; index++) driver.offer(RECEIVE, { writable: [4_000] });
  net.deliver(joined(3_000, 3), 1448);
  net.deliver(frame(60));
  const [first, second] = driver.collect(RECEIVE).map(({ bytes }) => [...bytes.slice(0, 12)]);
  // NEEDS_CSUM, TCPV4, headers of 14 + 20 + 32 bytes, segments of 1448, checksum at 34 + 16.
  assert.deepEqual(first, [1, 1, 66, 0, 1448 & 255, 1448 >> 8, 34, 0, 16, 0, 1, 0]);
  assert.deepEqual(second, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
});

/** A header with NEEDS_CSUM: a checksum over all from 34 on, at 34 + `offset`. */
const unsummed = (offset: number, gsoType = 0, segmentBytes = 0): Uint8Array =>
  Uint8Array.of(1, gsoType, 54, 0, segmentBytes & 255, segmentBytes >> 8, 34, 0, offset, 0, 0, 0);

test('a checksum that the driver leaves out is put in', () => {
  const { machine, driver } = make(offloads);
  const sent = frame(60, 0);
  sent.set([0x12, 0x34, 0xff, 0xff], 34);
  // 0x1234 + 0xffff + 0x0005, the sum of the pseudo-header that is there already: 0x1239, inverted.
  sent[34 + 17] = 5;
  driver.offer(TRANSMIT, { readable: [unsummed(16), sent] });
  // Of all zeros the checksum is not 0, which in UDP would mean that there is none.
  sent.fill(0, 34);
  driver.offer(TRANSMIT, {
    readable: [unsummed(6), Uint8Array.of(...sent.with(40, 0xff).with(41, 0xff))],
  });
  driver.kick(TRANSMIT);
  const frames = machine.outputs.map((output) => (output.kind === 'frame' ? output.frame : header));
  assert.deepEqual([...frames[0]!.subarray(50, 52)], [0xed, 0xc6]);
  assert.deepEqual([...frames[1]!.subarray(40, 42)], [0xff, 0xff]);
});

test('data that the driver leaves in one piece leaves with the length of its segments', () => {
  const { machine, driver } = make(offloads);
  const sent = joined(9_000);
  driver.offer(TRANSMIT, { readable: [unsummed(16, 1, 1448), sent] });
  driver.kick(TRANSMIT);
  assert.deepEqual(machine.outputs, [{ kind: 'frame', port: 3, frame: sent, segmentBytes: 1448 }]);
});

test('offloads that nobody has offered, or that make no sense, are dropped', () => {
  const bad: [string, number[], Uint8Array, Uint8Array][] = [
    ['no checksums', features, unsummed(16), frame(60)],
    ['no segments', [0, ...features], unsummed(16, 1, 1448), joined(3_000)],
    ['segments without their checksum', offloads, unsummed(16, 1, 1448).with(0, 0), joined(3_000)],
    ['segments of nothing', offloads, unsummed(16, 1, 0), joined(3_000)],
    ['segments of next to nothing', offloads, unsummed(16, 1, 47), joined(3_000)],
    ['segments longer than a frame', offloads, unsummed(16, 1, 8_965), joined(9_000)],
    ['segments of UDP', offloads, unsummed(16, 3, 1448), joined(3_000)],
    ['a checksum outside the frame', offloads, unsummed(25), frame(60)],
    ['a frame too long by itself', offloads, unsummed(16), frame(frameBytesMax + 1)],
  ];
  for (const [name, chosen, head, sent] of bad) {
    const { machine, driver } = make(chosen);
    driver.offer(TRANSMIT, { readable: [head, sent] });
    driver.kick(TRANSMIT);
    assert.deepEqual(machine.outputs, [], name);
    assert.equal(driver.collect(TRANSMIT).length, 1, name);
  }
});

test('a driver without offloads, or with half of them, gets no joined segments', () => {
  for (const chosen of [features, [1, ...features], [7, ...features]]) {
    const { net, driver } = make(chosen);
    assert.equal(net.takesSegments, false);
    driver.offer(RECEIVE, { writable: [4_000] });
    net.deliver(joined(3_000), 1448);
    assert.deepEqual(driver.collect(RECEIVE), []);
  }
});

test('joined segments wait as such, and restore', () => {
  const { net, driver, machine } = make(offloads);
  net.deliver(joined(3_000), 1448);
  const fresh = new VirtioNet({ port: 3, mac }, machine);
  restoreInto(fresh, saved(net));
  driver.device = fresh;
  driver.offer(RECEIVE, { writable: [4_000] });
  driver.kick(RECEIVE);
  const [one] = driver.collect(RECEIVE);
  assert.deepEqual([...one!.bytes.slice(0, 6)], [1, 1, 54, 0, 1448 & 255, 1448 >> 8]);
});

test('a frame longer than all buffers that the ring can hold is dropped, and none behind it', () => {
  const { net, driver } = make(offloads);
  while (driver.hasRoom(RECEIVE, 1)) driver.offer(RECEIVE, { writable: [20] });
  net.deliver(joined(20 * queueSize), 1448);
  assert.deepEqual(driver.collect(RECEIVE), []);
  net.deliver(frame(20));
  assert.equal(driver.collect(RECEIVE).length, 2);
});

test('a frame that finds too few buffers leaves them for when there are enough', () => {
  const { net, driver } = make();
  driver.offer(RECEIVE, { writable: [50] });
  net.deliver(frame(100));
  assert.deepEqual(driver.collect(RECEIVE), []);
  driver.offer(RECEIVE, { writable: [62] });
  driver.kick(RECEIVE);
  assert.deepEqual(
    driver.collect(RECEIVE).flatMap(({ bytes }) => [...bytes]),
    [...header, ...frame(100)].with(10, 2),
  );
});

test('a frame that finds too few buffers asks for a kick at the very next one', () => {
  const { net, driver } = make();
  driver.kick(RECEIVE); // As Linux after its first fill: from now on it need not.
  driver.offer(RECEIVE, { writable: [50] });
  net.deliver(frame(100));
  // The one buffer is not taken, but the driver has passed its index already.
  assert.equal(driver.kickAt(RECEIVE), 1);
});

test('without merged buffers, a frame too long for its buffer is dropped', () => {
  const { net, driver } = make([5, 28, 29, 32]);
  driver.offer(RECEIVE, { writable: [100] });
  net.deliver(frame(89));
  net.deliver(frame(88));
  assert.deepEqual(
    driver.collect(RECEIVE).map(({ bytes }) => bytes.length),
    [100],
  );
});

test('frames wait in order until the guest offers buffers and kicks', () => {
  const { machine, net, driver } = make();
  driver.kick(RECEIVE); // As Linux after its first fill: from now on it need not.
  for (let fill = 1; fill <= 3; fill++) net.deliver(frame(60, fill));
  assert.equal(driver.kickAt(RECEIVE), 0);
  assert.equal(machine.interrupt, false);
  for (let index = 0; index < 3; index++) driver.offer(RECEIVE, { writable: [1526] });
  driver.kick(RECEIVE);
  assert.ok(machine.interrupt);
  assert.deepEqual(
    driver.collect(RECEIVE).map(({ bytes }) => bytes.at(-1)),
    [1, 2, 3],
  );
});

test('a kick is asked for only while frames wait', () => {
  const { net, driver } = make();
  for (let index = 0; index < 5; index++) driver.offer(RECEIVE, { writable: [1526] });
  driver.kick(RECEIVE);
  for (let index = 0; index < 5; index++) net.deliver(frame(60));
  assert.equal(driver.kickAt(RECEIVE), 0);
  net.deliver(frame(60));
  assert.equal(driver.kickAt(RECEIVE), 5);
});

test('the backlog is bounded, and restores', () => {
  const { net, driver, machine } = make();
  const count = Math.floor(netBacklogBytesMax / 1514);
  for (let index = 0; index < count + 50; index++) net.deliver(frame(1514, index));
  const fresh = new VirtioNet({ port: 3, mac }, machine);
  restoreInto(fresh, saved(net));
  driver.device = fresh;
  let received = 0;
  for (;;) {
    while (driver.hasRoom(RECEIVE, 1)) driver.offer(RECEIVE, { writable: [1526] });
    driver.kick(RECEIVE);
    const used = driver.collect(RECEIVE);
    for (const { bytes } of used) assert.equal(bytes.at(-1), received++ & 0xff);
    if (used.length === 0) break;
  }
  assert.equal(received, count);
});

test('before the driver is ready, and after a reset, nothing is kept', () => {
  const { net, driver } = make();
  net.deliver(frame(60));
  driver.start(2, features);
  driver.offer(RECEIVE, { writable: [1526] });
  driver.kick(RECEIVE);
  assert.deepEqual(driver.collect(RECEIVE), []);
});

test('a restored network device cannot be told from the original', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) =>
      assertRestoredRunsAlike(
        {
          make: (machine) => new VirtioNet({ port: 0, mac }, machine),
          prepare: (net, machine) => {
            const driver = new MockDriver(net, machine.memory);
            driver.start(2, offloads);
            return driver;
          },
          act: (net, random, _machine, driver) => {
            driver.device = net;
            const queue = random.below(2);
            switch (random.below(6)) {
              case 0:
              case 1:
                return net.deliver(random.bytes(random.between(10, 300)), random.below(2) * 100);
              case 2: {
                if (!driver.hasRoom(queue, 2)) return 'full';
                const lengths = [random.between(12, 90), random.between(1, 90)];
                return driver.offer(
                  queue,
                  queue === RECEIVE
                    ? { writable: lengths }
                    : { readable: lengths.map((length) => random.bytes(length)) },
                );
              }
              case 3:
                return driver.kick(queue);
              case 4:
                return driver.acknowledge();
              default:
                return driver.collect(queue).map(({ bytes }) => bytes.join());
            }
          },
          acts: 200,
        },
        seed,
      ),
    ),
    { numRuns: 25 },
  );
});
