/**
 * What a migration is made of, at the level of VM processes: a temporary shadow with its disks, the
 * hand-over, and a VM that is as unprotected afterwards as before, twice and back again.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { diskAfter, frameNumber } from './vm-guest.fixture.ts';
import { TestHosts, type TestVm, until } from './vm-hosts.fixture.ts';

test('an unprotected VM that writes to its disk moves to another host and back', async (t) => {
  const writes = 1500;
  const hosts = await TestHosts.start({ guest: { writes, tickMicros: 500 } });
  try {
    let vm: TestVm = await hosts.live();
    vm.tell({ kind: 'protect', shadowHost: undefined });
    await until('it is unprotected', () => vm.status?.ftState === 'disabled');
    for (let times = 0; times < 2; times++) {
      const from = vm;
      const to = hosts.shadow(from);
      await hosts.protected(from);
      const known = to.host.frames.length;
      from.tell({ kind: 'handOver' });
      assert.equal((await from.ended()).kind, 'handed-over');
      await until('the other host is live', () => to.status?.role === 'live');
      to.tell({ kind: 'protect', shadowHost: undefined });
      await until('it is unprotected', () => to.status?.ftState === 'disabled');
      const { length } = to.host.frames;
      await until('frames go out', () => to.host.frames.length > length + 20);
      const { live, eligibleShadow, currentReplicas } = hosts.arbiter.entry.record;
      assert.deepEqual([live?.host, eligibleShadow], [to.host.id, undefined]);
      assert.deepEqual(currentReplicas, [to.host.id]);
      t.diagnostic(`to ${to.host.id}: ${gapMs(from, to, known).toFixed(1)} ms between frames`);
      vm = to;
    }
    const expected = diskAfter(writes);
    await until('all is written', () => readFileSync(hosts.a.diskPath).equals(expected));
    hosts.checkConsole();
    const sent = [...hosts.a.frames, ...hosts.b.frames].sort((x, y) => x.at - y.at);
    const numbers = sent.map(({ frame }) => frameNumber(frame));
    assert.deepEqual(
      numbers,
      numbers.map((_, at) => at),
      'every frame once and in order',
    );
    for (const { status } of hosts.vms) assert.equal(status!.divergences, 0);
  } finally {
    for (const { host, log } of hosts.vms) if (log !== '') t.diagnostic(`${host.id}: ${log}`);
    await hosts.close();
  }
});

/** Between the last frame that the one sent before it handed over and the first of the other. */
function gapMs({ host: from }: TestVm, { host: to }: TestVm, knownBefore: number): number {
  const first = to.frames[knownBefore]!.at;
  const last = from.frames.findLast(({ at }) => at < first)!.at;
  return (first - last) / 1000;
}
