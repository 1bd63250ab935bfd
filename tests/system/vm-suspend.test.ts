/**
 * Suspend and resume of real VM processes: the guest goes on where it stood, nothing is lost or
 * repeated, and whatever dies in between, at whatever moment, leaves one history.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { diskAfter, frameNumber } from './vm-guest.fixture.ts';
import { pause, type TestHost, type TestVm, until, withHosts } from './vm-hosts.fixture.ts';

const numbers = (...hosts: TestHost[]): number[] =>
  hosts
    .flatMap(({ frames }) => frames)
    .sort((a, b) => a.at - b.at)
    .map(({ frame }) => frameNumber(frame));

/** Each once, in order, from 0. */
const inOrder = (all: readonly number[]): void =>
  assert.deepEqual(
    all,
    all.map((_, at) => at),
  );

const goesOn = (host: TestHost): Promise<true> => {
  const { length } = host.frames;
  return until('frames go out', () => host.frames.length > length + 20) as Promise<true>;
};

/** Again where it is refused for the moment: what the VM has just asked of the arbiter comes first. */
const suspend = async (vm: TestVm): Promise<void> => {
  for (;;) {
    const { length } = vm.failures;
    vm.tell({ kind: 'stop', how: 'suspend' });
    await until('it ends, or refuses', () => vm.gone || vm.failures.length > length);
    if (vm.failures.length === length) break;
    assert.match(vm.failures[length]!.message, /the arbiter has not answered yet/);
    await pause(10);
  }
  assert.equal((await vm.ended()).kind, 'suspended');
};

const savedFolders = (host: TestHost): string[] =>
  readdirSync(host.folder).filter((name) => name.startsWith('saved-'));

test('a suspended VM goes on where it stood, again and again', async (t) => {
  const writes = 700;
  await withHosts(t, { writes, touchedBytes: 4 << 20 }, async (hosts) => {
    let vm = await hosts.live();
    for (let times = 0; times < 3; times++) {
      await goesOn(hosts.a);
      await suspend(vm);
      const { record } = hosts.arbiter.entry;
      assert.equal(record.state, 'suspended');
      assert.deepEqual(savedFolders(hosts.a), [`saved-${record.saved!.id}`]);
      // What comes while nobody runs is lost, as on a real wire.
      await pause(30);
      vm = await hosts.live();
      await until('the state is gone', () => savedFolders(hosts.a).length === 0);
    }
    await goesOn(hosts.a);
    inOrder(numbers(hosts.a));
    hosts.checkConsole();
    const expected = diskAfter(writes);
    await until('all is written', () => readFileSync(hosts.a.diskPath).equals(expected));
  });
});

test('a protected VM is suspended with its shadow at the same end', async (t) => {
  const writes = 600;
  await withHosts(t, { writes, tickMicros: 500 }, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    await goesOn(hosts.a);
    await suspend(primary);
    assert.equal((await shadow.ended()).kind, 'dismissed');
    const { record } = hosts.arbiter.entry;
    assert.deepEqual(record.currentReplicas, ['a', 'b']);
    assert.equal(record.saved?.host, 'a');
    assert.deepEqual(savedFolders(hosts.a), [`saved-${record.saved!.id}`]);
    assert.ok(readFileSync(hosts.a.diskPath).equals(readFileSync(hosts.b.diskPath)));
    // The other host has the disks and not the machine.
    const elsewhere = hosts.launch(hosts.b, { kind: 'live', fenced: false, acceptStale: false });
    await until('it ends', () => elsewhere.gone);
    assert.equal(elsewhere.failures[0]?.code, 'start-saved-state');
    assert.match(elsewhere.failures[0].message, /its saved state is on a\./);
    const again = await hosts.live();
    const next = hosts.shadow(again);
    await hosts.protected(again);
    await goesOn(hosts.a);
    next.tell({ kind: 'trunk', host: 'a', up: false });
    again.kill();
    await until('the shadow is live', () => next.status?.role === 'live');
    await goesOn(hosts.b);
    const [before, after] = [numbers(hosts.a), numbers(hosts.b)];
    inOrder(before);
    assert.ok(after[0]! <= before.length);
    hosts.checkConsole();
    const expected = diskAfter(writes);
    await until('all is written', () => readFileSync(hosts.b.diskPath).equals(expected));
  });
});

test('the saved state is given up by an explicit word alone', async (t) => {
  await withHosts(t, { writes: 100 }, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    await goesOn(hosts.a);
    await suspend(primary);
    await shadow.ended();
    const order = { kind: 'live', fenced: false, acceptStale: false, discardState: true } as const;
    const cold = hosts.launch(hosts.b, order);
    await until('the VM is live', () => cold.status?.role === 'live');
    await goesOn(hosts.b);
    inOrder(numbers(hosts.b));
    assert.equal(hosts.arbiter.entry.record.saved, undefined);
    // What the first host still has is of a past that did not come.
    assert.equal(savedFolders(hosts.a).length, 1);
    const back = hosts.shadow(cold);
    await hosts.protected(cold);
    assert.deepEqual(savedFolders(hosts.a), []);
    assert.equal(back.status!.divergences, 0);
  });
});

test('a VM that cannot be saved goes on, and says why', async (t) => {
  await withHosts(t, {}, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    await goesOn(hosts.a);
    // A file in the place of the folder: as little room as on a full disk.
    const away = `${hosts.a.folder}-away`;
    renameSync(hosts.a.folder, away);
    writeFileSync(hosts.a.folder, '');
    primary.tell({ kind: 'stop', how: 'suspend' });
    const refused = await until('refused', () => primary.reported('suspend-refused'));
    assert.match(String(refused['text']), /cannot be saved: ENOTDIR/);
    rmSync(hosts.a.folder);
    renameSync(away, hosts.a.folder);
    await goesOn(hosts.a);
    assert.equal(primary.status!.ftState, 'running');
    await suspend(primary);
    await shadow.ended();
    inOrder(numbers(hosts.a));
  });
});

test('a state that is damaged is not taken for a machine, and nothing is lost by the attempt', async (t) => {
  await withHosts(t, { touchedBytes: 1 << 20 }, async (hosts) => {
    const vm = await hosts.live();
    await goesOn(hosts.a);
    await suspend(vm);
    const file = join(hosts.a.folder, savedFolders(hosts.a)[0]!, 'machine.zst');
    const whole = readFileSync(file);
    const altered = Buffer.from(whole);
    altered[altered.length >> 1]! ^= 1;
    const { generation } = hosts.arbiter.entry.record;
    for (const bytes of [altered, whole.subarray(0, whole.length - 5)]) {
      writeFileSync(file, bytes);
      const attempt = hosts.launch(hosts.a, { kind: 'live', fenced: false, acceptStale: false });
      await until('it ends', () => attempt.gone);
      assert.equal(attempt.failures[0]?.code, 'machine-file-damaged');
      assert.match(attempt.failures[0].remedy, /--discard-state/);
    }
    assert.equal(hosts.arbiter.entry.record.generation, generation);
    writeFileSync(file, whole);
    await hosts.live();
    await goesOn(hosts.a);
    inOrder(numbers(hosts.a));
  });
});

test('killed at any moment of a suspend, an unprotected VM is suspended or was running', async (t) => {
  await withHosts(t, { touchedBytes: 8 << 20 }, async (hosts) => {
    let vm = await hosts.live();
    const states = new Set<string>();
    for (let round = 0; round < 8; round++) {
      await goesOn(hosts.a);
      vm.tell({ kind: 'stop', how: 'suspend' });
      await pause(round * 9);
      vm.kill();
      await until('it is gone', () => vm.gone);
      const { state } = hosts.arbiter.entry.record;
      states.add(state);
      hosts.a.frames.length = 0;
      vm = hosts.launch(hosts.a, { kind: 'live', fenced: true, acceptStale: false });
      await until('the VM is live', () => vm.status?.role === 'live');
      await goesOn(hosts.a);
      const [first, ...rest] = numbers(hosts.a);
      // Powered on anew after a crash, or from exactly where it stood.
      assert.equal(first === 0, state === 'live', `${state}: frame ${first} came first`);
      for (const [at, number] of rest.entries()) assert.equal(number, first! + at + 1);
      // The file system may take its time over what was only half there.
      assert.ok(savedFolders(hosts.a).every((name) => name.endsWith('.unfinished')));
      await until('it is gone', () => savedFolders(hosts.a).length === 0);
    }
    t.diagnostic(`killed while ${[...states].join(' and ')}`);
  });
});

test('killed at any moment of a suspend, a protected VM loses nothing', async (t) => {
  for (const delay of [0, 3, 10, 25, 60, 150]) {
    await withHosts(t, { touchedBytes: 8 << 20 }, async (hosts) => {
      const { primary, shadow } = await hosts.pair();
      shadow.tell({ kind: 'trunk', host: 'a', up: false });
      await goesOn(hosts.a);
      primary.tell({ kind: 'stop', how: 'suspend' });
      await pause(delay);
      primary.kill();
      await until('it is gone', () => primary.gone);
      await until('the shadow is live, or has ended', () =>
        shadow.status?.role === 'live' ? true : shadow.gone,
      );
      const before = numbers(hosts.a);
      inOrder(before);
      if (shadow.gone) {
        assert.equal(hosts.arbiter.entry.record.state, 'suspended');
        await hosts.live();
        await goesOn(hosts.a);
        inOrder(numbers(hosts.a));
      } else {
        await goesOn(hosts.b);
        const after = numbers(hosts.b);
        assert.ok(after[0]! <= before.length, `${after[0]} after ${before.length}`);
        // The old host's folder is never continued from: the record does not name it.
        assert.equal(hosts.arbiter.entry.record.saved, undefined);
      }
      t.diagnostic(`${delay} ms: ${shadow.gone ? 'suspended' : 'failed over'}`);
      hosts.checkConsole();
    });
  }
});

test('a process that dies before its machine went on leaves the state to the next one', async (t) => {
  await withHosts(t, { touchedBytes: 4 << 20 }, async (hosts) => {
    const vm = await hosts.live();
    await goesOn(hosts.a);
    await suspend(vm);
    const count = hosts.a.frames.length;
    // Killed as soon as the arbiter has granted: before or after the state is gone.
    for (let round = 0; round < 6; round++) {
      const { generation } = hosts.arbiter.entry.record;
      const attempt = hosts.launch(hosts.a, { kind: 'live', fenced: true, acceptStale: false });
      await until('granted', () => hosts.arbiter.entry.record.generation > generation);
      attempt.kill();
      await until('it is gone', () => attempt.gone);
      const { saved } = hosts.arbiter.entry.record;
      if (saved !== undefined && existsSync(join(hosts.a.folder, `saved-${saved.id}`))) continue;
      t.diagnostic(`after ${round + 1} attempts the machine may have gone on`);
      return;
    }
    const last = hosts.launch(hosts.a, { kind: 'live', fenced: true, acceptStale: false });
    await until('the VM is live', () => last.status?.role === 'live');
    await goesOn(hosts.a);
    assert.ok(numbers(hosts.a).length > count);
    inOrder(numbers(hosts.a));
  });
});
