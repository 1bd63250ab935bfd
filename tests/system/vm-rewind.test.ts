/**
 * VMs with disks put back to places of their flight recorder, as their processes and hosts do it: the
 * disks are to the byte what the guest's memory says that it has written, at that place, and the
 * guest goes on from there; what cannot be exact is refused while the VM still has all that it had.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { openRecording, replayRecording } from '../../src/host/local/replay.ts';
import { prepareRewind } from '../../src/host/rewind.ts';
import { placeDisks, takeUndo } from '../../src/host/vm/disk-rewind.ts';
import { undoFolder } from '../../src/host/vm/disk-undo.ts';
import { recordingFolder } from '../../src/host/vm/recording-folder.ts';
import { savedFolder } from '../../src/host/vm/state-folder.ts';
import { decide } from '../../src/lockstep/arbiter.ts';
import { diskAfter, frameNumber, requestsIn } from './vm-guest.fixture.ts';
import {
  type TestHost,
  type TestHosts,
  type TestVm,
  until,
  withHosts,
} from './vm-hosts.fixture.ts';

/** So many that the guest still writes when it is powered off. */
const writes = 10_000;
const guest = { writes, tickMicros: 500 };

const goesOn = (host: TestHost): Promise<true> => {
  const { length } = host.frames;
  return until('frames go out', () => host.frames.length > length + 100) as Promise<true>;
};

const said = (vm: TestVm, kind: string, id: string) =>
  vm.reports.find((report) => report['kind'] === kind && report['id'] === id);

const flies = async (vm: TestVm): Promise<void> => {
  vm.tell({ kind: 'flight', seconds: 60, bytesMax: 2 ** 30 });
  await until('it holds something', () => (vm.status?.flight?.held ?? 0) > 0.3);
};

/** @returns the recording that the flight recorder's ring has become; another one has begun */
async function keep(vm: TestVm, name: string): Promise<string> {
  vm.tell({ kind: 'keepFlight', name, work: name });
  const kept = await until('it is kept', () => said(vm, 'work-done', name));
  await until('another one holds something', () => (vm.status?.flight?.held ?? 0) > 0.1);
  return String(kept['recording']);
}

/** As the daemon is ordered to. @returns the count of the place */
async function prepare(hosts: TestHosts, recording: string, saved: string, secondsBefore: number) {
  const wish = { recording, to: 'end', secondsBefore, saved };
  const { count } = await prepareRewind(hosts.spec, hosts.a.folder, wish);
  return BigInt(count);
}

/** Off; then the arbiter says that the saved state is what the VM is. */
async function rewind(hosts: TestHosts, vm: TestVm, saved: string): Promise<void> {
  vm.tell({ kind: 'stop', how: 'power-off' });
  await vm.ended();
  await takeUndo(hosts.a.folder, saved);
  const { epoch, generation } = hosts.arbiter.entry.record;
  const ask = {
    ...{ vm: hosts.spec.id, member: { host: 'a', process: 'daemon' }, epoch, generation },
    ...{ claimId: `revert ${saved}`, operation: { kind: 'revert', saved } as const },
  };
  const { entry, reply } = decide(hosts.arbiter.entry, ask);
  assert.ok(reply.granted);
  hosts.arbiter.entry = entry;
}

/** What the guest's own memory says at a place: writes that have been answered, and asked for. */
async function accountAt(host: TestHost, recording: string, count: bigint) {
  const opened = openRecording(recordingFolder(host.folder, recording));
  const options = { from: count, until: count, console: () => {}, progress: () => {} };
  const { machine, divergence } = await replayRecording(opened, options);
  assert.equal(divergence, undefined);
  return requestsIn((address, length) => machine.inspection.readPhysical(address, length)!);
}

/** The disk is what the guest has been told at least, and what it has asked for at most. */
async function expectDisk(host: TestHost, recording: string, count: bigint): Promise<number> {
  const { answered, asked } = await accountAt(host, recording, count);
  const disk = readFileSync(host.diskPath);
  const fits = [asked, answered].find((number) => diskAfter(number).equals(disk));
  assert.ok(fits !== undefined, `the disk is not that of ${answered} to ${asked} writes`);
  return fits;
}

const inOrder = (host: TestHost): number => {
  const all = host.frames.map(({ frame }) => frameNumber(frame));
  assert.deepEqual(
    all,
    all.map((_, at) => all[0]! + at),
  );
  return all[0]!;
};

test('back to before, and further back from there: disk and memory are those of one place', async (t) => {
  await withHosts(t, guest, async (hosts) => {
    const vm = await hosts.live();
    await flies(vm);
    await goesOn(hosts.a);
    const recording = await keep(vm, 'asked');
    await goesOn(hosts.a);
    const count = await prepare(hosts, recording, 'x-0', 0.1);
    await goesOn(hosts.a);
    const frames = hosts.a.frames.length;
    await rewind(hosts, vm, 'x-0');
    const last = readFileSync(hosts.a.diskPath);
    // What a start does first, whatever comes of it.
    await placeDisks(savedFolder(hosts.a.folder, 'x-0'), hosts.a.folder, 1);
    const written = await expectDisk(hosts.a, recording, count);
    assert.ok(!readFileSync(hosts.a.diskPath).equals(last));
    hosts.a.frames.length = 0;
    const again = await hosts.live();
    await goesOn(hosts.a);
    const first = inOrder(hosts.a);
    assert.ok(first > 0 && first < frames, `frame ${first}, of ${frames}`);
    await flies(again);
    const earlier = await prepare(hosts, recording, 'y-0', 0.25);
    assert.ok(earlier < count);
    await rewind(hosts, again, 'y-0');
    await placeDisks(savedFolder(hosts.a.folder, 'y-0'), hosts.a.folder, 1);
    const before = await expectDisk(hosts.a, recording, earlier);
    assert.ok(before < written, `${before} writes, then ${written}`);
    t.diagnostic(`${written} and ${before} of ${writes} writes`);
    hosts.a.frames.length = 0;
    await hosts.live();
    await goesOn(hosts.a);
    assert.ok(inOrder(hosts.a) < first);
    const expected = diskAfter(writes);
    await until('all is written', () => readFileSync(hosts.a.diskPath).equals(expected));
    assert.deepEqual(
      readdirSync(hosts.a.folder).filter((name) => name.startsWith('saved')),
      [],
    );
  });
});

test('a protected VM is protected anew, its replica made equal', async (t) => {
  await withHosts(t, guest, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    await flies(primary);
    await goesOn(hosts.a);
    const recording = await keep(primary, 'asked');
    await goesOn(hosts.a);
    await prepare(hosts, recording, 'x-0', 0.2);
    await rewind(hosts, primary, 'x-0');
    await until('the shadow is gone', () => shadow.gone);
    const again = await hosts.live();
    const follower = hosts.shadow(again);
    await hosts.protected(again);
    again.kill();
    await until('the shadow is live', () => follower.status?.role === 'live');
    const expected = diskAfter(writes);
    await until('all is written', () => readFileSync(hosts.b.diskPath).equals(expected));
    assert.equal(follower.status!.divergences, 0);
  });
});

test('a process that went without a word leaves nothing to go back with; other hardware neither', async (t) => {
  await withHosts(t, guest, async (hosts) => {
    const vm = await hosts.live();
    await flies(vm);
    const recording = await keep(vm, 'asked');
    await prepare(hosts, recording, 'x-0', 0.1);
    const { spec } = hosts;
    const wish = { recording, to: 'end', secondsBefore: 0, saved: 'y-0' };
    for (const other of [{ disks: [{ bytes: 1 << 20 }] }, { disks: [] }, { cpus: 2 }]) {
      await assert.rejects(prepareRewind({ ...spec, ...other }, hosts.a.folder, wish), {
        code: 'rewind-other-hardware',
      });
    }
    vm.kill();
    await until('it is gone', () => vm.gone);
    const disk = readFileSync(hosts.a.diskPath);
    await assert.rejects(takeUndo(hosts.a.folder, 'x-0'), { code: 'rewind-disks-unknown' });
    assert.ok(readFileSync(hosts.a.diskPath).equals(disk));
  });
});

test('where what the disks held cannot be kept, recordings end whole, and the VM goes on', async (t) => {
  await withHosts(t, guest, async (hosts) => {
    const small = undoFolder(hosts.a.folder);
    mkdirSync(small);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', small]);
    if (mounted.status !== 0) return t.skip('mounting a tmpfs needs root');
    try {
      const vm = await hosts.live();
      vm.tell({ kind: 'record', id: 'one', name: 'one' });
      await until('the recording has begun', () => said(vm, 'work-done', 'one'));
      await goesOn(hosts.a);
      const { bavail, bsize } = statfsSync(small);
      writeFileSync(join(small, 'other'), Buffer.alloc(bavail * bsize));
      vm.tell({ kind: 'record', id: 'two', name: 'two' });
      const ended = await until('it has ended', () => said(vm, 'recording-ended', 'one'));
      assert.deepEqual([ended['how'], ended['code']], ['failed', 'recording-unwritable']);
      await goesOn(hosts.a);
      inOrder(hosts.a);
      const wish = { recording: 'one', to: 'begin', secondsBefore: 0, saved: 'x-0' };
      await assert.rejects(prepareRewind(hosts.spec, hosts.a.folder, wish), {
        code: 'rewind-disks-unknown',
      });
      rmSync(join(small, 'other'), { force: true });
      vm.kill();
      await until('it is gone', () => vm.gone);
    } finally {
      spawnSync('umount', ['-l', small]);
    }
    return undefined;
  });
});
