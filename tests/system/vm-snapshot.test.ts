/**
 * Snapshots of VMs that run, and going back to them: machine and disks are those of one moment, the
 * VM notices nothing, and what fails fails alone.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { snapshotFolder } from '../../src/host/vm/state-folder.ts';
import { prepareRevert } from '../../src/host/vm/state-work.ts';
import { decide } from '../../src/lockstep/arbiter.ts';
import { diskAfter, diskBytes, frameNumber } from './vm-guest.fixture.ts';
import {
  type TestHost,
  type TestHosts,
  type TestVm,
  until,
  withHosts,
} from './vm-hosts.fixture.ts';

const numbers = (host: TestHost): number[] => host.frames.map(({ frame }) => frameNumber(frame));

const inOrderFrom = (first: number, all: readonly number[]): void =>
  assert.deepEqual(
    all,
    all.map((_, at) => first + at),
  );

const goesOn = (host: TestHost): Promise<true> => {
  const { length } = host.frames;
  return until('frames go out', () => host.frames.length > length + 20) as Promise<true>;
};

type Said = Readonly<Record<string, unknown>>;

const said = (vm: TestVm, kind: string, id: string): Said | undefined =>
  vm.reports.find((report) => report['kind'] === kind && report['id'] === id);

async function snapshot(vm: TestVm, id: string): Promise<Said> {
  vm.tell({ kind: 'snapshot', id, name: `name of ${id}` });
  return until('the snapshot', () => {
    assert.equal(said(vm, 'snapshot-failed', id), undefined);
    return said(vm, 'snapshot-taken', id);
  });
}

/** Off, and the arbiter knows; then the snapshot is what the VM is, on its host. */
async function revert(hosts: TestHosts, host: TestHost, live: TestVm, id: string): Promise<void> {
  live.tell({ kind: 'stop', how: 'power-off' });
  await live.ended();
  const saved = `${id}-0`;
  await prepareRevert(host.folder, id, saved, () => {});
  const { epoch, generation } = hosts.arbiter.entry.record;
  const ask = {
    ...{ vm: hosts.spec.id, member: { host: host.id, process: 'daemon' }, epoch, generation },
    ...{ claimId: `revert ${saved}`, operation: { kind: 'revert', saved } as const },
  };
  const { entry, reply } = decide(hosts.arbiter.entry, ask);
  assert.ok(reply.granted);
  hosts.arbiter.entry = entry;
}

test('a snapshot of a VM that runs is machine and disk of one moment; going back is exact', async (t) => {
  const writes = 900;
  await withHosts(t, { writes, tickMicros: 500, touchedBytes: 2 << 20 }, async (hosts) => {
    const vm = await hosts.live();
    const moments: { id: string; frames: number }[] = [];
    for (const id of ['s1', 's2', 's3']) {
      await goesOn(hosts.a);
      const { pauseMicros } = await snapshot(vm, id);
      moments.push({ id, frames: hosts.a.frames.length });
      t.diagnostic(`${id}: pause of ${pauseMicros} us`);
    }
    await goesOn(hosts.a);
    inOrderFrom(0, numbers(hosts.a));
    hosts.checkConsole();
    let live = vm;
    for (const { id, frames } of [moments[1]!, moments[2]!, moments[0]!]) {
      await revert(hosts, hosts.a, live, id);
      hosts.a.frames.length = 0;
      live = await hosts.live();
      await goesOn(hosts.a);
      const [first] = numbers(hosts.a);
      // It goes on in its own past, at the frame that followed the moment.
      assert.ok(first! > 0 && first! <= frames, `frame ${first}, of ${frames}`);
      inOrderFrom(first!, numbers(hosts.a));
    }
    const expected = diskAfter(writes);
    // Had the disk been of another moment than the machine, a write would be missing in the end.
    await until('all is written', () => readFileSync(hosts.a.diskPath).equals(expected));
    assert.deepEqual(
      readdirSync(hosts.a.folder).filter((name) => name.startsWith('saved')),
      [],
    );
  });
});

test('a protected VM: the pair goes on, and after going back it is protected again', async (t) => {
  // Enough that the guest still writes when the snapshot has been taken.
  const writes = 12_000;
  await withHosts(t, { writes, tickMicros: 500 }, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    await goesOn(hosts.a);
    const { generation } = hosts.arbiter.entry.record;
    // Built from nothing: all of it compared, and sent what was written by then.
    // Told by the next status.
    await until('all is compared', () => shadow.status!.replica!.bytesCompared === diskBytes);
    const { bytesTotal, bytesSent } = shadow.status!.replica!;
    assert.equal(bytesTotal, diskBytes);
    assert.ok(bytesSent <= diskBytes);
    await snapshot(primary, 's1');
    const frames = hosts.a.frames.length;
    await until('fingerprints are compared', () => shadow.status!.fingerprintsCompared >= 2);
    assert.equal(hosts.arbiter.entry.record.generation, generation);
    assert.equal(primary.status!.ftState, 'running');
    // The snapshot is on the first host; the VM fails over, and fails nobody.
    shadow.tell({ kind: 'trunk', host: 'a', up: false });
    primary.kill();
    await until('the shadow is live', () => shadow.status?.role === 'live');
    await goesOn(hosts.b);
    await revert(hosts, hosts.a, shadow, 's1');
    assert.deepEqual(hosts.arbiter.entry.record.currentReplicas, ['a']);
    const cold = hosts.launch(hosts.b, { kind: 'live', fenced: false, acceptStale: false });
    await until('it ends', () => cold.gone);
    assert.equal(cold.failures[0]?.code, 'start-saved-state');
    hosts.a.frames.length = 0;
    const again = await hosts.live();
    const next = hosts.shadow(again);
    await hosts.protected(again);
    await goesOn(hosts.a);
    const [first] = numbers(hosts.a);
    assert.ok(first! > 0 && first! <= frames);
    inOrderFrom(first!, numbers(hosts.a));
    const expected = diskAfter(writes);
    await until('all is written', () => readFileSync(hosts.a.diskPath).equals(expected));
    await until('on both', () => readFileSync(hosts.b.diskPath).equals(expected));
    await until('fingerprints are compared', () => next.status!.fingerprintsCompared >= 1);
    assert.equal(next.status!.divergences, 0);
    // The other host's disk was of the future that was given up: what differed had to be sent.
    const replica = next.status!.replica!;
    assert.equal(replica.bytesCompared, diskBytes);
    assert.ok(replica.bytesSent > 0);
  });
});

test('a snapshot and a shadow may be made at the same time', async (t) => {
  await withHosts(t, { touchedBytes: 12 << 20, writes: 300 }, async (hosts) => {
    const primary = await hosts.live();
    await goesOn(hosts.a);
    const taken = snapshot(primary, 's1');
    const shadow = hosts.shadow(primary);
    await until('both begin', () => primary.reported('shadow-started'));
    await Promise.all([taken, hosts.protected(primary)]);
    await until('fingerprints are compared', () => shadow.status!.fingerprintsCompared >= 1);
    assert.equal(shadow.status!.divergences, 0);
    await revert(hosts, hosts.a, primary, 's1');
    hosts.a.frames.length = 0;
    await hosts.live();
    await goesOn(hosts.a);
    inOrderFrom(numbers(hosts.a)[0]!, numbers(hosts.a));
  });
});

test('a snapshot that fails says why, leaves nothing, and harms nobody', async (t) => {
  await withHosts(t, { writes: 400, touchedBytes: 4 << 20 }, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    await goesOn(hosts.a);
    // A file in the place of the folder: the host cannot write there.
    writeFileSync(`${hosts.a.folder}/snapshots`, '');
    primary.tell({ kind: 'snapshot', id: 's1', name: 'first' });
    const failed = await until('it fails', () => said(primary, 'snapshot-failed', 's1'));
    assert.equal(failed['code'], 'snapshot-failed');
    assert.match(String(failed['text']), /could not be written: E(NOTDIR|EXIST)/);
    rmSync(`${hosts.a.folder}/snapshots`);
    // Two at a time are one too many.
    primary.tell({ kind: 'snapshot', id: 's2', name: 'second' });
    primary.tell({ kind: 'snapshot', id: 's3', name: 'third' });
    const refused = await until('it is refused', () => said(primary, 'snapshot-failed', 's3'));
    assert.equal(refused['code'], 'snapshot-refused');
    await until('the other is taken', () => said(primary, 'snapshot-taken', 's2'));
    assert.deepEqual(readdirSync(`${hosts.a.folder}/snapshots`), ['s2']);
    shadow.tell({ kind: 'snapshot', id: 's4', name: 'of a shadow' });
    await until('a shadow has none', () => said(shadow, 'snapshot-failed', 's4'));
    await goesOn(hosts.a);
    assert.equal(primary.status!.ftState, 'running');
    inOrderFrom(0, numbers(hosts.a));
  });
});

test('a process that is killed while it takes a snapshot leaves none', async (t) => {
  await withHosts(t, { touchedBytes: 12 << 20, writes: 100 }, async (hosts) => {
    let vm = await hosts.live();
    for (let round = 0; round < 4; round++) {
      await goesOn(hosts.a);
      vm.tell({ kind: 'snapshot', id: 's1', name: 'first' });
      const folder = snapshotFolder(hosts.a.folder, 's1');
      await until('it has begun', () => existsSync(`${folder}.unfinished`) || existsSync(folder));
      vm.kill();
      await until('it is gone', () => vm.gone);
      const whole = existsSync(folder);
      vm = hosts.launch(hosts.a, { kind: 'live', fenced: true, acceptStale: false });
      await until('the VM is live', () => vm.status?.role === 'live');
      assert.ok(!existsSync(`${folder}.unfinished`));
      assert.equal(existsSync(folder), whole);
      if (whole) renameSync(folder, `${hosts.a.folder}/whole-${round}`);
    }
  });
});
