import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MalformedBytes } from '../base/bytes.ts';
import { decodeEntries, type Entry, encodeEntries, entryText, type LogEvent } from './entries.ts';

const bytes = fc.uint8Array({ maxLength: 200 });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });

const event: fc.Arbitrary<LogEvent> = fc.oneof(
  fc.record({
    kind: fc.constant('clock' as const),
    time: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    rate: fc.integer({ min: 1, max: 0xffff_ffff }),
    span: u32,
  }),
  fc.record({
    kind: fc.constant('frame' as const),
    port: fc.integer({ min: 0, max: 255 }),
    frame: bytes,
    segmentBytes: fc.integer({ min: 0, max: 0xffff }),
  }),
  fc.record({
    kind: fc.constant('disk' as const),
    disk: fc.integer({ min: 0, max: 255 }),
    request: fc.maxSafeNat(),
    ok: fc.boolean(),
    data: fc.option(bytes, { nil: undefined }),
  }),
  fc.record({ kind: fc.constant('console' as const), bytes }),
  fc.record({ kind: fc.constant('entropy' as const), bytes }),
  fc.record({
    kind: fc.constant('control' as const),
    action: fc.constantFrom('power-button' as const, 'reset' as const, 'power-off' as const),
  }),
  fc.constant({ kind: 'progress' as const }),
  fc.record({
    kind: fc.constant('fingerprint' as const),
    value: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  }),
  fc.record({ kind: fc.constant('checkpoint' as const), id: fc.maxSafeNat() }),
);

const log: fc.Arbitrary<Entry[]> = fc
  .array(fc.tuple(fc.bigInt({ min: 0n, max: 1n << 40n }), event), { maxLength: 20 })
  .map((steps) => {
    let count = 0n;
    return steps.map(([delta, event]) => {
      count += delta;
      return { count, event };
    });
  });

/** Views of other bytes are equal to arrays of their own. */
function plain(entries: readonly Entry[]): unknown {
  return JSON.parse(
    JSON.stringify(entries, (_key, value) => {
      if (typeof value === 'bigint') return value.toString();
      return value instanceof Uint8Array ? [...value] : value;
    }),
  );
}

test('what is encoded is decoded', () => {
  fc.assert(
    fc.property(log, (entries) => {
      assert.deepEqual(plain(decodeEntries(encodeEntries(entries))), plain(entries));
    }),
  );
});

test('any bytes are entries or malformed, and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        decodeEntries(bytes);
      } catch (error) {
        assert.ok(error instanceof MalformedBytes, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});

test('a changed byte of a log is an entry or malformed, and nothing else', () => {
  fc.assert(
    fc.property(log, fc.nat(), fc.nat(255), (entries, at, value) => {
      const bytes = encodeEntries(entries);
      if (bytes.length === 0) return;
      bytes[at % bytes.length] = value;
      try {
        for (const [index, entry] of decodeEntries(bytes).entries()) entryText(index, entry);
      } catch (error) {
        assert.ok(error instanceof MalformedBytes, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('a length is never trusted', () => {
  // A frame of 2^40 bytes, of which two are there.
  const bytes = Uint8Array.of(0, 2, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 1, 2);
  assert.throws(() => decodeEntries(bytes), MalformedBytes);
});

test('the numbers and the form of entries never change', () => {
  const entries: Entry[] = [
    { count: 5n, event: { kind: 'clock', time: 1000n, rate: 300, span: 7 } },
    { count: 5n, event: { kind: 'frame', port: 1, frame: Uint8Array.of(9, 8), segmentBytes: 0 } },
    { count: 200n, event: { kind: 'disk', disk: 2, request: 3, ok: true, data: undefined } },
    {
      count: 200n,
      event: { kind: 'disk', disk: 0, request: 4, ok: false, data: Uint8Array.of(1) },
    },
    { count: 201n, event: { kind: 'console', bytes: Uint8Array.of(65) } },
    { count: 201n, event: { kind: 'entropy', bytes: Uint8Array.of(66) } },
    { count: 201n, event: { kind: 'control', action: 'power-off' } },
    { count: 202n, event: { kind: 'progress' } },
    { count: 202n, event: { kind: 'fingerprint', value: 0x0102030405060708n } },
    { count: 202n, event: { kind: 'checkpoint', id: 6 } },
    { count: 203n, event: { kind: 'frame', port: 1, frame: Uint8Array.of(7), segmentBytes: 1460 } },
  ];
  const text = [...encodeEntries(entries)].map((byte) => byte.toString(16)).join(' ');
  const expected = [
    '5 1 e8 7 ac 2 7',
    '0 2 1 2 9 8',
    'c3 1 3 2 3 1',
    '0 3 0 4 2 1 1',
    '1 4 1 41',
    '0 5 1 42',
    '0 6 2',
    '1 7',
    '0 8 8 7 6 5 4 3 2 1',
    '0 9 6',
    '1 2 81 e8 16 1 7',
  ];
  assert.equal(text, expected.join(' '));
  assert.equal(entryText(12, entries[2]!), '#12 @200 disk disk 2 request 3 ok, from the replica');
});
