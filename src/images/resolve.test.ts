import assert from 'node:assert/strict';
import test from 'node:test';
import { UmbraError } from '../base/errors.ts';
import type { Package } from './archive.ts';
import { demands, PackageIndex } from './resolve.ts';

function given(name: string, depends = '', more: Partial<Package> = {}): Package {
  const rest = { version: '1', provides: '', path: '', bytes: 0, sha256: '' };
  return { name, depends, ...rest, ...more };
}

const names = (packages: readonly Package[]): string[] => packages.map(({ name }) => name);

test('demands are read as Debian writes them', () => {
  assert.deepEqual(demands('a (>= 1:2), b:any | c (<< 3) [riscv64], d'), [
    [{ name: 'a', relation: '>=', version: '1:2' }],
    [{ name: 'b' }, { name: 'c', relation: '<<', version: '3' }],
    [{ name: 'd' }],
  ]);
  assert.deepEqual(demands(' '), []);
});

test('dependencies, cycles, alternatives and virtual packages', () => {
  const index = new PackageIndex([
    given('a', 'b, c | d, virtual'),
    given('b', 'a'),
    given('d'),
    given('z-provider', '', { provides: 'virtual (= 2)' }),
    given('y-provider', '', { provides: 'virtual' }),
    given('versioned', 'virtual (>= 2)'),
  ]);
  assert.deepEqual(names(index.closure(['a'])), ['a', 'b', 'd', 'y-provider']);
  // An alternative that is chosen already is taken, whatever comes first.
  assert.deepEqual(names(index.closure(['a', 'z-provider'])), ['a', 'b', 'd', 'z-provider']);
  assert.deepEqual(names(index.closure(['versioned'])), ['versioned', 'z-provider']);
});

test('of two versions the newer one counts', () => {
  const index = new PackageIndex([
    given('a', '', { version: '1.9' }),
    given('a', '', { version: '1.10' }),
    given('a', '', { version: '1.2' }),
  ]);
  assert.equal(index.named('a').version, '1.10');
});

test('what cannot be had is named', () => {
  const index = new PackageIndex([given('a', 'b (>= 2) | c'), given('b')]);
  assert.throws(() => index.closure(['nobody']), UmbraError);
  assert.throws(() => index.closure(['a']), /a needs b \(>= 2\) or c/);
});
