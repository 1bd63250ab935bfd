import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { ByteReader, ByteWriter, MalformedBytes } from './bytes.ts';

test('what is written is read again', () => {
  fc.assert(
    fc.property(
      fc.maxSafeNat(),
      fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      fc.uint8Array(),
      fc.string({ unit: 'grapheme' }),
      fc.boolean(),
      (small, large, bytes, text, flag) => {
        const written = new ByteWriter(1)
          .varint(small)
          .varint64(large)
          .u64(large)
          .bytes(bytes)
          .text(text)
          .bool(flag)
          .finish();
        const reader = new ByteReader(written);
        assert.equal(reader.varint(), small);
        assert.equal(reader.varint64(), large);
        assert.equal(reader.u64(), large);
        assert.deepEqual([...reader.bytes()], [...bytes]);
        assert.equal(reader.text(), text);
        assert.equal(reader.bool(), flag);
        reader.end();
      },
    ),
  );
});

test('arbitrary bytes are read or refused, never anything else', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      for (const read of ['varint', 'varint64', 'bytes', 'text', 'u64', 'bool'] as const) {
        try {
          new ByteReader(bytes)[read]();
        } catch (error) {
          assert.ok(error instanceof MalformedBytes);
        }
      }
    }),
  );
});

test('a length beyond the end is refused', () => {
  assert.throws(
    () => new ByteReader(new ByteWriter().varint(2 ** 40).finish()).bytes(),
    MalformedBytes,
  );
});

test('a list is read whole; a number of items beyond the end is refused', () => {
  const writer = new ByteWriter().varint(2).u8(5).u8(6);
  const reader = new ByteReader(writer.finish());
  assert.deepEqual(
    reader.list(() => reader.u8()),
    [5, 6],
  );
  for (const count of [2, 2 ** 33, 2 ** 52]) {
    const short = new ByteReader(new ByteWriter().varint(count).u8(5).finish());
    assert.throws(() => short.list(() => short.u8()), MalformedBytes);
  }
});
