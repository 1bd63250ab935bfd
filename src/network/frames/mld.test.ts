/** A report byte for byte, as RFC 3810 draws it; tests/system/uplink.test.ts asks a real bridge. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { formatIpv6 } from '../wire.ts';
import { buildGroupReport, groupMac, solicitedNodeGroup } from './mld.ts';

const hex = (text: string): Uint8Array =>
  new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const linkLocal = hex('fe80 0000 0000 0000 5054 00ff fe00 0001');
const global = hex('fd99 0000 0000 0000 0000 0000 0012 3456');

test('addresses have groups, groups have MACs', () => {
  assert.equal(formatIpv6(solicitedNodeGroup(linkLocal)), 'ff02::1:ff00:1');
  assert.equal(formatIpv6(solicitedNodeGroup(global)), 'ff02::1:ff12:3456');
  assert.equal(groupMac(solicitedNodeGroup(global)), 0x3333ff123456);
});

test('a report of two groups, each once, from the link-local address', () => {
  const same = hex('2001 0db8 0000 0000 0000 0000 0012 3456');
  const frame = buildGroupReport(0x525400000001, [global, linkLocal, same]);
  const expected = hex(
    [
      '3333 0000 0016 5254 0000 0001 86dd',
      // Version, length, hop-by-hop next, hop limit 1; from and to.
      '6000 0000 0038 00 01',
      'fe80 0000 0000 0000 5054 00ff fe00 0001',
      'ff02 0000 0000 0000 0000 0000 0000 0016',
      // ICMPv6 next; router alert for MLD; padding.
      '3a 00 05 02 0000 01 00',
      // Type, code, checksum, reserved, two records.
      '8f 00 eb30 0000 0002',
      '04 00 0000 ff02 0000 0000 0000 0000 0001 ff12 3456',
      '04 00 0000 ff02 0000 0000 0000 0000 0001 ff00 0001',
    ].join(''),
  );
  assert.equal(Buffer.from(frame).toString('hex'), Buffer.from(expected).toString('hex'));
});

test('without a link-local address it comes from none', () => {
  const frame = buildGroupReport(0x525400000001, [global]);
  assert.deepEqual(frame.subarray(22, 38), new Uint8Array(16));
});
