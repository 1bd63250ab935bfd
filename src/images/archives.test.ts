/** The containers: ar, cpio, and the compressions of Debian packages. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { UmbraError } from '../base/errors.ts';
import { MalformedAr, readAr, writeAr } from './ar.ts';
import { decompressAll } from './compression.ts';
import { writeCpio } from './cpio.ts';
import { Tree } from './tree.ts';

test('ar: what is written is read again, anything else is refused', () => {
  const member = fc.record({
    name: fc.stringMatching(/^[a-z][a-z.-]{0,14}$/),
    bytes: fc.uint8Array(),
  });
  fc.assert(
    fc.property(fc.array(member, { maxLength: 4 }), fc.nat(), (members, cut) => {
      const written = writeAr(members);
      const read = readAr(written);
      assert.deepEqual(
        read.map(({ name, bytes }) => ({ name, bytes: Uint8Array.from(bytes) })),
        members.map(({ name, bytes }) => ({ name, bytes: Uint8Array.from(bytes) })),
      );
      try {
        readAr(written.subarray(0, cut % written.length));
      } catch (error) {
        assert.ok(error instanceof MalformedAr);
      }
    }),
  );
});

test('cpio: the system’s own cpio or bsdtar unpacks it', (context) => {
  const tree = new Tree();
  tree.file('/bin/tool', 'body', 0o755);
  tree.file('/etc/empty', '');
  tree.link('/etc/alias', 'empty');
  const folder = mkdtempSync(join(tmpdir(), 'umbra-cpio-'));
  try {
    const run = ['cpio', 'busybox'].map((program) =>
      spawnSync(program, program === 'cpio' ? ['-idm'] : ['cpio', '-idm'], {
        cwd: folder,
        input: writeCpio(tree),
      }),
    );
    if (run.every(({ status }) => status !== 0)) return context.skip('there is no cpio here');
    assert.equal(readFileSync(join(folder, 'usr/bin/tool'), 'utf8'), 'body');
    assert.equal(statSync(join(folder, 'bin/tool')).mode & 0o777, 0o755);
    assert.equal(readlinkSync(join(folder, 'etc/alias')), 'empty');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('cpio: the order in which a tree was filled does not matter', () => {
  const names = ['/a', '/b/c', '/b/d', '/usr/bin/x'];
  const fill = (order: readonly string[]): Uint8Array => {
    const tree = new Tree();
    for (const name of order) tree.file(name, name);
    return writeCpio(tree);
  };
  assert.deepEqual(fill(names), fill(names.toReversed()));
});

test('xz, zstd and gzip are told by their names; a broken stream is refused', async () => {
  const text = Buffer.from('an umbra is a full shadow\n');
  // From `xz --check=crc32`, 5.4.1.
  const xz = Buffer.from(
    '/Td6WFoAAAFpIt42AgAhARYAAAB0L+WjAQAZYW4gdW1icmEgaXMgYSBmdWxsIHNoYWRvdwoAAAD9uj4bAAEuGn1F49aQQpkNAQAAAAABWVo=',
    'base64',
  );
  for (const [name, packed] of [
    ['data.tar.xz', xz],
    ['data.tar.gz', gzipSync(text)],
    ['data.tar.zst', zstdCompressSync(text)],
    ['data.tar', text],
  ] as const) {
    assert.deepEqual(Buffer.from(await decompressAll(packed, name)), text, name);
  }
  for (const name of ['x.xz', 'x.gz', 'x.zst']) {
    await assert.rejects(decompressAll(text, name), UmbraError, name);
  }
  await assert.rejects(decompressAll(xz.subarray(0, 30), 'x.xz'), UmbraError);
});
