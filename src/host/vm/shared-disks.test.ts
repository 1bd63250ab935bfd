/** Folders of disks: which are made, gone on with, copied and removed. */
import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { VmSpec } from '../../api/agent.ts';
import { newRecord, type VmRecord } from '../../lockstep/arbiter.ts';
import { disksFolder, SharedDisks } from './shared-disks.ts';

const bytes = 4096;

describe('shared disks', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'umbra-shared-'));
    writeFileSync(join(folder, 'template'), Buffer.alloc(bytes, 'template'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const vm = {
    disks: [{ bytes, template: 'template' }, { bytes: 512 }],
  } as unknown as VmSpec;
  const of = (process: string): SharedDisks =>
    new SharedDisks({
      ...{ vm, folder, process, note: () => {} },
      templateOf: (template) => join(folder, template),
    });
  const record = (changes: Partial<VmRecord>): VmRecord => ({
    ...newRecord(1, [], { renewals: 0 }).record,
    ...changes,
  });
  const named = (disks: string) => ({ disks, renewals: 0 });
  const present = (): string[] => readdirSync(folder).filter((name) => name.startsWith('disks-'));

  test('the first start makes them, later ones go on with what a stop has left', async () => {
    const made = await of('p1').prepare(record({}), undefined);
    assert.equal(made.disks, '1-1-p1');
    assert.equal(readFileSync(join(made.folder, 'disk-0.raw')).toString().slice(0, 8), 'template');
    assert.equal(readFileSync(join(made.folder, 'disk-1.raw')).length, 512);
    const stopped = record({ generation: 2, shared: named('1-1-p1') });
    const next = await of('p2').prepare(stopped, undefined);
    assert.deepEqual(next, { folder: made.folder, disks: undefined });
  });

  test('those of a copy that was live are taken over; its late writes are read by nobody', async () => {
    const first = await of('p1').prepare(record({}), undefined);
    const late = openSync(join(first.folder, 'disk-0.raw'), 'r+');
    writeSync(late, 'in time ', 0);
    // It grew since, and grows again when it is opened.
    truncateSync(join(first.folder, 'disk-1.raw'), 1024);
    const live = record({ generation: 1, state: 'live', shared: named('1-1-p1') });
    const second = of('p2');
    const taken = await second.prepare(live, undefined);
    assert.equal(taken.disks, '1-2-p2');
    writeSync(late, 'too late', 0);
    assert.equal(readFileSync(join(taken.folder, 'disk-0.raw')).toString().slice(0, 8), 'in time ');
    assert.equal(readFileSync(join(taken.folder, 'disk-1.raw')).length, 1024);
    assert.deepEqual(await second.take(live), taken, 'asked again');
    await second.wentLive(undefined);
    assert.deepEqual(present(), ['disks-1-2-p2']);
  });

  test('a stale copy removes nothing that is newer than its own, whole or not', async () => {
    const stale = of('p1');
    await stale.prepare(record({ generation: 4 }), undefined);
    for (const name of ['disks-1-4-a', 'disks-1-9-b', 'disks-2-1-c', 'disks-1-7-d.unfinished']) {
      mkdirSync(join(folder, name));
    }
    mkdirSync(join(folder, 'disks-1-3-e.unfinished'));
    mkdirSync(join(folder, 'saved-x'));
    await stale.wentLive(undefined);
    assert.deepEqual(present().sort(), [
      'disks-1-5-p1',
      'disks-1-7-d.unfinished',
      'disks-1-9-b',
      'disks-2-1-c',
    ]);
  });

  test('disks of a saved state take the place of the present ones', async () => {
    await of('p1').prepare(record({}), undefined);
    const saved = join(folder, 'saved-s');
    mkdirSync(saved);
    for (const disk of [0, 1]) writeFileSync(join(saved, `disk-${disk}.raw`), Buffer.alloc(512, 7));
    const suspended = record({ generation: 3, state: 'suspended', shared: named('1-1-p1') });
    const taken = await of('p2').prepare(suspended, saved);
    assert.equal(taken.disks, '1-4-p2');
    assert.equal(readFileSync(join(taken.folder, 'disk-0.raw'))[0], 7);
    await of('p3').wentLive(saved);
    assert.ok(!readdirSync(folder).includes('saved-s'));
  });

  test('the folder is where the record says', () => {
    assert.equal(disksFolder('/d/vms/v', '1-2-p'), '/d/vms/v/disks-1-2-p');
  });
});
