/** The parts of a connection, each against a model that is too simple to be wrong. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { emptySegment } from '../frames/tcp-segment.ts';
import { TcpReceiver } from './receiver.ts';
import { RoundTrip } from './round-trip.ts';
import { Scoreboard } from './scoreboard.ts';
import { SendQueue } from './send-queue.ts';
import { advance, distance } from './sequence.ts';

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

test('the scoreboard is the set of bytes that were reported', () => {
  const block = fc.tuple(fc.nat(220), fc.nat(40));
  fc.assert(
    fc.property(start, fc.array(block, { maxLength: 40 }), fc.nat(200), (una, blocks, cut) => {
      const board = new Scoreboard();
      const model = new Set<number>();
      const max = advance(una, 200);
      for (const [left, length] of blocks) {
        board.add(advance(una, left), advance(una, left + length), una, max);
        const valid = left > 0 && length > 0 && left + length <= 200;
        for (let i = left; valid && i < left + length; i++) model.add(i);
        assert.ok(board.isConsistent());
        assert.equal(board.total, model.size);
      }
      const firstHole = [...Array(200).keys()].find((i) => i >= cut && !model.has(i))!;
      const highest = Math.max(-1, ...model);
      const hole = board.holeAt(advance(una, cut));
      assert.equal(
        hole === undefined ? undefined : distance(hole, una),
        firstHole < highest ? firstHole : undefined,
      );
      let missing = 0;
      for (let i = 0; i < cut; i++) if (!model.has(i)) missing++;
      assert.equal(board.missing(una, advance(una, cut)), missing);
      board.dropBefore(advance(una, cut));
      assert.ok(board.isConsistent());
      assert.equal(board.total, [...model].filter((i) => i >= cut).length);
    }),
  );
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
