import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ByteWriter, MalformedBytes } from '../base/bytes.ts';
import {
  batchHeadroomBytes,
  chooseVersion,
  decodeMessage,
  encodeInFront,
  encodeMessage,
  type Message,
} from './messages.ts';

const some = Uint8Array.of(1, 2, 3);
const body = { vm: 'v', configuration: some, host: 'h', process: 'p', received: 7 };
const divergence = { position: 3, count: 4n, expected: 'a', actual: 'b', recent: ['#1', '#2'] };

const messages: { readonly [K in Message['kind']]: Message & { kind: K } } = {
  hello: { kind: 'hello', versionMin: 1, versionMax: 3, body },
  welcome: { kind: 'welcome', version: 1, host: 'h', process: 'p', resumed: true },
  refuse: { kind: 'refuse', code: 'stale', text: 'too late' },
  batch: { kind: 'batch', firstPosition: 9, releasedPosition: 8, entries: some },
  ack: { kind: 'ack', receivedPosition: 9, executedPosition: 8, executedCount: 1n << 60n },
  'checkpoint-begin': { kind: 'checkpoint-begin', position: 4, ticks: 5n },
  'checkpoint-chunk': { kind: 'checkpoint-chunk', bytes: some },
  'checkpoint-end': { kind: 'checkpoint-end' },
  'checkpoint-ack': { kind: 'checkpoint-ack', chunks: 3 },
  'blocks-ask': { kind: 'blocks-ask', disk: 1, firstBlock: 2, hashes: [some, some] },
  blocks: { kind: 'blocks', disk: 1, firstBlock: 2, blocks: [undefined, some] },
  ready: { kind: 'ready' },
  eligible: { kind: 'eligible', epoch: 1, generation: 2 },
  consent: { kind: 'consent', position: 5 },
  claimed: { kind: 'claimed', generation: 6 },
  divergence: { kind: 'divergence', divergence },
  'disk-failed': { kind: 'disk-failed', disk: 2 },
  ping: { kind: 'ping' },
  typed: { kind: 'typed', bytes: 300 },
};

test('every message is decoded as it was encoded, and refuses a byte too many or too few', () => {
  for (const message of Object.values(messages)) {
    const bytes = encodeMessage(message);
    assert.deepEqual(decodeMessage(bytes), message, message.kind);
    const open = ['batch', 'checkpoint-chunk'].includes(message.kind);
    if (open) continue;
    assert.throws(() => decodeMessage(Uint8Array.of(...bytes, 0)), MalformedBytes, message.kind);
    assert.throws(() => decodeMessage(bytes.subarray(0, -1)), MalformedBytes, message.kind);
  }
});

test('a batch made in front of its entries is the same, and leaves the room that it says', () => {
  const position = fc.maxSafeNat();
  fc.assert(
    fc.property(position, position, fc.uint8Array(), (firstPosition, releasedPosition, bytes) => {
      const entries = new ByteWriter().raw(bytes).finish(batchHeadroomBytes);
      const batch = { kind: 'batch', firstPosition, releasedPosition, entries } as const;
      const { message, headroomBytes } = encodeInFront(batch);
      assert.deepEqual(message, encodeMessage(batch));
      assert.equal(message.byteOffset, headroomBytes);
      assert.ok(headroomBytes >= 15, 'a link has room for its own header');
      assert.deepEqual(entries, bytes);
    }),
  );
});

test('any bytes are a message or malformed, and nothing else', () => {
  const started = fc.tuple(fc.integer({ min: 0, max: 20 }), fc.uint8Array({ maxLength: 100 }));
  fc.assert(
    fc.property(started, ([kind, bytes]) => {
      try {
        decodeMessage(Uint8Array.of(kind, ...bytes));
      } catch (error) {
        assert.ok(error instanceof MalformedBytes, String(error));
      }
    }),
    { numRuns: 5000 },
  );
});

test('a hello of unknown versions is understood as far as it goes', () => {
  const future = new ByteWriter().u8(1).varint(7).varint(9).text('whatever comes').finish();
  const hello = { kind: 'hello', versionMin: 7, versionMax: 9, body: undefined };
  assert.deepEqual(decodeMessage(future), hello);
});

test('the newest common version is chosen', () => {
  assert.equal(chooseVersion(1, 1), 1);
  assert.equal(chooseVersion(0, 5), 2);
  assert.equal(chooseVersion(3, 5), undefined);
  assert.equal(chooseVersion(0, 0), undefined);
});
