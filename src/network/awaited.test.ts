import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isAwaited } from './awaited.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP, writeIpv4 } from './frames/ipv4.ts';
import { IPV6_HEADER_BYTES } from './frames/ipv6.ts';
import {
  ACK,
  emptySegment,
  FIN,
  PSH,
  RST,
  SYN,
  TCP_HEADER_BYTES,
  type TcpSegment,
  tcpOptionsBytes,
  writeTcp,
} from './frames/tcp-segment.ts';
import { write16 } from './wire.ts';

const ip = 14;

function overIpv4(fields: Partial<TcpSegment>, dataBytes = 0, padding = 0): Uint8Array {
  const segment = { ...emptySegment(), flags: ACK, ...fields };
  const length = TCP_HEADER_BYTES + tcpOptionsBytes(segment) + dataBytes;
  const frame = new Uint8Array(ip + 20 + length + padding);
  write16(frame, 12, 0x0800);
  const at = writeIpv4(frame, ip, 1, 2, PROTOCOL_TCP, length);
  writeTcp(frame, at, segment, 1, 2, dataBytes);
  return frame;
}

function overIpv6(dataBytes: number, nextHeader = PROTOCOL_TCP): Uint8Array {
  const start = ip + IPV6_HEADER_BYTES;
  const frame = new Uint8Array(start + TCP_HEADER_BYTES + dataBytes);
  write16(frame, 12, 0x86dd);
  frame[ip] = 0x60;
  write16(frame, ip + 4, TCP_HEADER_BYTES + dataBytes);
  frame[ip + 6] = nextHeader;
  writeTcp(frame, start, { ...emptySegment(), flags: ACK }, 1, 2, dataBytes);
  return frame;
}

test('nobody waits for a bare acknowledgement, whatever its options and padding', () => {
  const sack = Int32Array.of(5, 9, 0, 0, 0, 0, 0, 0);
  for (const frame of [
    overIpv4({}),
    overIpv4({}, 0, 6),
    overIpv4({ sackCount: 1, sack }),
    overIpv4({ flags: ACK | PSH }),
    overIpv6(0),
  ]) {
    assert.equal(isAwaited(frame), false);
  }
});

test('nobody waits for the first part of much', () => {
  const [most, least] = [32 * 1024 - 1, 32 * 1024];
  assert.equal(isAwaited(overIpv4({ flags: ACK | PSH }, most)), true);
  assert.equal(isAwaited(overIpv4({ flags: ACK | PSH }, least)), false);
  assert.equal(isAwaited(overIpv4({ flags: ACK | FIN }, least)), true);
  assert.equal(isAwaited(overIpv6(most)), true);
  assert.equal(isAwaited(overIpv6(least)), false);
});

test('anything else is awaited: data, what opens or ends a connection, other protocols', () => {
  const udp = overIpv4({});
  udp[ip + 9] = PROTOCOL_UDP;
  const arp = overIpv4({});
  write16(arp, 12, 0x0806);
  for (const frame of [
    overIpv4({}, 1),
    overIpv6(1),
    overIpv6(0, 0),
    overIpv4({ flags: SYN | ACK }),
    overIpv4({ flags: FIN | ACK }),
    overIpv4({ flags: RST }),
    udp,
    arp,
  ]) {
    assert.equal(isAwaited(frame), true);
  }
});

test('whatever a guest sends is read within its bounds', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 14, maxLength: 90 }),
    fc.tuple(fc.nat(80), fc.uint8Array({ maxLength: 60 })).map(([at, noise]) => {
      const frame = overIpv4({}, 7);
      frame.set(noise.subarray(0, Math.max(0, frame.length - at)), Math.min(at, frame.length));
      return frame.subarray(0, Math.max(14, frame.length - noise.length));
    }),
  );
  fc.assert(fc.property(bytes, (frame) => typeof isAwaited(frame) === 'boolean'));
});
