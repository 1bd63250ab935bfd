import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import type { VmSpec } from '../../api/agent.ts';
import { exportVm } from './vm-archive.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbra-archive-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const spec = (disks: VmSpec['disks']): VmSpec => ({
  ...{ id: 'v', name: 'one', number: 1, image: 'i', imageDigest: '', cpus: 1, memoryBytes: 4096 },
  ...{ mac: '', epochOffset: '0', randomSeed: '', disks },
});

test('an archive holds the description and the disks, and other tools read it', async () => {
  const sizes = [3 * 1024 * 1024 + 512, 1024, 2048];
  const disks = sizes.map((bytes, disk) => {
    const contents = Buffer.alloc(bytes);
    contents.fill(disk + 1, bytes >> 1, (bytes >> 1) + 300);
    writeFileSync(join(folder, `disk-${disk}.raw`), contents);
    return contents;
  });
  // Grown, and not started since.
  truncateSync(join(folder, 'disk-2.raw'), 1536);
  const path = join(folder, 'one.tar.zst');
  const vm = spec(sizes.map((bytes) => ({ bytes })));
  const seen: number[] = [];
  await exportVm(vm, folder, path, (done, total) => {
    seen.push(done);
    assert.equal(total, sizes[0]! + sizes[1]! + sizes[2]!);
  });
  assert.equal(seen.at(-1), sizes[0]! + sizes[1]! + sizes[2]!);
  const out = join(folder, 'out');
  execFileSync('mkdir', [out]);
  execFileSync('tar', ['-xf', '-', '-C', out], { input: zstdDecompressSync(readFileSync(path)) });
  assert.deepEqual(readdirSync(out).sort(), ['disk-0.raw', 'disk-1.raw', 'disk-2.raw', 'vm.json']);
  assert.deepEqual(JSON.parse(readFileSync(join(out, 'vm.json'), 'utf8')), { format: 1, vm });
  for (const [disk, contents] of disks.entries()) {
    assert.ok(readFileSync(join(out, `disk-${disk}.raw`)).equals(contents), `disk ${disk}`);
  }
  assert.ok(readFileSync(path).length < 4096, 'zeros take no room');
});

test('an export that fails says why and leaves nothing', async () => {
  const path = join(folder, 'two.tar.zst');
  const vm = spec([{ bytes: 512 }, { bytes: 512 }, { bytes: 512 }, { bytes: 512 }]);
  for (const disk of [0, 1, 2]) writeFileSync(join(folder, `disk-${disk}.raw`), Buffer.alloc(512));
  await assert.rejects(
    exportVm(vm, folder, path, () => {}),
    { code: 'export-failed', message: /disk-3.raw is missing/ },
  );
  assert.ok(!readdirSync(folder).some((name) => name.startsWith('two')));
});
