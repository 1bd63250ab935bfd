import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { SeededRandom } from '../../base/random.ts';
import { sameBytes } from '../wire.ts';
import { type Endpoint, Link, type LinkFaults, PERFECT } from './link.fixture.ts';

function run(link: Link, done: () => boolean, stepsMax = 400_000): void {
  for (let step = 0; !done(); step++) {
    assert.ok(link.step(), `nothing moves any more, at ${link.now} us`);
    for (const end of link.ends) end.consume(Number.POSITIVE_INFINITY);
    assert.ok(step < stepsMax, `no end after ${stepsMax} steps, at ${link.now} us`);
  }
}

const bothClosed = (link: Link) => () =>
  link.ends.every(({ closed }) => closed !== undefined) ||
  link.ends.every(({ connection }) => connection.state === 'closed');

function assertWhole(from: Endpoint, to: Endpoint): void {
  assert.equal(to.receivedBytes, from.toSend.length);
  assert.ok(sameBytes(to.bytes(), from.toSend), 'the bytes differ');
  assert.ok(to.peerEnded, 'the end was not seen');
}

test('a perfect link: data both ways, both ends close, in few segments', () => {
  const random = new SeededRandom(1);
  const link = new Link(random, PERFECT, [random.bytes(300_000), random.bytes(200_000)]);
  link.open();
  run(link, bothClosed(link));
  assertWhole(link.ends[0], link.ends[1]);
  assertWhole(link.ends[1], link.ends[0]);
  assert.deepEqual(
    link.ends.map(({ closed }) => closed),
    ['done', 'done'],
  );
  const states = link.ends.map(({ connection }) => connection.state).sort();
  assert.ok(states.includes('time-wait'), states.join());
  while (link.step());
  assert.deepEqual(
    link.ends.map(({ connection }) => connection.state),
    ['closed', 'closed'],
  );
});

const probability = (most: number) => fc.integer({ min: 0, max: most * 1000 }).map((n) => n / 1000);

const faults: fc.Arbitrary<LinkFaults> = fc.record({
  loss: probability(0.15),
  duplicate: probability(0.1),
  reorder: probability(0.2),
  corrupt: probability(0.03),
  delayUs: fc.integer({ min: 10, max: 20_000 }),
  jitterUs: fc.integer({ min: 0, max: 2000 }),
});

test('a bad link: every byte arrives exactly once and in order, whatever is lost', () => {
  const length = fc.integer({ min: 0, max: 120_000 });
  fc.assert(
    fc.property(
      fc.nat(),
      faults,
      length,
      length,
      fc.boolean(),
      fc.boolean(),
      (seed, bad, first, second, small, withoutSack) => {
        const random = new SeededRandom(seed);
        const receiveBytes = small ? 5000 : 1 << 18;
        const sendBytes = 30_000;
        const options = { receiveBytes, sendBytes, mss: small ? 536 : 1460 };
        const link = new Link(
          random,
          bad,
          [random.bytes(first), random.bytes(second)],
          options,
          1 + random.below(9000),
        );
        link.withoutSack = withoutSack;
        link.open();
        run(link, bothClosed(link));
        // A handshake may be given up after all its tries were lost; then nothing was said wrongly.
        if (link.ends.some(({ closed }) => closed === 'timeout')) return;
        assertWhole(link.ends[0], link.ends[1]);
        assertWhole(link.ends[1], link.ends[0]);
        for (const end of link.ends) {
          assert.ok(end.unconsumedMax <= receiveBytes, `${end.unconsumedMax} bytes unconsumed`);
          assert.ok(
            end.bufferedMax <= sendBytes + 9000 + receiveBytes,
            `${end.bufferedMax} buffered`,
          );
        }
      },
    ),
    { numRuns: 40 },
  );
});

test('a reader that stops closes the window; nothing beyond it is taken; reading opens it', () => {
  const random = new SeededRandom(3);
  const link = new Link(random, PERFECT, [random.bytes(100_000), new Uint8Array(0)], {
    receiveBytes: 20_000,
    sendBytes: 10_000,
  });
  link.open();
  while (link.now < 5_000_000 && link.step());
  const [sender, reader] = link.ends;
  assert.ok(reader.unconsumed <= 20_000 && reader.unconsumed > 15_000, `${reader.unconsumed}`);
  assert.ok(sender.connection.buffered <= 20_000);
  assert.ok(sender.segments < 60, `${sender.segments} segments: the window is probed too often`);
  run(link, bothClosed(link));
  assertWhole(sender, reader);
});

test('a window update that is lost is asked for', () => {
  const random = new SeededRandom(4);
  const link = new Link(random, PERFECT, [random.bytes(60_000), new Uint8Array(0)], {
    receiveBytes: 10_000,
  });
  link.open();
  while (link.now < 1_000_000 && link.step());
  link.faults = { ...PERFECT, loss: 1 };
  link.ends[1].consume(Number.POSITIVE_INFINITY);
  link.faults = PERFECT;
  run(link, bothClosed(link));
  assertWhole(link.ends[0], link.ends[1]);
});

test('half-close: one direction ends long before the other', () => {
  const random = new SeededRandom(5);
  const link = new Link(random, PERFECT, [random.bytes(10), random.bytes(500_000)]);
  link.open();
  let endedAt = 0;
  run(link, () => {
    if (link.ends[1].peerEnded && endedAt === 0) endedAt = link.ends[0].receivedBytes;
    return bothClosed(link)();
  });
  assert.ok(endedAt < 500_000);
  assertWhole(link.ends[1], link.ends[0]);
});

test('both ends open at once', () => {
  const random = new SeededRandom(6);
  const link = new Link(random, PERFECT, [random.bytes(5000), random.bytes(5000)]);
  for (const { connection } of link.ends) connection.connect(0);
  run(link, bothClosed(link));
  assertWhole(link.ends[0], link.ends[1]);
  assertWhole(link.ends[1], link.ends[0]);
});

test('an abort resets the peer at once', () => {
  const random = new SeededRandom(7);
  const link = new Link(random, PERFECT, [random.bytes(500_000), new Uint8Array(0)]);
  link.open();
  run(link, () => link.ends[1].receivedBytes > 50_000);
  link.ends[1].connection.abort();
  run(link, bothClosed(link));
  assert.equal(link.ends[0].closed, 'reset');
  assert.equal(link.ends[0].connection.buffered, 0);
});

test('a refused connection is refused', () => {
  const random = new SeededRandom(8);
  const link = new Link(random, PERFECT, [random.bytes(10), new Uint8Array(0)]);
  const [client, server] = link.ends;
  link.onSyn = () => false;
  client.connection.connect(0);
  const syn = { sequence: 0 };
  server.connection.listen({
    ...syn,
    sourcePort: 0,
    destinationPort: 0,
    acknowledgement: 0,
    flags: 2,
    window: 1000,
    mss: 1460,
    windowScale: 7,
    sackPermitted: true,
    sackCount: 0,
    sack: new Int32Array(8),
    payloadStart: 0,
    payloadEnd: 0,
  });
  server.connection.abort();
  assert.equal(server.closed, 'reset');
});

test('a peer that is gone is given up, and its memory with it', () => {
  const random = new SeededRandom(9);
  const link = new Link(random, PERFECT, [random.bytes(500_000), new Uint8Array(0)]);
  link.open();
  run(link, () => link.ends[1].receivedBytes > 50_000);
  link.faults = { ...PERFECT, loss: 1 };
  run(link, () => link.ends[0].closed !== undefined);
  assert.equal(link.ends[0].closed, 'timeout');
  assert.ok(link.now > 60e6 && link.now < 1800e6, `given up after ${link.now / 1e6} s`);
  assert.equal(link.ends[0].connection.buffered, 0);
});

test('after a move what was lost is sent at once, not after the time-out', () => {
  const random = new SeededRandom(10);
  const link = new Link(random, PERFECT, [random.bytes(3_000_000), new Uint8Array(0)]);
  link.open();
  run(link, () => link.ends[1].receivedBytes > 500_000);
  const before = link.ends[1].receivedBytes;
  link.faults = { ...PERFECT, loss: 1 };
  // Five time-outs long nothing comes through; the next one would be seconds away.
  const movedAt = link.now + 3_000_000;
  run(link, () => link.now > movedAt);
  link.faults = PERFECT;
  const now = link.now;
  link.ends[0].connection.retransmitNow(now);
  run(link, () => link.ends[1].receivedBytes > before + 200_000);
  assert.ok(link.now - now < 20_000, `${link.now - now} us until the stream went on`);
  run(link, bothClosed(link));
  assertWhole(link.ends[0], link.ends[1]);
});

test('losses do not wait for time-outs: not in the middle, nor at the end, nor lost twice', () => {
  for (const [loss, secondsMax] of [
    [0.02, 0.5],
    [0.1, 2.5],
  ] as const) {
    const random = new SeededRandom(11);
    const data = [random.bytes(2_000_000), new Uint8Array(0)] as const;
    const link = new Link(random, PERFECT, data);
    link.open();
    run(link, () => link.ends[0].established);
    link.faults = { ...PERFECT, loss, delayUs: 500 };
    run(link, () => link.ends[1].receivedBytes === 2_000_000);
    assert.ok(link.now < secondsMax * 1e6, `${link.now} us for 2 MB at a loss of ${loss}`);
  }
});

test('a lone segment that is lost is sent again after two round trips, not a time-out', () => {
  const random = new SeededRandom(12);
  const link = new Link(random, PERFECT, [new Uint8Array(0), new Uint8Array(0)]);
  link.ends[0].ended = true;
  link.ends[1].ended = true;
  link.open();
  run(link, () => link.ends[1].established);
  link.faults = { ...PERFECT, loss: 1 };
  link.ends[0].connection.write(Uint8Array.of(1), link.now);
  link.faults = PERFECT;
  const before = link.now;
  run(link, () => link.ends[1].receivedBytes === 1);
  assert.ok(link.now - before < 100_000, `${link.now - before} us`);
});
