/** Two VM processes as a pair: protection, the loss of one, orders, disks, the arbiter's memory. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { nowUs } from '../../src/host/clock.ts';
import { timing } from '../../src/lockstep/timing.ts';
import { diskAfter, frameNumber } from './vm-guest.fixture.ts';
import { type TestHost, type TestVm, until, withHosts } from './vm-hosts.fixture.ts';

/** Numbers of the frames that a host's switch got: what the world saw of the guest. */
const numbers = (host: TestHost): number[] => host.frames.map(({ frame }) => frameNumber(frame));

const goesOn = (host: TestHost): Promise<true> => {
  const { length } = host.frames;
  return until('frames go out', () => host.frames.length > length + 20) as Promise<true>;
};

test('the primary is killed: the shadow goes live, and nothing is lost', async (t) => {
  await withHosts(t, {}, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    shadow.tell({ kind: 'trunk', host: 'a', up: false });
    await goesOn(hosts.a);
    primary.kill();
    await until('the shadow is live', () => shadow.status?.role === 'live');
    await goesOn(hosts.b);
    const [before, after] = [numbers(hosts.a), numbers(hosts.b)];
    // Frames that were kept may come twice; none is missing, and from then on they go in order.
    assert.deepEqual(
      before,
      before.map((_, at) => at),
    );
    assert.ok(after[0]! <= before.length, `${after[0]} after ${before.length}`);
    assert.deepEqual(
      after,
      after.map((_, at) => after[0]! + at),
    );
    hosts.checkConsole();
    const { hello } = hosts.b.hellos[0]!;
    assert.deepEqual([hello.epoch, hello.generation], [1, hosts.arbiter.entry.record.generation]);
    assert.deepEqual(hosts.arbiter.entry.record.live?.host, 'b');
  });
});

test('the daemon of the primary goes: its VM process ends, the shadow learns at once', async (t) => {
  await withHosts(t, {}, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    shadow.tell({ kind: 'trunk', host: 'a', up: false });
    await goesOn(hosts.a);
    primary.child.disconnect();
    await until('the shadow is live', () => shadow.status?.role === 'live');
    await until('the process is gone', () => primary.gone);
    await goesOn(hosts.b);
  });
});

test('a trunk that closes alone changes nothing', async (t) => {
  await withHosts(t, {}, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    const { generation } = hosts.arbiter.entry.record;
    for (let times = 0; times < 5; times++) {
      shadow.tell({ kind: 'trunk', host: 'a', up: false });
      await goesOn(hosts.a);
      shadow.tell({ kind: 'trunk', host: 'a', up: true });
    }
    assert.equal(hosts.arbiter.entry.record.generation, generation);
    assert.equal(primary.status!.ftState, 'running');
    assert.equal(shadow.status!.role, 'shadow');
  });
});

test('a primary that does not answer when the trunk closes is lost', async (t) => {
  await withHosts(t, {}, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    await goesOn(hosts.a);
    // Its sockets stay open, as those of a dying process do.
    primary.child.kill('SIGSTOP');
    const stopped = nowUs();
    shadow.tell({ kind: 'trunk', host: 'a', up: false });
    await until('the shadow is live', () => shadow.status?.role === 'live');
    assert.equal(shadow.reported('went-live')!['cause'], 'doubted');
    const claimed = hosts.arbiter.granted('claim')!.at - stopped;
    assert.ok(claimed > timing.doubtMicros && claimed < 300_000, `${claimed} us`);
  });
});

test('a trunk that closed before there was a copy is not forgotten', async (t) => {
  await withHosts(t, {}, async (hosts) => {
    const primary = await hosts.live();
    const shadow = hosts.shadow(primary);
    shadow.tell({ kind: 'trunk', host: 'a', up: true });
    shadow.tell({ kind: 'trunk', host: 'a', up: false });
    await hosts.protected(primary);
    primary.kill();
    await until('the shadow is live', () => shadow.status?.role === 'live');
    // With the trunk believed to be open it would have waited until the primary is silent.
    assert.equal(shadow.reported('went-live')!['cause'], 'closed');
  });
});

test('a planned hand-over loses and repeats nothing', async (t) => {
  await withHosts(t, {}, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    await goesOn(hosts.a);
    primary.tell({ kind: 'handOver' });
    assert.equal((await primary.ended()).kind, 'handed-over');
    await until('the shadow is live', () => shadow.status?.role === 'live');
    await goesOn(hosts.b);
    const all = [...numbers(hosts.a), ...numbers(hosts.b)];
    assert.deepEqual(
      all,
      all.map((_, at) => at),
    );
    hosts.checkConsole();
  });
});

test('copies that unlike tiers execute stay equal, whichever of them is live', async (t) => {
  await withHosts(t, { tickMicros: 200 }, async (hosts) => {
    const compared = async (vm: TestVm): Promise<void> => {
      await until('fingerprints are compared', () => vm.status!.fingerprintsCompared >= 2);
      assert.equal(vm.status!.divergences, 0);
    };
    hosts.a.tier = 'interpreter';
    hosts.b.tier = 'translator';
    const { primary, shadow } = await hosts.pair();
    await compared(shadow);
    primary.tell({ kind: 'handOver' });
    await primary.ended();
    await until('the shadow is live', () => shadow.status?.role === 'live');
    hosts.a.tier = 'reluctant';
    const next = hosts.shadow(shadow);
    await hosts.protected(shadow);
    await compared(next);
    shadow.tell({ kind: 'handOver' });
    await shadow.ended();
    await until('the other host is live', () => next.status?.role === 'live');
    await goesOn(hosts.a);
    hosts.checkConsole();
    const said = hosts.vms.map(({ log }) => /executed by the tier (\w+)/.exec(log)?.[1]);
    assert.deepEqual(said, ['interpreter', 'translator', 'reluctant']);
  });
});

test('a primary that was frozen says nothing new once its shadow has claimed', async (t) => {
  await withHosts(t, { tickMicros: 200, ticksPerFrame: 1 }, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    await goesOn(hosts.a);
    primary.child.kill('SIGSTOP');
    await until('the shadow is live', () => shadow.status?.role === 'live');
    await goesOn(hosts.b);
    primary.child.kill('SIGCONT');
    assert.equal((await primary.ended()).kind, 'lost-claim');
    hosts.checkLateFrames(shadow);
    hosts.checkConsole();
    assert.equal(shadow.status!.role, 'live');
  });
});

test('a VM does not start twice', async (t) => {
  await withHosts(t, {}, async (hosts) => {
    const { primary } = await hosts.pair();
    const second = hosts.launch(hosts.b, { kind: 'live', fenced: false, acceptStale: false });
    await until('the second process ends', () => second.gone);
    const [failure] = second.failures;
    assert.equal(failure?.code, 'start-already-live');
    assert.match(failure.message, /live on a already/);
    assert.equal(second.child.exitCode, 1);
    await goesOn(hosts.a);
    assert.equal(primary.status!.role, 'live');
  });
});

test('disks are equal on both hosts after hand-overs in the middle of writes', async (t) => {
  const writes = 1500;
  await withHosts(t, { writes, tickMicros: 500 }, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    await goesOn(hosts.a);
    primary.tell({ kind: 'handOver' });
    await primary.ended();
    await until('the shadow is live', () => shadow.status?.role === 'live');
    const next = hosts.shadow(shadow);
    await hosts.protected(shadow);
    const expected = diskAfter(writes);
    for (const { diskPath } of [hosts.b, hosts.a]) {
      await until('all is written', () => readFileSync(diskPath).equals(expected));
    }
    shadow.tell({ kind: 'handOver' });
    await shadow.ended();
    await until('the other host is live', () => next.status?.role === 'live');
    assert.ok(readFileSync(hosts.a.diskPath).equals(expected), 'the replica of host a');
    assert.ok(readFileSync(hosts.b.diskPath).equals(expected), 'the replica of host b');
    hosts.checkConsole();
  });
});

test('an arbiter put back from a backup hears of a pair that wants nothing', async (t) => {
  await withHosts(t, {}, async (hosts) => {
    const primary = await hosts.live();
    const backup = hosts.arbiter.entry;
    const shadow = hosts.shadow(primary);
    await hosts.protected(primary);
    const { record } = hosts.arbiter.entry;
    hosts.arbiter.restore(backup);
    await until('everybody has registered', () => hosts.arbiter.entry.recovery === undefined);
    assert.deepEqual(hosts.arbiter.entry.record, { ...record, epoch: 2 });
    // And the pair still does what it is for.
    shadow.tell({ kind: 'trunk', host: 'a', up: false });
    primary.kill();
    await until('the shadow is live', () => shadow.status?.role === 'live');
    await goesOn(hosts.b);
    assert.equal(hosts.b.hellos[0]!.hello.epoch, 2);
  });
});

test('a new process on a host registers what an old one knew', async (t) => {
  await withHosts(t, {}, async (hosts) => {
    const { primary, shadow } = await hosts.pair();
    const backup = hosts.arbiter.entry;
    shadow.kill();
    await until('the primary is alone', () => primary.status?.ftState === 'needShadow');
    await until('the arbiter knows', () => hosts.arbiter.granted('goAlone'));
    hosts.arbiter.restore(backup);
    // Named by the backup as eligible, and gone: only its host can speak for it.
    hosts.shadow(primary);
    await hosts.protected(primary);
    assert.equal(hosts.arbiter.entry.record.epoch, 2);
  });
});
