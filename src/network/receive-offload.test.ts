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
  type TcpSegment,
  writeTcp,
} from './frames/tcp-segment.ts';
import { joinedBytesMax, ReceiveOffload } from './receive-offload.ts';
import { foldChecksum, pseudoHeaderSum, read16, write16 } from './wire.ts';

const source = 0x0a000001;
const destination = 0x0a000002;
const ip = 14;
const tcp = 34;
const headerBytes = 54;

interface Shape {
  readonly data: Uint8Array;
  readonly segment?: Partial<TcpSegment>;
  readonly change?: (frame: Uint8Array) => void;
}

/** A good frame, but for what `change` does to it. */
function frameOf({ data, segment = {}, change }: Shape): Uint8Array {
  const frame = new Uint8Array(headerBytes + data.length);
  frame.fill(2, 0, 12);
  write16(frame, 12, 0x0800);
  writeIpv4(frame, ip, source, destination, PROTOCOL_TCP, TCP_HEADER_BYTES + data.length);
  frame.set(data, headerBytes);
  const fields = { ...emptySegment(), sourcePort: 7, destinationPort: 8, flags: ACK, ...segment };
  writeTcp(frame, tcp, fields, source, destination, data.length);
  change?.(frame);
  return frame;
}

/** Data in segments of one length, one behind the other. */
function stream(data: Uint8Array, segmentBytes: number, first = 100): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let start = 0; start < data.length; start += segmentBytes) {
    const part = data.subarray(start, start + segmentBytes);
    frames.push(frameOf({ data: part, segment: { sequence: (first + start) | 0 } }));
  }
  return frames;
}

function through(frames: readonly Uint8Array[]): { frame: Uint8Array; segmentBytes: number }[] {
  const taken: { frame: Uint8Array; segmentBytes: number }[] = [];
  const offload = new ReceiveOffload((frame, segmentBytes) => taken.push({ frame, segmentBytes }));
  for (const frame of frames) offload.push(frame);
  offload.flush();
  return taken;
}

/** What a guest does with a joined frame that it sends on: the checksum as if it were one segment. */
function completed(frame: Uint8Array): Uint8Array {
  const whole = frame.slice();
  const bytes = whole.length - tcp;
  const partial = pseudoHeaderSum(source, destination, PROTOCOL_TCP, bytes);
  assert.equal(read16(whole, tcp + 16), ~foldChecksum(partial) & 0xffff);
  write16(whole, tcp + 16, 0);
  const segment = emptySegment();
  segment.sourcePort = read16(whole, tcp);
  segment.destinationPort = read16(whole, tcp + 2);
  segment.sequence = (read16(whole, tcp + 4) << 16) | read16(whole, tcp + 6);
  segment.flags = whole[tcp + 13]!;
  segment.window = read16(whole, tcp + 14);
  writeTcp(whole, tcp, segment, source, destination, whole.length - headerBytes);
  return whole;
}

test('data in segments becomes one frame with the same data', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1460 }),
      fc.integer({ min: 2, max: 40 }),
      fc.nat(1459),
      fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      (segmentBytes, count, short, first) => {
        const length = segmentBytes * count - (short % segmentBytes);
        const data = Uint8Array.from({ length }, (_, at) => at * 7 + (at >> 8));
        const [one, ...more] = through(stream(data, segmentBytes, first));
        assert.deepEqual(more, []);
        assert.equal(one!.segmentBytes, segmentBytes);
        const frame = completed(one!.frame);
        const header = emptyIpv4Header();
        const segment = emptySegment();
        assert.ok(parseIpv4(frame, ip, header) && parseTcp(frame, header, segment));
        assert.equal(segment.sequence, first);
        assert.deepEqual(frame.subarray(segment.payloadStart), data);
      },
    ),
    { numRuns: 60 },
  );
});

test('any frames: the same bytes of data in the same order, and nothing else', () => {
  const shape = fc.record({
    bytes: fc.integer({ min: 0, max: 30 }),
    skip: fc.constantFrom(0, 0, 0, 0, 5),
    flags: fc.constantFrom(ACK, ACK, ACK, ACK | PSH, ACK | FIN),
    window: fc.constantFrom(9, 9, 9, 10),
    port: fc.constantFrom(8, 8, 8, 9),
    damaged: fc.constantFrom(false, false, false, true),
  });
  fc.assert(
    fc.property(fc.array(shape, { maxLength: 30 }), (shapes) => {
      let sequence = 0;
      let fill = 1;
      const frames = shapes.map(({ bytes, skip, flags, window, port, damaged }) => {
        sequence += skip;
        const data = Uint8Array.from({ length: bytes }, () => fill++);
        const segment = { sequence, flags, window, destinationPort: port };
        sequence += bytes;
        const change = (frame: Uint8Array): void => {
          if (damaged) frame[tcp + 16]! ^= 1;
        };
        return frameOf({ data, segment, change });
      });
      const taken = through(frames);
      let next = 0;
      for (const { frame, segmentBytes } of taken) {
        if (segmentBytes === 0) {
          assert.deepEqual(frame, frames[next++]);
          continue;
        }
        const data = frame.subarray(headerBytes);
        assert.ok(data.length > segmentBytes);
        for (let start = 0; start < data.length; start += segmentBytes) {
          const part = frames[next]!;
          assert.ok(!shapes[next]!.damaged);
          assert.deepEqual(part.subarray(headerBytes), data.subarray(start, start + segmentBytes));
          assert.equal(read16(part, tcp + 2), read16(frame, tcp + 2));
          assert.equal(read16(part, tcp + 14), read16(frame, tcp + 14));
          next++;
        }
        assert.equal(frame[tcp + 13], frames[next - 1]![tcp + 13]);
      }
      assert.equal(next, frames.length);
    }),
    { numRuns: 500 },
  );
});

test('a frame holds an IPv4 packet and no more', () => {
  const taken = through(stream(new Uint8Array(200_000), 1460));
  assert.deepEqual(
    taken.map(({ frame }) => frame.length),
    [44, 44, 44, 5]
      .map((segments) => headerBytes + 1460 * segments)
      .with(3, 54 + 200_000 - 132 * 1460),
  );
  assert.ok(taken.every(({ frame }) => frame.length <= joinedBytesMax));
});

test('what its sender pushes ends a frame, which says so', () => {
  const data = new Uint8Array(100);
  const pushed = (sequence: number, flags: number): Uint8Array =>
    frameOf({ data, segment: { sequence, flags } });
  const frames = [pushed(0, ACK), pushed(100, ACK | PSH), pushed(200, ACK), pushed(300, ACK)];
  assert.deepEqual(
    through(frames).map(({ frame }) => [frame.length, frame[tcp + 13]]),
    [
      [254, ACK | PSH],
      [254, ACK],
    ],
  );
});

test('what may not be joined passes as it came', () => {
  const data = new Uint8Array(100);
  const second = (change: (frame: Uint8Array) => void): Uint8Array =>
    frameOf({ data, segment: { sequence: 100 }, change });
  const reIp = (frame: Uint8Array): void => {
    write16(frame, ip + 10, 0);
    let sum = 0;
    for (let at = ip; at < tcp; at += 2) sum += read16(frame, at);
    write16(frame, ip + 10, foldChecksum(sum));
  };
  const others: Record<string, Uint8Array> = {
    'another card': second((frame) => frame.fill(3, 0, 6)),
    'another kind of frame': second((frame) => write16(frame, 12, 0x86dd)),
    'a fragment': second((frame) => {
      write16(frame, ip + 6, 0x2000);
      reIp(frame);
    }),
    'another time to live': second((frame) => {
      frame[ip + 8]!--;
      reIp(frame);
    }),
    'congestion seen': second((frame) => {
      frame[ip + 1] = 3;
      reIp(frame);
    }),
    'a wrong checksum of the packet': second((frame) => {
      frame[ip + 10]! ^= 1;
    }),
    'a wrong checksum of the segment': second((frame) => {
      frame[headerBytes + 5]! ^= 1;
    }),
    'a frame cut short': second(() => {}).subarray(0, 120),
    'a frame with padding': Uint8Array.of(...second(() => {}), 0, 0),
    'a gap': frameOf({ data, segment: { sequence: 101 } }),
    'what was there already': frameOf({ data, segment: { sequence: 0 } }),
    'another acknowledgement': frameOf({ data, segment: { sequence: 100, acknowledgement: 1 } }),
    'an end': frameOf({ data, segment: { sequence: 100, flags: ACK | FIN } }),
    'no data': frameOf({ data: new Uint8Array(0), segment: { sequence: 100 } }),
    'more data than before': frameOf({ data: new Uint8Array(101), segment: { sequence: 100 } }),
    'a runt': new Uint8Array(10),
  };
  const first = frameOf({ data, segment: { sequence: 0 } });
  for (const [name, other] of Object.entries(others)) {
    const taken = through([first, other]);
    assert.deepEqual(
      taken,
      [first, other].map((frame) => ({ frame, segmentBytes: 0 })),
      name,
    );
  }
});
