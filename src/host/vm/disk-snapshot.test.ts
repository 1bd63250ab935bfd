/** Copies of disks in use: exact to the request, sparse, and never at the disk's expense. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import fc from 'fast-check';
import type { DiskCompletion } from '../../lockstep/ports.ts';
import type { DiskRequest } from '../../machine/effects.ts';
import { FileDisks } from './file-disk.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbra-disk-snapshot-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const sector = 512;
const block = 64 * 1024;
const nothing = new Uint8Array(0);
let files = 0;
const newPath = (): string => join(folder, `file-${files++}`);
const noRoom = async (): Promise<void> => assert.fail('there was room');

const operations = fc.array(
  fc.record({
    action: fc.constantFrom('read', 'write', 'write', 'write', 'discard', 'flush' as const),
    disk: fc.integer({ min: 0, max: 1 }),
    /** In sectors; the second disk ends in the middle of a block. */
    from: fc.integer({ min: 0, max: 5 * 128 - 40 }),
    length: fc.integer({ min: 1, max: 200 }),
    fill: fc.integer({ min: 1, max: 255 }),
    /** Turns of the event loop before the next one. */
    wait: fc.constantFrom(0, 0, 0, 1, 3),
  }),
  { minLength: 5, maxLength: 50 },
);

test('a snapshot holds what was submitted before it, and nothing of what came after', async () => {
  const at = fc.double({ min: 0, max: 1, noNaN: true });
  await fc.assert(
    fc.asyncProperty(operations, at, async (list, moment) => {
      const sizes = [5 * block, 4 * block + 24 * sector];
      const disksOf = sizes.map((bytes) => ({ path: newPath(), bytes }));
      const models = sizes.map((bytes) => new Uint8Array(bytes));
      const reads: [expected: Uint8Array, request: number][] = [];
      const done = new Map<number, DiskCompletion>();
      const disks = await FileDisks.open(disksOf, (_origin, completion) => {
        done.set(completion.request, completion);
      });
      const copies = sizes.map(newPath);
      const beginsAt = Math.floor(moment * (list.length - 1));
      let expected: Buffer[] = [];
      let snapshot: ReturnType<FileDisks['snapshot']> | undefined;
      for (const [request, { action, disk, from, length: sectors, fill, wait }] of list.entries()) {
        if (request === beginsAt) {
          expected = models.map((model) => Buffer.from(model));
          snapshot = disks.snapshot(copies, noRoom);
        }
        const model = models[disk]!;
        const offset = Math.min(from * sector, model.length - sector);
        const length = action === 'flush' ? 0 : Math.min(sectors * sector, model.length - offset);
        const data = action === 'write' ? new Uint8Array(length).fill(fill) : nothing;
        if (action === 'read') reads.push([model.slice(offset, offset + length), request]);
        if (action === 'write') model.set(data, offset);
        if (action === 'discard') model.fill(0, offset, offset + length);
        disks.submit('guest', { disk, request, action, offset, length, data });
        for (let turn = 0; turn < wait; turn++) await new Promise((next) => setImmediate(next));
      }
      await snapshot!.copied;
      snapshot!.release();
      assert.equal(snapshot!.bytesDone, 9 * block + 24 * sector);
      await disks.close();
      for (const [index, path] of copies.entries()) {
        assert.ok(readFileSync(path).equals(expected[index]!), `the copy of disk ${index}`);
        const { path: own } = disksOf[index]!;
        assert.ok(readFileSync(own).equals(Buffer.from(models[index]!)), `disk ${index} itself`);
      }
      for (const [bytes, request] of reads) {
        assert.ok(Buffer.from(done.get(request)!.data).equals(Buffer.from(bytes)));
      }
      assert.ok([...done.values()].every(({ ok }) => ok));
      for (const path of [...copies, ...disksOf.map(({ path: own }) => own)]) rmSync(path);
    }),
    { numRuns: 80 },
  );
});

const write = (request: number, offset: number, fill: number): DiskRequest => ({
  ...{ disk: 0, request, action: 'write', offset, length: sector },
  data: new Uint8Array(sector).fill(fill),
});

test('the copy of a sparse disk is sparse', async () => {
  const file = { path: newPath(), bytes: 64 << 20 };
  const disks = await FileDisks.open([file], () => {});
  disks.submit('guest', write(0, 33 << 20, 7));
  const copy = newPath();
  const snapshot = disks.snapshot([copy], noRoom);
  await snapshot.copied;
  snapshot.release();
  await disks.close();
  assert.equal(statSync(copy).size, file.bytes);
  assert.ok(statSync(copy).blocks * 512 <= 4 * block, `${statSync(copy).blocks} blocks`);
  assert.ok(readFileSync(copy).equals(readFileSync(file.path)));
});

test('a disk that cannot be read fails its snapshot, and is written all the same', async () => {
  const file = { path: newPath(), bytes: 8 * block };
  const done: DiskCompletion[] = [];
  const disks = await FileDisks.open([file], (_origin, completion) => done.push(completion));
  truncateSync(file.path, 3 * block);
  const copy = newPath();
  const snapshot = disks.snapshot([copy], noRoom);
  for (let request = 0; request < 8; request++) {
    disks.submit('guest', write(request, request * block, 1));
  }
  await assert.rejects(snapshot.copied, /shorter than its disk/);
  await snapshot.giveUp();
  assert.ok(!existsSync(copy));
  await disks.close();
  assert.equal(done.length, 8);
  assert.ok(done.every(({ ok }) => ok));
});

test('a snapshot that is given up leaves nothing, and the next one is exact', async () => {
  const file = { path: newPath(), bytes: 16 << 20 };
  const disks = await FileDisks.open([file], (_origin, { ok }) => assert.ok(ok));
  for (let request = 0; request < 256; request++) {
    disks.submit('guest', write(request, request * block, 3));
  }
  const copy = newPath();
  const snapshot = disks.snapshot([copy], noRoom);
  disks.submit('guest', write(256, 0, 4));
  await snapshot.giveUp();
  assert.ok(!existsSync(copy));
  await assert.rejects(snapshot.copied, /given up/);
  disks.submit('guest', write(257, block, 5));
  const again = disks.snapshot([copy], noRoom);
  disks.submit('guest', write(258, block, 6));
  await again.copied;
  const copied = readFileSync(copy);
  assert.deepEqual([copied[0], copied[block], copied[2 * block]], [4, 5, 3]);
  await disks.close();
  assert.equal(readFileSync(file.path)[block], 6);
});

/** A file system of one megabyte, or why there can be none. */
function smallFolder(): { readonly path: string; readonly missing?: string; close(): void } {
  const path = mkdtempSync(join(tmpdir(), 'umbra-small-'));
  const remove = (): void => rmSync(path, { recursive: true, force: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path], { stdio: 'ignore' });
  } catch {
    return { path, missing: 'needs to mount a tmpfs', close: remove };
  }
  const close = (): void => {
    execFileSync('umount', ['--lazy', path]);
    remove();
  };
  return { path, close };
}

test('a snapshot gives its room back before it costs the guest a write', async (t) => {
  const small = smallFolder();
  try {
    if (small.missing !== undefined) return t.skip(small.missing);
    for (const moment of ['copied', 'begun', 'in the middle'] as const) {
      const file = { path: join(small.path, 'disk'), bytes: 2 << 20 };
      const done: DiskCompletion[] = [];
      const disks = await FileDisks.open([file], (_origin, completion) => done.push(completion));
      const whole = (request: number): DiskRequest => ({
        ...{ disk: 0, request, action: 'write', offset: request * block, length: block },
        data: new Uint8Array(block).fill(request + 1),
      });
      const full = join(small.path, 'full');
      const sooner = moment === 'in the middle' ? 11 : 7;
      // Then it is the writes that the snapshot waits for which find no room.
      if (sooner > 7) writeFileSync(full, Buffer.alloc(8 * block));
      for (let request = 0; request < sooner; request++) disks.submit('guest', whole(request));
      const copy = join(small.path, 'copy');
      let given = 0;
      const snapshot = disks.snapshot([copy], async () => {
        given++;
        await snapshot.giveUp();
        rmSync(full, { force: true });
      });
      if (moment === 'copied') await snapshot.copied;
      // Eleven blocks of the guest's and seven of the copy are more than sixteen.
      for (let request = sooner; request < 11; request++) disks.submit('guest', whole(request));
      await disks.close();
      assert.equal(done.length, 11);
      assert.ok(done.every(({ ok }) => ok));
      assert.ok(moment === 'begun' || given === 1, 'there was room: this has shown nothing');
      await snapshot.giveUp();
      assert.ok(!existsSync(copy));
      const bytes = readFileSync(file.path);
      for (let at = 0; at < 11; at++) assert.equal(bytes[at * block], at + 1);
      rmSync(file.path);
    }
  } finally {
    small.close();
  }
});
