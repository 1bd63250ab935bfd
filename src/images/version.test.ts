import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { compareVersions, satisfies } from './version.ts';

/** Rising, after Debian Policy 5.6.12 and its examples. */
const rising = [
  '~~',
  '~~a',
  '~',
  '',
  '0.9',
  '1.0~rc1',
  '1.0-0~bpo1',
  '1.0',
  '1.0-1',
  '1.0-1+deb13u1',
  '1.0+dfsg-1',
  '1.2',
  '1.10',
  '1.10-10',
  '1:0.1',
];

test('the order of Debian versions', () => {
  for (const [i, a] of rising.entries()) {
    for (const [j, b] of rising.entries()) {
      assert.equal(Math.sign(compareVersions(a, b)), Math.sign(i - j), `${a} and ${b}`);
    }
  }
  assert.equal(compareVersions('0:1.0', '1.0'), 0);
  assert.equal(compareVersions('1.00', '1.0'), 0);
  assert.ok(satisfies('2:1.0~rc1-1', '>=', '1.5'));
  assert.ok(!satisfies('1.0', '>>', '1.0'));
});

test('it is an order', () => {
  const part = fc.stringMatching(/^[0-9a-z.+~]{0,6}$/);
  fc.assert(
    fc.property(part, part, part, (a, b, c) => {
      assert.equal(Math.sign(compareVersions(a, b)) + Math.sign(compareVersions(b, a)), 0);
      const sorted = [a, b, c].sort(compareVersions);
      assert.ok(compareVersions(sorted[0]!, sorted[2]!) <= 0);
    }),
  );
});
