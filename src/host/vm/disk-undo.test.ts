/**
 * What disks held, kept while they are written and written back: against a model, at any moment and
 * any place behind it, with requests under way; and what is not whole is refused before a disk is
 * touched.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import fc from 'fast-check';
import type { VmSpec } from '../../api/agent.ts';
import type { DiskRequest } from '../../machine/effects.ts';
import { RedoExport } from '../recording/disk-changes.ts';
import { findMoment, placeDisks, redoPath, takeUndo } from './disk-rewind.ts';
import { DiskUndo, undoEnd, undoFolder, undoName } from './disk-undo.ts';
import { FileDisks } from './file-disk.ts';
import { beginFolder, diskPath, finishFolder, savedFolder } from './state-folder.ts';

const parent = mkdtempSync(join(tmpdir(), 'umbra-undo-'));
after(() => rmSync(parent, { recursive: true, force: true }));

const sector = 512;
/** The last block is no whole one. */
const sectors = 67;
const bytes = sectors * sector;
let made = 0;

type Act = {
  readonly action: 'write' | 'discard' | 'moment' | 'settle';
  readonly disk: number;
  readonly from: number;
  readonly length: number;
  readonly fill: number;
};

const acts = fc.array(
  fc.record({
    action: fc.constantFrom('write', 'write', 'write', 'discard', 'moment', 'settle' as const),
    disk: fc.integer({ min: 0, max: 1 }),
    from: fc.integer({ min: 0, max: sectors - 1 }),
    length: fc.integer({ min: 1, max: 30 }),
    fill: fc.integer({ min: 1, max: 255 }),
  }),
  { minLength: 1, maxLength: 60 },
);

class Vm {
  readonly folder = join(parent, `vm-${made++}`);
  readonly model = [Buffer.alloc(bytes), Buffer.alloc(bytes)];
  readonly failures: Error[] = [];
  disks!: FileDisks;
  undo!: DiskUndo;
  #request = 0;

  async open(): Promise<this> {
    mkdirSync(this.folder, { recursive: true });
    const files = this.model.map((_, disk) => ({ path: diskPath(this.folder, disk), bytes }));
    this.disks = await FileDisks.open(files, () => {});
    const failed = (error: Error): void => void this.failures.push(error);
    this.undo = new DiskUndo({ folder: undoFolder(this.folder), failed });
    this.disks.undo = this.undo;
    return this;
  }

  request({ action, disk, from, length, fill }: Act): DiskRequest {
    const offset = from * sector;
    const size = Math.min(length * sector, bytes - offset);
    const data = action === 'write' ? new Uint8Array(size).fill(fill) : new Uint8Array(0);
    const what = action === 'write' ? 'write' : 'discard';
    return { disk, request: this.#request++, action: what, offset, length: size, data };
  }

  write(act: Act): void {
    const request = this.request(act);
    this.disks.submit('guest', request);
    const { disk, offset, length } = request;
    this.model[disk]!.fill(act.action === 'write' ? act.fill : 0, offset, offset + length);
  }

  /** A saved state of a place as vm/rewind-main.ts makes one. */
  async prepare(saved: string, anchor: string, writes: readonly Act[]): Promise<void> {
    const folder = savedFolder(this.folder, saved);
    const path = await beginFolder(folder);
    const redo = new RedoExport(redoPath(path));
    for (const act of writes) redo.output({ kind: 'disk', count: 0n, request: this.request(act) });
    redo.close();
    writeFileSync(join(path, 'machine.zst'), 'machine');
    const undoFrom = await findMoment(undoFolder(this.folder), anchor);
    const vm = { disks: [{ bytes }, { bytes }] } as unknown as VmSpec;
    await finishFolder(folder, {
      ...{ id: saved, vm, configuration: '', position: 1, count: '1', ticks: '1' },
      ...{ savedAtMs: 1, hasDisks: true, undoFrom },
    });
  }

  place = (saved: string): Promise<void> =>
    placeDisks(savedFolder(this.folder, saved), this.folder, 2);

  expect(model: readonly Buffer[]): void {
    for (const [disk, expected] of model.entries()) {
      const present = readFileSync(diskPath(this.folder, disk));
      assert.ok(present.equals(expected), `disk ${disk} is another one`);
    }
  }
}

const fill = (from: number, value: number, length = 1): Act => ({
  ...{ action: 'write', disk: 0, from, length, fill: value },
});

const isUnknown = (error: { readonly code?: string; readonly message: string }): boolean =>
  error.code === 'rewind-disks-unknown';

test('disks are what they were, at any place behind any moment', async () => {
  await fc.assert(
    fc.asyncProperty(acts, fc.nat(), fc.nat(), async (list, whichMoment, whichPlace) => {
      const vm = await new Vm().open();
      vm.undo.moment('0');
      const moments = [{ anchor: '0', at: 0 }];
      const states: Buffer[][] = [];
      for (const [at, act] of list.entries()) {
        states.push(vm.model.map((disk) => Buffer.from(disk)));
        if (act.action === 'settle') await vm.disks.sync();
        else if (act.action !== 'moment') vm.write(act);
        else {
          vm.undo.moment(String(at));
          moments.push({ anchor: String(at), at });
        }
      }
      states.push(vm.model.map((disk) => Buffer.from(disk)));
      await vm.disks.close();
      assert.deepEqual(vm.failures, []);
      vm.expect(vm.model);
      const { anchor, at } = moments[whichMoment % moments.length]!;
      const place = at + (whichPlace % (list.length + 1 - at));
      const between = list.slice(at, place);
      const writes = between.filter(({ action }) => action === 'write' || action === 'discard');
      await vm.prepare('s', anchor, writes);
      vm.expect(vm.model);
      await takeUndo(vm.folder, 's');
      vm.expect(vm.model);
      await vm.place('s');
      vm.expect(states[place]!);
      rmSync(vm.folder, { recursive: true });
    }),
    { numRuns: 150 },
  );
});

test('who is interrupted carries it all out again, and once it is done it is done', async () => {
  const vm = await new Vm().open();
  vm.undo.moment('a');
  vm.write(fill(3, 1));
  vm.undo.moment('b');
  vm.write(fill(3, 2, 20));
  await vm.disks.close();
  await vm.prepare('s', 'b', [fill(5, 9)]);
  await takeUndo(vm.folder, 's');
  const kept = readFileSync(redoPath(savedFolder(vm.folder, 's')));
  await vm.place('s');
  const expected = Buffer.alloc(bytes)
    .fill(1, 3 * sector, 4 * sector)
    .fill(9, 5 * sector, 6 * sector);
  vm.expect([expected, Buffer.alloc(bytes)]);
  assert.deepEqual(readdirSync(savedFolder(vm.folder, 's')).sort(), ['machine.zst', 'state.json']);
  // The VM runs on; a start that finds the folder again changes nothing.
  writeFileSync(diskPath(vm.folder, 0), vm.model[0]!);
  await vm.place('s');
  vm.expect(vm.model);
  await takeUndo(vm.folder, 's').catch(() => {});
  assert.ok(kept.length > 0);
});

test('from a place that was gone back to, an earlier one can be', async () => {
  const vm = await new Vm().open();
  vm.undo.moment('a');
  vm.write(fill(1, 1));
  vm.undo.moment('b');
  vm.write(fill(1, 2));
  vm.write(fill(30, 2));
  await vm.disks.close();
  await vm.prepare('s', 'b', [fill(1, 2)]);
  await takeUndo(vm.folder, 's');
  await vm.place('s');
  rmSync(savedFolder(vm.folder, 's'), { recursive: true });
  await vm.open();
  await vm.undo.resume();
  assert.ok(!existsSync(undoEnd(undoFolder(vm.folder))));
  vm.write(fill(40, 3));
  vm.undo.moment('c');
  vm.write(fill(1, 4));
  await vm.disks.close();
  await vm.prepare('t', 'a', []);
  await takeUndo(vm.folder, 't');
  await vm.place('t');
  vm.expect([Buffer.alloc(bytes), Buffer.alloc(bytes)]);
});

test('what is not whole is refused, and no disk touched', async (t) => {
  const stopped = async (): Promise<Vm> => {
    const vm = await new Vm().open();
    vm.undo.moment('a');
    vm.write(fill(3, 1));
    await vm.disks.sync();
    vm.undo.moment('b');
    vm.write(fill(3, 2, 20));
    await vm.disks.close();
    await vm.prepare('s', 'a', []);
    return vm;
  };
  const ways: [string, RegExp, (vm: Vm) => void][] = [
    [
      'the process went without a word',
      /not ended in order/,
      (vm) => rmSync(undoEnd(undoFolder(vm.folder))),
    ],
    [
      'the host has been started anew',
      /started anew/,
      (vm) => {
        const path = undoEnd(undoFolder(vm.folder));
        const end = JSON.parse(readFileSync(path, 'utf8')) as object;
        writeFileSync(path, JSON.stringify({ ...end, boot: 'another' }));
      },
    ],
    [
      'a part is torn',
      /undo-000001 is damaged \(it has 20 bytes/,
      (vm) => truncateSync(join(undoFolder(vm.folder), undoName(1)), 20),
    ],
    [
      'a byte is another one',
      /undo-000000 is damaged/,
      (vm) => {
        const path = join(undoFolder(vm.folder), undoName(0));
        const content = readFileSync(path);
        content[content.length - 3]! ^= 1;
        writeFileSync(path, content);
      },
    ],
    [
      'a part is missing',
      /undo-000001 is damaged/,
      (vm) => rmSync(join(undoFolder(vm.folder), undoName(1))),
    ],
    [
      'a disk has been written since',
      /somebody has written/,
      (vm) => writeFileSync(diskPath(vm.folder, 1), Buffer.alloc(bytes, 7)),
    ],
  ];
  for (const [what, why, harm] of ways) {
    await t.test(what, async () => {
      const vm = await stopped();
      harm(vm);
      const before = readFileSync(diskPath(vm.folder, 0));
      await assert.rejects(takeUndo(vm.folder, 's'), (error: Error) => {
        assert.match(error.message, why);
        return isUnknown(error);
      });
      assert.deepEqual(readFileSync(diskPath(vm.folder, 0)), before);
    });
  }
});

test('the oldest goes where there is a limit, and nobody goes back behind it', async () => {
  const vm = await new Vm().open();
  vm.undo.bytesMax = 2.5 * bytes;
  const contents: Buffer[] = [];
  const anchors = ['a', 'b', 'c', 'd', 'e'];
  for (const [request, anchor] of anchors.entries()) {
    vm.undo.moment(anchor);
    // Noise, which nothing makes smaller.
    const data = randomBytes(bytes);
    const own = { disk: 0, request, offset: 0, length: bytes } as const;
    vm.disks.submit('guest', { ...own, action: 'write', data });
    await vm.disks.sync();
    contents.push(data);
  }
  await vm.disks.close();
  assert.ok(vm.undo.bytes <= vm.undo.bytesMax);
  await assert.rejects(findMoment(undoFolder(vm.folder), 'a'), isUnknown);
  await assert.rejects(findMoment(undoFolder(vm.folder), 'b'), isUnknown);
  await vm.prepare('s', 'd', []);
  await takeUndo(vm.folder, 's');
  await vm.place('s');
  vm.expect([contents[2]!, Buffer.alloc(bytes)]);
});

test('one moment alone that takes more than all may is given up, the next one is kept', async () => {
  const vm = await new Vm().open();
  vm.undo.bytesMax = bytes / 2;
  for (const [request, anchor] of ['none', 'a', 'b'].entries()) {
    if (anchor !== 'none') vm.undo.moment(anchor);
    const length = anchor === 'b' ? sector : bytes;
    const own = { disk: 0, request, offset: 0, length } as const;
    vm.disks.submit('guest', { ...own, action: 'write', data: randomBytes(length) });
    await vm.disks.sync();
  }
  await vm.disks.close();
  assert.deepEqual(vm.failures, []);
  await assert.rejects(findMoment(undoFolder(vm.folder), 'a'), isUnknown);
  await findMoment(undoFolder(vm.folder), 'b');
});

test('an unknown moment, and a VM of which nothing was ever kept', async () => {
  const vm = await new Vm().open();
  await assert.rejects(findMoment(undoFolder(vm.folder), 'a'), isUnknown);
  vm.undo.moment('a');
  vm.write(fill(0, 1));
  await vm.undo.giveRoom();
  await assert.rejects(findMoment(undoFolder(vm.folder), 'a'), isUnknown);
  vm.undo.moment('b');
  vm.write(fill(0, 2));
  await vm.disks.close();
  await assert.rejects(findMoment(undoFolder(vm.folder), 'a'), isUnknown);
  await findMoment(undoFolder(vm.folder), 'b');
  assert.deepEqual(vm.failures, []);
});

test('a disk that is full costs the guest no write: what was kept goes', async (t) => {
  const vm = new Vm();
  mkdirSync(vm.folder);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', vm.folder]);
  if (mounted.status !== 0) return t.skip('mounting a tmpfs needs root');
  try {
    await vm.open();
    for (const anchor of ['a', 'b', 'c', 'd']) {
      vm.undo.moment(anchor);
      const data = randomBytes(bytes);
      const own = { disk: 0, request: 0, offset: 0, length: bytes } as const;
      vm.disks.submit('guest', { ...own, action: 'write', data });
      vm.model[0]!.set(data);
      await vm.disks.sync();
    }
    const { bavail, bsize } = statfsSync(vm.folder);
    writeFileSync(join(vm.folder, 'other'), Buffer.alloc(bavail * bsize));
    // The other disk takes room that is not there.
    for (let from = 0; from < sectors; from += 7) vm.write({ ...fill(from, from + 1, 7), disk: 1 });
    // What these overwrite is read when those before them have ended, which wait for room.
    vm.undo.moment('e');
    for (let from = 0; from < sectors; from += 5) vm.write({ ...fill(from, from + 2, 5), disk: 1 });
    await vm.disks.sync();
    await vm.disks.close();
    vm.expect(vm.model);
    assert.equal(vm.failures.length, 1);
    assert.ok(!existsSync(undoEnd(undoFolder(vm.folder))));
    await assert.rejects(findMoment(undoFolder(vm.folder), 'a'), isUnknown);
  } finally {
    spawnSync('umount', ['-l', vm.folder]);
  }
  return undefined;
});
