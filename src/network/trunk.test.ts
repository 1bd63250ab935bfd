import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { ByteWriter, MalformedBytes } from '../base/bytes.ts';
import { UmbraError } from '../base/errors.ts';
import { FrameBatch, FrameDecoder } from './framing.ts';
import { portGeneration } from './switch.ts';
import {
  addTrunkFrame,
  decodeTrunkMessage,
  encodeTrunkMessage,
  TRUNK_MESSAGE_BYTES_MAX,
  type TrunkMessage,
} from './trunk.ts';

const mac = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const generation = fc
  .tuple(fc.integer({ min: 0, max: 2 ** 21 - 1 }), u32)
  .map(([epoch, number]) => portGeneration(epoch, number));
const ipv6 = fc.uint8Array({ minLength: 16, maxLength: 16 });

const message: fc.Arbitrary<TrunkMessage> = fc.oneof(
  fc.record({ kind: fc.constant('hello' as const), name: fc.string({ maxLength: 60 }) }),
  fc.record({
    kind: fc.constant('frame' as const),
    vm: u32,
    generation,
    frame: fc.uint8Array({ maxLength: 200 }),
  }),
  fc.record({
    kind: fc.constant('announcement' as const),
    vm: u32,
    generation,
    addresses: fc.array(
      fc.record({
        mac,
        ipv4: fc.array(u32, { maxLength: 5 }),
        ipv6: fc.array(ipv6, { maxLength: 3 }),
      }),
      { maxLength: 4 },
    ),
  }),
  fc.record({ kind: fc.constantFrom('ping' as const, 'pong' as const), number: fc.maxSafeNat() }),
);

test('messages are decoded as they were encoded', () => {
  fc.assert(
    fc.property(message, (original) => {
      const decoded = decodeTrunkMessage(encodeTrunkMessage(original));
      assert.deepEqual(JSON.stringify(decoded), JSON.stringify(original));
    }),
  );
});

test('the short way of sending a frame writes the same bytes', () => {
  fc.assert(
    fc.property(u32, generation, fc.uint8Array({ maxLength: 100 }), (vm, term, frame) => {
      const batch = new FrameBatch();
      addTrunkFrame(batch, vm, term, frame);
      new FrameDecoder(TRUNK_MESSAGE_BYTES_MAX).push(batch.take(), (bytes) =>
        assert.deepEqual(
          [...bytes],
          [...encodeTrunkMessage({ kind: 'frame', vm, generation: term, frame })],
        ),
      );
    }),
  );
});

test('arbitrary and mutated bytes are decoded or clearly refused', () => {
  const mutated = fc
    .tuple(message, fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 4 }), fc.nat(300))
    .map(([original, changes, length]) => {
      const bytes = encodeTrunkMessage(original).slice(0, length + 1);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      return bytes;
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), mutated), (bytes) => {
      try {
        decodeTrunkMessage(bytes);
      } catch (error) {
        assert.ok(error instanceof MalformedBytes || error instanceof UmbraError, String(error));
      }
    }),
  );
});

test('another version is refused with its number, whatever follows', () => {
  const hello = new ByteWriter().u8(1).u32(0x6b6e7274).varint(7).bytes(new Uint8Array(9)).finish();
  assert.throws(() => decodeTrunkMessage(hello), { code: 'trunk-version' });
});
