/**
 * What a flight recorder keeps by itself: a guest that hangs, with the watchdog's reset in it, and one
 * that switches itself off for a failure. A guest under Linux that panics is in recordings.test.ts.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { openRecording, replayRecording } from '../../src/host/local/replay.ts';
import { prepareRewind } from '../../src/host/rewind.ts';
import { listRecordings, recordingFolder } from '../../src/host/vm/recording-folder.ts';
import { pause, type TestHost, type TestVm, until, withHosts } from './vm-hosts.fixture.ts';

const flight = { kind: 'flight', seconds: 60, bytesMax: 2 ** 30 } as const;

/** The one recording that is kept, replayed to its end, to the bit. */
async function kept(host: TestHost, vm: TestVm) {
  const report = vm.reported('incident')!;
  const [only, ...others] = await listRecordings(host.folder);
  assert.deepEqual(others, []);
  assert.deepEqual([only!.id, only!.name], [report['recording'], report['name']]);
  const opened = openRecording(recordingFolder(host.folder, only!.id));
  const replayed = await replayRecording(opened, { console: () => {}, progress: () => {} });
  assert.equal(replayed.divergence, undefined);
  return { info: only!, replayed };
}

test('a guest that hangs: what led to it is kept with the reset in it, and can be gone back to', async (t) => {
  await withHosts(t, { hangsAfter: 4_000 }, async (hosts) => {
    const vm = await hosts.live();
    vm.tell(flight);
    await until('it holds something', () => (vm.status?.flight?.held ?? 0) > 0.5);
    vm.tell({ kind: 'watchdog', seconds: 1 });
    await until('it is reset', () => vm.reported('guest-reset'));
    await until('it is kept', () => vm.reported('incident'));
    const { info, replayed } = await kept(hosts.a, vm);
    assert.match(info.name, /^watchdog-/);
    assert.match(info.ended!.text!, /has not served its own timer for 1 s/);
    const { kind, at, forSeconds } = info.ended!.incident!;
    assert.deepEqual([kind, forSeconds], ['watchdog', 1]);
    // The moment of the bite is in it: the guest has begun anew since.
    assert.ok(at < replayed.guestSeconds && at > replayed.guestSeconds - 4, `${at}`);
    const place = { to: `time:${at.toFixed(7)}`, orBegin: true };
    const saved = await prepareRewind(hosts.spec, hosts.a.folder, {
      ...{ recording: info.id, ...place, secondsBefore: 1.5, saved: 'back' },
    });
    assert.ok(Math.abs(saved.secondsBefore - 1.5) < 0.1, `${saved.secondsBefore}`);
    // Further than it reaches: to its beginning, or not at all.
    const far = { recording: info.id, ...place, secondsBefore: 1_000, saved: 'far' };
    const begin = await prepareRewind(hosts.spec, hosts.a.folder, far);
    assert.equal(begin.count, info.count);
    assert.ok(begin.secondsBefore < 60);
    const strict = prepareRewind(hosts.spec, hosts.a.folder, {
      ...{ ...far, saved: 'strict', orBegin: false },
    });
    await assert.rejects(strict, { code: 'outside-recording' });
  });
});

test('a guest that switches itself off for a failure: what led to it is kept before its process ends', async (t) => {
  // Behind the half a second that is to be held first, also where that comes late.
  await withHosts(t, { failsAfter: 8_000 }, async (hosts) => {
    const vm = await hosts.live();
    vm.tell(flight);
    await until('it holds something', () => (vm.status?.flight?.held ?? 0) > 0.5);
    await vm.ended();
    const { info, replayed } = await kept(hosts.a, vm);
    assert.match(info.name, /^failure-/);
    assert.equal(info.ended!.incident!.kind, 'failure');
    assert.equal(String(replayed.instructions), vm.status!.count);
    const left = readdirSync(join(hosts.a.folder, 'recordings'));
    assert.deepEqual(left, [info.id]);
  });
});

test('what is older than the minutes that are wanted goes, a part at a time, and the rest replays', async (t) => {
  await withHosts(t, {}, async (hosts) => {
    const vm = await hosts.live();
    const seconds = 8;
    vm.tell({ ...flight, seconds });
    let most = 0;
    for (const end = performance.now() + 22_000; performance.now() < end; await pause(100)) {
      most = Math.max(most, vm.status?.flight?.held ?? 0);
    }
    const told = vm.status!.flight!.held;
    t.diagnostic(`${told} s are held, ${most} s at most`);
    vm.tell({ kind: 'keepFlight', name: 'kept', work: 'keep' });
    await until('it is kept', () => vm.reports.find((report) => report['id'] === 'keep'));
    const [info] = await listRecordings(hosts.a.folder);
    const opened = openRecording(recordingFolder(hosts.a.folder, info!.id));
    const { recording } = opened;
    const replayed = await replayRecording(opened, { console: () => {}, progress: () => {} });
    assert.equal(replayed.divergence, undefined);
    const begins = Number(recording.begin().machine.time) / 1e7;
    const held = replayed.guestSeconds - begins;
    // A quarter of it may have gone since that was said.
    assert.ok(Math.abs(held - told) < seconds / 4 + 1, `${told} s were told, ${held} s are there`);
    assert.ok(held >= seconds, `${held} s`);
    assert.ok(most <= seconds * 2, `${most} s`);
  });
});
