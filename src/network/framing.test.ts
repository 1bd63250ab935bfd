import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { MalformedBytes } from '../base/bytes.ts';
import { FrameBatch, FrameDecoder } from './framing.ts';

test('messages come out as they went in, however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 5000, size: 'max' }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 4000 }), { minLength: 1, maxLength: 50 }),
      (messages, cuts) => {
        const batch = new FrameBatch();
        for (const message of messages) batch.add(message);
        const stream = batch.take();
        const decoder = new FrameDecoder();
        const got: Uint8Array[] = [];
        for (let at = 0, cut = 0; at < stream.length; cut++) {
          const length = cuts[cut % cuts.length]!;
          decoder.push(stream.slice(at, at + length), (message) => got.push(message.slice()));
          at += length;
        }
        assert.deepEqual(got, messages);
      },
    ),
  );
});

test('what was taken is not changed by what is added later', () => {
  const batch = new FrameBatch();
  batch.add(Uint8Array.of(1, 2));
  const first = batch.take();
  batch.add(Uint8Array.of(3, 4));
  assert.deepEqual([...first], [0, 0, 0, 2, 1, 2]);
  assert.deepEqual([...batch.take()], [0, 0, 0, 2, 3, 4]);
});

test('a length beyond the bound is refused before anything is kept', () => {
  const decoder = new FrameDecoder(1000);
  assert.throws(() => decoder.push(Uint8Array.of(0, 0, 3, 0xe9), () => {}), MalformedBytes);
});

test('a full batch drops and counts', () => {
  const batch = new FrameBatch(100);
  for (let i = 0; i < 10; i++) batch.add(new Uint8Array(30));
  assert.equal(batch.dropped, 8);
  assert.equal(batch.take().length, 2 * 34);
  batch.add(new Uint8Array(30));
  assert.equal(batch.length, 34);
});

test('control messages pass between frames, each kind within its own bound', () => {
  const bit = 0x8000_0000;
  const decoder = new FrameDecoder(1000, { bit, bytesMax: 3 });
  const stream = Uint8Array.of(0, 0, 0, 1, 7, 0x80, 0, 0, 2, 8, 9, 0, 0, 0, 1, 10);
  const got: [number[], boolean][] = [];
  for (const byte of stream) {
    decoder.push(Uint8Array.of(byte), (message, isControl) => got.push([[...message], isControl]));
  }
  assert.deepEqual(got, [
    [[7], false],
    [[8, 9], true],
    [[10], false],
  ]);
  assert.throws(() => decoder.push(Uint8Array.of(0x80, 0, 0, 4), () => {}), MalformedBytes);
  const plain = new FrameDecoder(1000);
  assert.throws(() => plain.push(Uint8Array.of(0x80, 0, 0, 1), () => {}), MalformedBytes);
});

test('what must not be lost is not dropped by a full batch', () => {
  const batch = new FrameBatch(100);
  for (let i = 0; i < 10; i++) batch.add(new Uint8Array(30));
  batch.addAlways(Uint8Array.of(7));
  const got: number[] = [];
  new FrameDecoder().push(batch.take(), (message) => got.push(message.length));
  assert.deepEqual(got, [30, 30, 1]);
});
