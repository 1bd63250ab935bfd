import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { emptyIpv4Header, PROTOCOL_TCP, parseIpv4, writeIpv4 } from './frames/ipv4.ts';
import {
  emptySegment,
  parseTcp,
  TCP_HEADER_BYTES,
  tcpOptionsBytes,
  writeTcp,
} from './frames/tcp-segment.ts';
import {
  foldChecksum,
  formatIpv4,
  formatIpv6,
  formatMac,
  parseIpv4Text,
  parseMacText,
  readMac,
  sumWords,
  writeMac,
} from './wire.ts';

test('the checksum of the example in RFC 1071, and of a published IPv4 header', () => {
  const example = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
  assert.equal(foldChecksum(sumWords(example, 0, 8)), ~0xddf2 & 0xffff);
  const header = Uint8Array.from(Buffer.from('45000073000040004011b861c0a80001c0a800c7', 'hex'));
  assert.equal(foldChecksum(sumWords(header, 0, 20)), 0);
});

test('the checksum of any bytes equals the plain sum of 16-bit words', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000, size: 'max' }), fc.nat(20), (bytes, start) => {
      let sum = 0;
      for (let at = start; at < bytes.length; at += 2) {
        sum += bytes[at]! * 256 + (bytes[at + 1] ?? 0);
        if (sum > 0xffff) sum -= 0xffff;
      }
      assert.equal(foldChecksum(sumWords(bytes, start, bytes.length)), ~sum & 0xffff);
    }),
  );
});

test('addresses and their text', () => {
  assert.equal(formatIpv4(parseIpv4Text('203.0.113.9')!), '203.0.113.9');
  for (const bad of ['1.2.3', '1.2.3.4.5', '256.1.1.1', '01.2.3.4', 'a.b.c.d', '']) {
    assert.equal(parseIpv4Text(bad), undefined, bad);
  }
  assert.equal(formatMac(parseMacText('52:54:00:Ab:0c:FF')!), '52:54:00:ab:0c:ff');
  assert.equal(parseMacText('52:54:00:ab:0c'), undefined);
  const ipv6 = (hex: string): string => formatIpv6(Uint8Array.from(Buffer.from(hex, 'hex')));
  assert.equal(ipv6('20010db8000000000000000000000001'), '2001:db8::1');
  assert.equal(ipv6('00000000000000000000000000000000'), '::');
  assert.equal(ipv6('20010db8000000010001000100010001'), '2001:db8:0:1:1:1:1:1');
  const bytes = new Uint8Array(8);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), (mac) => {
      writeMac(bytes, 1, mac);
      assert.equal(readMac(bytes, 1), mac);
    }),
  );
});

test('a segment is parsed as it was written; one changed bit, and it is none', () => {
  const i32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const segments = fc.record({
    sourcePort: fc.nat(0xffff),
    destinationPort: fc.nat(0xffff),
    sequence: i32,
    acknowledgement: i32,
    flags: fc.nat(0x3f),
    window: fc.nat(0xffff),
    mss: fc.nat(0xffff),
    windowScale: fc.integer({ min: -1, max: 14 }),
    sackPermitted: fc.boolean(),
    sackCount: fc.nat(3),
    sack: fc.int32Array({ minLength: 8, maxLength: 8 }),
  });
  fc.assert(
    fc.property(segments, fc.nat(99), fc.nat(), (fields, payload, bit) => {
      const segment = { ...emptySegment(), ...fields };
      const options = tcpOptionsBytes(segment);
      if (options > 40) return;
      const length = TCP_HEADER_BYTES + options + payload;
      const frame = new Uint8Array(20 + length).fill(0xa5);
      writeIpv4(frame, 0, 0x0a000001, 0xc0a80001, PROTOCOL_TCP, length);
      writeTcp(frame, 20, segment, 0x0a000001, 0xc0a80001, payload);
      const ip = emptyIpv4Header();
      const parsed = emptySegment();
      assert.ok(parseIpv4(frame, 0, ip) && parseTcp(frame, ip, parsed));
      const blocks = fields.sackCount * 2;
      assert.deepEqual(parsed.sack.subarray(0, blocks), fields.sack.subarray(0, blocks));
      for (const name of Object.keys(fields) as (keyof typeof fields)[]) {
        if (name !== 'sack') assert.equal(parsed[name], fields[name], name);
      }
      assert.equal(parsed.payloadEnd - parsed.payloadStart, payload);
      const at = bit % (frame.length * 8);
      frame[at >> 3]! ^= 1 << (at & 7);
      assert.ok(!parseIpv4(frame, 0, ip) || !parseTcp(frame, ip, parsed));
    }),
  );
});
