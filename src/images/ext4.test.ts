import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { emptyExt4 } from './ext4.ts';

const MiB = 2 ** 20;

test('e2fsck finds nothing to repair, at any size', (context) => {
  if (spawnSync('e2fsck', ['-V']).status !== 0) return context.skip('there is no e2fsck here');
  const folder = mkdtempSync(join(tmpdir(), 'umbra-ext4-'));
  // The smallest, one group to the block and beyond it, groups with and without a superblock, a
  // last group that is too small, several blocks of descriptors.
  const sizes = [16, 17, 64, 128, 129, 131, 200, 600, 1300, 3000, 20_000];
  try {
    for (const size of sizes) {
      const path = join(folder, 'disk');
      const file = openSync(path, 'w');
      ftruncateSync(file, size * MiB);
      for (const { offset, bytes } of emptyExt4(size * MiB, 'data', 'seed')) {
        writeSync(file, bytes, 0, bytes.length, offset);
      }
      const check = spawnSync('e2fsck', ['-f', '-n', path], { encoding: 'utf8' });
      assert.equal(check.status, 0, `${size} MiB:\n${check.stdout}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the seed decides the bytes, and nothing else does', () => {
  assert.deepEqual(emptyExt4(64 * MiB, 'data', 'a'), emptyExt4(64 * MiB, 'data', 'a'));
  assert.notDeepEqual(emptyExt4(64 * MiB, 'data', 'a'), emptyExt4(64 * MiB, 'data', 'b'));
});
