import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { violations } from './house.ts';

function houseWith(files: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'umbra-house-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, 'src', name)), { recursive: true });
      writeFileSync(join(root, 'src', name), text);
    }
    return violations(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test('an import against the direction is found', () => {
  const found = houseWith({
    'base/a.ts': "import { x } from '../machine/b.ts';",
    'machine/b.ts': 'export const x = 1;',
  });
  assert.deepEqual(found, ['base/a.ts: base may not import from machine']);
});

test('a clock, randomness, Node and inexact mathematics are found in pure folders only', () => {
  const impure = "import 'x'; import { y } from 'node:fs'; Date.now(); Math.random(); Math.sin(1);";
  assert.equal(houseWith({ 'devices/a.ts': impure }).length, 5);
  assert.equal(houseWith({ 'host/a.ts': impure }).length, 0);
});

test('comments do not count', () => {
  assert.deepEqual(houseWith({ 'base/a.ts': '/* Date.now() */\n// Math.random()\n' }), []);
});
