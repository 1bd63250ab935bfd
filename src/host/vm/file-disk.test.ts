import assert from 'node:assert/strict';
import { constants, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import fc from 'fast-check';
import type { DiskCompletion } from '../../lockstep/ports.ts';
import type { DiskRequest } from '../../machine/effects.ts';
import { type DiskFile, FileDisks } from './file-disk.ts';
import { openFlags } from './open-flags.fixture.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbra-disks-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const sector = 512;
const sectors = 64;
const nothing = new Uint8Array(0);
let files = 0;

const newFile = (own: Partial<DiskFile> = {}): DiskFile => ({
  path: join(folder, `disk-${files++}.raw`),
  bytes: sectors * sector,
  ...own,
});

/** Requests close to each other, so that most of them overlap some other. */
const operations = fc.array(
  fc.record({
    action: fc.constantFrom('read', 'write', 'write', 'discard', 'flush' as const),
    from: fc.integer({ min: 0, max: 11 }),
    length: fc.integer({ min: 1, max: 12 }),
    fill: fc.integer({ min: 1, max: 255 }),
    origin: fc.constantFrom('guest', 'copy' as const),
  }),
  { minLength: 1, maxLength: 60 },
);

test('a disk that another system is to read is written through', async () => {
  for (const writeThrough of [true, false]) {
    const file = newFile({ writeThrough });
    const disks = await FileDisks.open([file], () => {});
    assert.equal((openFlags('self', file.path) & constants.O_DSYNC) !== 0, writeThrough);
    await disks.close();
  }
});

test('overlapping requests are carried out in the order of submission', async () => {
  await fc.assert(
    fc.asyncProperty(operations, async (list) => {
      const file = newFile();
      const model = new Uint8Array(file.bytes);
      const expected = new Map<string, Uint8Array>();
      const done = new Map<string, DiskCompletion>();
      const disks = await FileDisks.open([file], (origin, completion) => {
        done.set(`${origin} ${completion.request}`, completion);
      });
      for (const [request, { action, from, length, fill, origin }] of list.entries()) {
        const at = from * sector;
        const bytes = action === 'flush' ? 0 : length * sector;
        const data = action === 'write' ? new Uint8Array(bytes).fill(fill) : nothing;
        // In the model everything happens at once, when it is submitted.
        expected.set(
          `${origin} ${request}`,
          action === 'read' ? model.slice(at, at + bytes) : nothing,
        );
        if (action === 'write') model.set(data, at);
        if (action === 'discard') model.fill(0, at, at + bytes);
        disks.submit(origin, { disk: 0, request, action, offset: at, length: bytes, data });
      }
      await disks.close();
      assert.equal(done.size, list.length);
      for (const [name, { ok, data }] of done) {
        assert.ok(ok);
        assert.deepEqual(Buffer.from(data), Buffer.from(expected.get(name)!), name);
      }
      assert.deepEqual(readFileSync(file.path), Buffer.from(model));
    }),
    { numRuns: 60 },
  );
});

test('a request that fails says so, and the next one is carried out', async () => {
  const file = newFile();
  const done: DiskCompletion[] = [];
  const disks = await FileDisks.open([file], (_origin, completion) => done.push(completion));
  const read: DiskRequest = {
    disk: 0,
    request: 1,
    action: 'read',
    offset: 0,
    length: file.bytes,
    data: nothing,
  };
  truncateSync(file.path, 100);
  disks.submit('guest', read);
  disks.submit('guest', {
    ...read,
    request: 2,
    action: 'write',
    length: 4,
    data: Buffer.from('abcd'),
  });
  await disks.close();
  const results = done.map(({ request, ok }) => [request, ok]);
  assert.deepEqual(results, [
    [1, false],
    [2, true],
  ]);
});

test('a discard of any length reads as zeros, and touches nothing beside it', async () => {
  const bytes = (3 << 20) + 2 * sector;
  const file = newFile({ bytes });
  writeFileSync(file.path, Buffer.alloc(bytes, 0x55));
  const disks = await FileDisks.open([file], (_origin, { ok }) => assert.ok(ok));
  const [offset, length] = [sector, bytes - 2 * sector];
  disks.submit('guest', { disk: 0, request: 0, action: 'discard', offset, length, data: nothing });
  await disks.close();
  const expected = Buffer.alloc(bytes, 0x55).fill(0, offset, offset + length);
  assert.ok(readFileSync(file.path).equals(expected));
});

test('a new disk is zeros, or its template and zeros behind it', async () => {
  const template = join(folder, 'template');
  writeFileSync(template, 'something');
  const [zeros, copy] = [newFile(), newFile({ template })];
  await (await FileDisks.open([zeros, copy], () => {})).close();
  assert.deepEqual(readFileSync(zeros.path), Buffer.alloc(zeros.bytes));
  const expected = Buffer.alloc(copy.bytes);
  expected.write('something');
  assert.deepEqual(readFileSync(copy.path), expected);
});

test('a disk grows from a size that it had, or from any where its contents do not count', async () => {
  const [grown, stale] = [newFile({ formerBytes: [512, 1024] }), newFile({ formerBytes: 'any' })];
  writeFileSync(grown.path, Buffer.alloc(1024, 7));
  writeFileSync(stale.path, Buffer.alloc(2 * stale.bytes, 7));
  await (await FileDisks.open([grown, stale], () => {})).close();
  assert.deepEqual(
    readFileSync(grown.path),
    Buffer.concat([Buffer.alloc(1024, 7), Buffer.alloc(grown.bytes - 1024)]),
  );
  assert.equal(readFileSync(stale.path).length, stale.bytes);
  writeFileSync(grown.path, Buffer.alloc(700));
  await assert.rejects(
    FileDisks.open([grown], () => {}),
    { code: 'disk-size' },
  );
});

test('a disk of another size is refused, and left as it is', async () => {
  const file = newFile();
  writeFileSync(file.path, 'short');
  const expected = { code: 'disk-size', message: /has 5 bytes where the VM wants 32768/ };
  await assert.rejects(
    FileDisks.open([file], () => {}),
    expected,
  );
  assert.equal(readFileSync(file.path, 'utf8'), 'short');
});
