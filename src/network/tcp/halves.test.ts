/** The parts of a connection, each against a model that is too simple to be wrong. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { emptySegment } from '../frames/tcp-segment.ts';
import { TcpReceiver } from './receiver.ts';
import { RoundTrip } from './round-trip.ts';
import { SendQueue } from './send-queue.ts';
import { SentSegments } from './sent-segments.ts';
import { advance, distance } from './sequence.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** Near the edge where sequence numbers wrap, where comparisons go wrong if they can. */
const start = fc.constantFrom(0, 100, 0x7fffffff - 50, -50, -0x80000000);

test('the receiver delivers a stream whatever pieces of it come in whatever order', () => {
  const piece = fc.tuple(fc.nat(999), fc.integer({ min: 1, max: 300 }));
  fc.assert(
    fc.property(start, fc.array(piece, { maxLength: 80 }), (initial, pieces) => {
      const stream = Uint8Array.from({ length: 1300 }, (_, i) => (i * 31) ^ (i >> 3));
      const got: number[] = [];
      const receiver = new TcpReceiver(100_000, 100, (bytes) => got.push(...bytes));
      receiver.open(initial);
      receiver.scale = 5;
      receiver.advertise(false);
      const arrived = new Set<number>();
      const segment = emptySegment();
      for (const [at, length] of pieces) {
        receiver.accept(advance(initial, 1 + at), stream, at, at + length);
        for (let i = at; i < at + length; i++) arrived.add(i);
        let inOrder = 0;
        while (arrived.has(inOrder)) inOrder++;
        assert.equal(distance(receiver.next, initial), inOrder + 1);
        receiver.writeSack(segment);
        for (let i = 0; i < segment.sackCount; i++) {
          const left = distance(segment.sack[i * 2]!, initial) - 1;
          const right = distance(segment.sack[i * 2 + 1]!, initial) - 1;
          assert.ok(left > inOrder && right > left);
          for (let byte = left; byte < right; byte++) assert.ok(arrived.has(byte));
          assert.ok(!arrived.has(right) && !arrived.has(left - 1), 'a block that is cut short');
        }
      }
      receiver.flush();
      assert.deepEqual(got, [...stream.subarray(0, got.length)]);
      assert.equal(got.length, distance(receiver.next, initial) - 1);
    }),
  );
});

test('nothing beyond the window is taken, and its edge never moves back', () => {
  const step = fc.record({ gap: fc.nat(50), length: fc.nat(4000), consume: fc.nat(3000) });
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 60 }), (initial, steps) => {
      const capacity = 5000;
      let waiting = 0;
      const receiver = new TcpReceiver(capacity, 500, (bytes) => {
        waiting += bytes.length;
      });
      receiver.open(initial);
      let edge = receiver.next;
      for (const { gap, length, consume } of steps) {
        const window = receiver.advertise(false);
        const promised = advance(receiver.next, window);
        assert.ok(distance(promised, edge) >= 0, 'the edge moved back');
        edge = promised;
        const sequence = advance(receiver.next, gap);
        receiver.accept(sequence, new Uint8Array(length), 0, length);
        assert.ok(distance(receiver.next, edge) <= 0, 'bytes beyond the window were taken');
        receiver.flush();
        assert.ok(waiting <= capacity);
        const consumed = Math.min(consume, waiting);
        waiting -= consumed;
        receiver.consumed(consumed);
      }
    }),
  );
});

test('the send queue is the bytes pushed, less those dropped', () => {
  const act = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => ({ push: bytes })),
    fc.nat(60).map((drop) => ({ drop })),
    fc.tuple(fc.nat(60), fc.nat(60)).map((copy) => ({ copy })),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
      const queue = new SendQueue();
      let model: number[] = [];
      for (const each of acts) {
        if ('push' in each) {
          queue.push(each.push);
          model.push(...each.push);
        } else if ('drop' in each) {
          const bytes = Math.min(each.drop, model.length);
          queue.drop(bytes);
          model = model.slice(bytes);
        } else {
          const offset = Math.min(each.copy[0], model.length);
          const length = Math.min(each.copy[1], model.length - offset);
          const target = new Uint8Array(length);
          queue.copy(offset, length, target, 0);
          assert.deepEqual([...target], model.slice(offset, offset + length));
        }
        assert.equal(queue.length, model.length);
      }
    }),
  );
});

test('the records of what was sent cover it, whatever is acknowledged, lost and sent again', () => {
  const act = fc.record({
    kind: fc.constantFrom('send', 'send', 'sack', 'sack', 'ack', 'again', 'all'),
    at: fc.nat(40),
    length: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(start, fc.array(act, { maxLength: 120, size: 'max' }), (initial, acts) => {
      const sent = new SentSegments();
      let una = initial;
      let max = initial;
      let now = 0;
      for (const { kind, at, length } of acts) {
        now += 100;
        if (kind === 'send') {
          const end = advance(max, length * 100);
          sent.sent(max, end, now);
          max = end;
        } else if (kind === 'sack') {
          const left = advance(una, at * 50);
          const right = advance(left, length * 150);
          if (distance(max, right) >= 0) sent.sacked(left, right, now, 100);
        } else if (kind === 'ack') {
          una = advance(una, Math.min(at * 25, distance(max, una)));
          sent.acknowledged(una, now, 100);
        } else if (kind === 'again') {
          sent.detect(now, 500);
          const lost = sent.firstLost() ?? sent.lastMissing();
          if (lost !== undefined) sent.sentAgain(lost, now);
        } else {
          sent.loseAll(length > 3);
        }
        assert.ok(sent.covers(una, max));
        assert.equal(sent.hasLost, sent.firstLost() !== undefined);
      }
      sent.acknowledged(max, now, 100);
      assert.ok(sent.isEmpty && sent.pipe === 0 && !sent.hasLost);
    }),
  );
});

test('a segment is lost when one sent three transmissions later, or long after, has arrived', () => {
  const sent = new SentSegments();
  for (let i = 0; i < 6; i++) sent.sent(i * 10, i * 10 + 10, i);
  sent.sacked(20, 30, 1000, 500);
  assert.equal(sent.detect(1000, 5000), 5000, 'two later is not enough, time will tell');
  assert.ok(!sent.hasLost);
  sent.sacked(30, 40, 1000, 500);
  sent.detect(1000, 5000);
  assert.deepEqual(sent.firstLost()!.start, 0);
  sent.sentAgain(sent.firstLost()!, 1000);
  assert.equal(sent.detect(5001, 5000), NEVER);
  assert.equal(sent.firstLost()!.start, 10, 'overdue');
  sent.sentAgain(sent.firstLost()!, 5001);
  // The repetition of the first is lost too: others sent after it arrive.
  for (let i = 6; i < 9; i++) sent.sent(i * 10, i * 10 + 10, 5001);
  sent.sacked(60, 90, 6000, 500);
  sent.detect(6000, 50_000);
  assert.equal(sent.firstLost()!.start, 0);
});

test('the time-out follows RFC 6298 and Karn', () => {
  const roundTrip = new RoundTrip({ initialUs: 1e6, minUs: 200_000, maxUs: 60e6 });
  assert.equal(roundTrip.timeoutUs, 1e6);
  roundTrip.sent(0, 10, 0);
  roundTrip.acknowledged(10, 400_000);
  assert.equal(roundTrip.timeoutUs, 400_000 + 4 * 200_000);
  roundTrip.backOff();
  roundTrip.backOff();
  assert.equal(roundTrip.timeoutUs, 4_800_000);
  roundTrip.sent(10, 10, 500_000);
  roundTrip.retransmitted();
  roundTrip.acknowledged(20, 30e6);
  assert.equal(roundTrip.timeoutUs, 1_200_000, 'a sample of a segment sent twice was taken');
});
