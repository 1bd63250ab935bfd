/**
 * Recordings of VMs that run, as their processes make them: begun at any moment, protected or not,
 * each replays to the bit from its first snapshot; and what ends one leaves the VM alone.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { openRecording, replayRecording } from '../../src/host/local/replay.ts';
import { listRecordings, recordingFolder } from '../../src/host/vm/recording-folder.ts';
import { type TestHost, type TestVm, until, withHosts } from './vm-hosts.fixture.ts';

const goesOn = (host: TestHost): Promise<true> => {
  const { length } = host.frames;
  return until('frames go out', () => host.frames.length > length + 20) as Promise<true>;
};

const said = (vm: TestVm, kind: string, id: string) =>
  vm.reports.find((report) => report['kind'] === kind && report['id'] === id);

async function record(vm: TestVm, id: string, bytesMax?: number) {
  vm.tell({ kind: 'record', id, name: `name-of-${id}`, ...(bytesMax && { bytesMax }) });
  return until('the recording has begun', () => {
    assert.equal(said(vm, 'work-failed', id), undefined);
    return said(vm, 'work-done', id);
  });
}

async function stop(vm: TestVm, id: string): Promise<void> {
  vm.tell({ kind: 'stopRecording', id, work: `${id}-stop` });
  await until('the recording has ended', () => said(vm, 'work-done', `${id}-stop`));
}

/** From its first snapshot to its end. */
async function replay(host: TestHost, id: string) {
  const opened = openRecording(recordingFolder(host.folder, id));
  const { firstCount } = opened.recording;
  const replayed = await replayRecording(opened, { console: () => {}, progress: () => {} });
  assert.equal(replayed.divergence, undefined);
  assert.equal(replayed.cutBytes, 0);
  assert.ok(replayed.fingerprintsCompared > 0);
  return { from: firstCount, until: replayed.instructions };
}

test('a VM that runs is recorded from any moment on, twice at a time, and replays to the bit', async (t) => {
  await withHosts(t, { writes: 900, tickMicros: 500, touchedBytes: 2 << 20 }, async (hosts) => {
    const vm = await hosts.live();
    await goesOn(hosts.a);
    const { pauseMicros } = await record(vm, 'one');
    t.diagnostic(`pause of ${pauseMicros} us`);
    await goesOn(hosts.a);
    await record(vm, 'two');
    await record(vm, 'two');
    await until('both are told', () => vm.status!.recordings?.length === 2);
    await goesOn(hosts.a);
    await stop(vm, 'one');
    await goesOn(hosts.a);
    vm.tell({ kind: 'stop', how: 'power-off' });
    await vm.ended();
    const [first, second] = await listRecordings(hosts.a.folder);
    assert.deepEqual([first!.name, first!.ended], ['name-of-one', { kind: 'stopped' }]);
    assert.deepEqual([second!.name, second!.ended], ['name-of-two', { kind: 'vm-ended' }]);
    assert.ok(first!.bytes > 0 && first!.endedAtMs! >= first!.startedAtMs);
    assert.equal(said(vm, 'recording-ended', 'two')?.['how'], 'vm-ended');
    const one = await replay(hosts.a, 'one');
    const two = await replay(hosts.a, 'two');
    assert.equal(String(one.from), first!.count);
    assert.ok(one.from < two.from && two.from < one.until && one.until < two.until);
    assert.equal(String(two.until), vm.status!.count);
  });
});

test('the primary of a pair is recorded; its shadow follows, and what goes live can be recorded, too', async (t) => {
  await withHosts(t, { writes: 900, tickMicros: 500 }, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    await record(primary, 'one');
    await goesOn(hosts.a);
    primary.kill();
    await until('the shadow goes live', () => shadow.status?.role === 'live');
    await record(shadow, 'two');
    await goesOn(hosts.b);
    await stop(shadow, 'two');
    await goesOn(hosts.b);
    hosts.checkConsole();
    assert.equal(shadow.status?.divergences, 0);
    // Its process went without a word; what is whole of it replays.
    const [lost] = await listRecordings(hosts.a.folder);
    assert.equal(lost!.endedAtMs, undefined);
    const opened = openRecording(recordingFolder(hosts.a.folder, 'one'));
    const replayed = await replayRecording(opened, { console: () => {}, progress: () => {} });
    assert.equal(replayed.divergence, undefined);
    await replay(hosts.b, 'two');
  });
});

test('a shadow is refused a recording, and nothing of it stays', async (t) => {
  await withHosts(t, {}, async (hosts) => {
    const { shadow } = await hosts.pair();
    shadow.tell({ kind: 'record', id: 'one', name: 'one' });
    const why = await until('the refusal', () => said(shadow, 'work-failed', 'one'));
    assert.equal(why['code'], 'recording-refused');
    assert.ok(!existsSync(join(hosts.b.folder, 'recordings', 'one')));
  });
});

test('a flight recorder keeps what it holds when it is asked, and goes on', async (t) => {
  await withHosts(t, { writes: 900, tickMicros: 500, touchedBytes: 2 << 20 }, async (hosts) => {
    const vm = await hosts.live();
    const early = 'early';
    vm.tell({ kind: 'keepFlight', name: early, work: early });
    const refused = await until('the refusal', () => said(vm, 'work-failed', early));
    assert.equal(refused['code'], 'flight-off');
    vm.tell({ kind: 'flight', seconds: 60, bytesMax: 2 ** 30 });
    await until('it holds something', () => (vm.status?.flight?.held ?? 0) > 0.1);
    await goesOn(hosts.a);
    vm.tell({ kind: 'keepFlight', name: 'asked', work: 'k1' });
    const kept = await until('it is kept', () => said(vm, 'work-done', 'k1'));
    const [asked] = await listRecordings(hosts.a.folder);
    assert.deepEqual([asked!.id, asked!.name], [kept['recording'], 'asked']);
    assert.deepEqual(asked!.ended, { kind: 'kept', text: 'asked for' });
    const first = await replay(hosts.a, asked!.id);
    await until('another one holds something', () => (vm.status?.flight?.held ?? 0) > 0.1);
    vm.tell({ kind: 'keepFlight', name: 'again', work: 'k2' });
    await until('it is kept, too', () => said(vm, 'work-done', 'k2'));
    const again = (await listRecordings(hosts.a.folder))[1]!;
    assert.ok((await replay(hosts.a, again.id)).from >= first.until);
    assert.equal(vm.status!.recordings, undefined);
    await until('the next', () => (vm.status?.flight?.held ?? 0) > 0.1);
    // Nothing has happened to the guest: nothing more is kept.
    vm.tell({ kind: 'stop', how: 'power-off' });
    await vm.ended();
    assert.equal((await listRecordings(hosts.a.folder)).length, 2);
    assert.equal(readdirSync(join(hosts.a.folder, 'recordings')).length, 2);
  });
});

test('a recording whose disk is full ends whole, is said once, and costs the VM nothing', async (t) => {
  await withHosts(t, { writes: 900, tickMicros: 500, touchedBytes: 4 << 20 }, async (hosts) => {
    const vm = await hosts.live();
    const small = join(hosts.a.folder, 'recordings');
    mkdirSync(small);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', small]);
    if (mounted.status !== 0) return t.skip('mounting a tmpfs needs root');
    try {
      await record(vm, 'one');
      const free = (): number => {
        const { bavail, bsize } = statfsSync(small);
        return bavail * bsize;
      };
      writeFileSync(join(small, 'other'), Buffer.alloc(free()), { flag: 'w' });
      const ended = await until('it has ended', () => said(vm, 'recording-ended', 'one'));
      assert.deepEqual([ended['how'], ended['code']], ['failed', 'recording-unwritable']);
      await goesOn(hosts.a);
      hosts.checkConsole();
      // A repeated order begins nothing; it is answered with what became of it.
      vm.tell({ kind: 'record', id: 'one', name: 'name-of-one' });
      await until(
        'the answer',
        () => vm.reports.filter(({ kind }) => kind === 'recording-ended').length === 2,
      );
      const [listed] = await listRecordings(hosts.a.folder);
      assert.equal(listed!.ended?.kind, 'failed');
      const opened = openRecording(recordingFolder(hosts.a.folder, 'one'));
      const replayed = await replayRecording(opened, { console: () => {}, progress: () => {} });
      assert.equal(replayed.divergence, undefined);
      rmSync(join(small, 'other'));
      vm.kill();
      await until('it is gone', () => vm.gone);
    } finally {
      spawnSync('umount', ['-l', small]);
    }
    return undefined;
  });
});
