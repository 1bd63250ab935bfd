import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { emptyIpv4Header, PROTOCOL_TCP, parseIpv4, writeIpv4 } from './frames/ipv4.ts';
import {
  ACK,
  emptySegment,
  FIN,
  PSH,
  parseTcp,
  TCP_HEADER_BYTES,
  tcpOptionsBytes,
  writeTcp,
} from './frames/tcp-segment.ts';
import { ReceiveOffload } from './receive-offload.ts';
import { sendSegments } from './send-offload.ts';
import { read16, write16 } from './wire.ts';

const source = 0x0a000001;
const destination = 0x0a000002;

interface Sent {
  readonly dataBytes: number;
  readonly sequence?: number;
  readonly flags?: number;
  readonly tags?: number;
  readonly sack?: boolean;
}

/** One piece, as a guest leaves it to its card. */
function piece({ dataBytes, sequence = 5, flags = ACK, tags = 0, sack = false }: Sent): Uint8Array {
  const ip = 14 + 4 * tags;
  const segment = { ...emptySegment(), sourcePort: 7, destinationPort: 8, sequence, flags };
  if (sack) segment.sackCount = 1;
  const headers = TCP_HEADER_BYTES + tcpOptionsBytes(segment);
  const frame = new Uint8Array(ip + 20 + headers + dataBytes);
  for (let at = 0; at < dataBytes; at++) frame[ip + 20 + headers + at] = at * 5 + (at >> 8);
  for (let tag = 0; tag < tags; tag++) write16(frame, 12 + 4 * tag, tag === 0 ? 0x88a8 : 0x8100);
  write16(frame, ip - 2, 0x0800);
  writeIpv4(frame, ip, source, destination, PROTOCOL_TCP, headers + dataBytes, 0xfffe);
  writeTcp(frame, ip + 20, segment, source, destination, dataBytes);
  return frame;
}

function cut(frame: Uint8Array, segmentBytes: number): Uint8Array[] {
  const segments: Uint8Array[] = [];
  sendSegments(frame, segmentBytes, (segment) => segments.push(segment));
  return segments;
}

test('segments are whole packets that carry the data on', () => {
  const sends = fc.record({
    dataBytes: fc.integer({ min: 1, max: 20_000 }),
    sequence: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    tags: fc.nat(2),
    sack: fc.boolean(),
  });
  fc.assert(
    fc.property(sends, fc.integer({ min: 500, max: 1460 }), (sent, segmentBytes) => {
      const frame = piece(sent);
      const ip = 14 + 4 * sent.tags;
      const segments = cut(frame, segmentBytes);
      assert.equal(segments.length, Math.ceil(sent.dataBytes / segmentBytes));
      const data: number[] = [];
      for (const [index, one] of segments.entries()) {
        const header = emptyIpv4Header();
        const segment = emptySegment();
        assert.ok(parseIpv4(one, ip, header) && parseTcp(one, header, segment), 'checksums');
        assert.equal(header.identification, (0xfffe + index) & 0xffff);
        assert.equal(segment.sequence, (sent.sequence + data.length) | 0);
        assert.equal(segment.sackCount, sent.sack ? 1 : 0);
        assert.deepEqual(one.subarray(0, ip), frame.subarray(0, ip));
        data.push(...one.subarray(segment.payloadStart, segment.payloadEnd));
      }
      assert.deepEqual(data, [...frame.subarray(frame.length - sent.dataBytes)]);
    }),
    { numRuns: 100 },
  );
});

test('what ends is said in the last segment, what is said once in the first', () => {
  const congestionWindowReduced = 0x80;
  const frame = piece({ dataBytes: 300 });
  frame[34 + 13] = ACK | PSH | FIN | congestionWindowReduced;
  assert.deepEqual(
    cut(frame, 100).map((segment) => segment[34 + 13]),
    [ACK | congestionWindowReduced, ACK, ACK | PSH | FIN],
  );
});

test('what one host cuts another joins to the same data', () => {
  const frame = piece({ dataBytes: 30_000 });
  const joined: [number, number][] = [];
  const offload = new ReceiveOffload((one, segmentBytes) => {
    joined.push([one.length, segmentBytes]);
    assert.deepEqual(one.subarray(54), frame.subarray(54));
    assert.equal(read16(one, 16), 30_040);
  });
  for (const segment of cut(frame, 1448)) offload.push(segment);
  offload.flush();
  assert.deepEqual(joined, [[30_054, 1448]]);
});

test('whatever a guest says is TCP and is not, goes nowhere; and nothing else happens', () => {
  const good = piece({ dataBytes: 100 });
  const tag = [0x81, 0, 0, 0];
  const changes: [string, Uint8Array][] = [
    ['no IPv4', good.with(13, 1)],
    ['no version 4', good.with(14, 0x65)],
    ['a header too short', good.with(14, 0x44)],
    ['UDP', good.with(23, 17)],
    ['a TCP header too short', good.with(46, 0x40)],
    ['a TCP header beyond the frame', good.subarray(0, 60).with(46, 0xf0)],
    ['no data', good.subarray(0, 54)],
    [
      'three tags',
      Uint8Array.of(...good.subarray(0, 12), ...tag, ...tag, ...tag, ...good.subarray(12)),
    ],
    ['cut short', good.subarray(0, 33)],
    ['a tag and nothing behind it', Uint8Array.of(...good.subarray(0, 12), 0x81, 0, 0, 0, 0x81, 0)],
  ];
  for (const [name, frame] of changes) assert.deepEqual(cut(frame, 40), [], name);
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 120 }),
      fc.integer({ min: 1, max: 99 }),
      (bytes, size) => {
        cut(bytes, size);
        cut(Uint8Array.of(...good.subarray(0, 16), ...bytes), size);
      },
    ),
  );
});
