/**
 * Trust in a whole cluster of real processes: a protected VM whose certificates end every few
 * seconds, a center that is away for longer than they last, a host that is revoked.
 */
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { eventually, guestCluster } from './guest-cluster.fixture.ts';

const seconds = 6;

test('a protected pair survives renewals, a failover after them, and a long absence', async (t) => {
  const guest = await guestCluster('--certificate-seconds', String(seconds));
  const { cluster } = guest;
  try {
    for (const name of ['a', 'b', 'c']) await cluster.daemon('host', name);
    await guest.protectedVm('a');
    const before = await guest.ft();
    const { console, seen } = guest.watch();
    const first = cluster.certificateOf('a');

    await t.test('renewals disturb nothing', async () => {
      const serials = new Set<string>();
      await eventually('four renewals of both hosts', () => {
        for (const name of ['a', 'b']) serials.add(cluster.certificateOf(name).serialNumber);
        return serials.size >= 10;
      });
      assert.ok(Date.now() > first.validToDate.getTime(), 'all that it began with has ended');
      const { state, generation, primary, shadow } = await guest.ft();
      assert.deepEqual([state, generation], ['running', before.generation]);
      assert.deepEqual([primary?.pid, shadow?.pid], [before.primary?.pid, before.shadow?.pid]);
      assert.ok(seen() > 1_000);
    });

    await t.test('the shadow claims, and another host protects it, with what is new', async () => {
      await cluster.killHost('a');
      const live = await eventually('a failover', async () => {
        const ft = await guest.ft();
        return ft.primary?.host !== 'a' && ft.state === 'running' ? ft : undefined;
      });
      assert.equal(live.primary?.host, before.shadow?.host);
      const more = seen() + 500;
      await eventually('the console goes on', () => seen() > more);
      assert.equal((await guest.ft()).divergences, 0);
    });

    await t.test('the center is away until all certificates have ended', async () => {
      const { primary, shadow } = await guest.ft();
      cluster.processOf('center').kill('SIGKILL');
      const pair = [primary!.host, shadow!.host];
      await eventually('the end of the certificates', () =>
        pair.every((name) => Date.now() > cluster.certificateOf(name).validToDate.getTime()),
      );
      // The daemon of the shadow's host cannot renew now: its VM process claims with what it has.
      cluster.processOf(shadow!.host).kill('SIGSTOP');
      const { vmPids } = { vmPids: [primary!.pid!] };
      await cluster.startCenter();
      cluster.processOf(primary!.host).kill('SIGKILL');
      for (const pid of vmPids) process.kill(pid, 'SIGKILL');
      await eventually('a claim with a certificate that has ended', async () => {
        const { primary: now, generation } = await guest.ft();
        return now?.host === shadow!.host && generation > before.generation;
      });
      assert.ok(Date.now() > cluster.certificateOf(shadow!.host).validToDate.getTime());
      cluster.processOf(shadow!.host).kill('SIGCONT');
      await eventually('it comes back and renews', async () => {
        const isThere = (await cluster.host(shadow!.host))?.state === 'connected';
        return isThere && Date.now() < cluster.certificateOf(shadow!.host).validToDate.getTime();
      });
      const events = await cluster.client.call('listEvents', { query: {} });
      assert.ok(events.some(({ kind }) => kind === 'certificate-ended'));
      // Whoever watched has missed nothing of it.
      const further = seen() + 500;
      await eventually('the console goes on', () => seen() > further);
      console.close();
      const again = guest.watch();
      await eventually('the guest runs', () => again.seen() > 500);
      again.console.close();
    });
  } finally {
    t.diagnostic(cluster.tails());
    await guest.close();
  }
});

test('the host of a primary is revoked: its shadow goes live, and it says no more', async (t) => {
  const guest = await guestCluster();
  const { cluster } = guest;
  try {
    for (const name of ['a', 'b', 'c']) {
      await cluster.daemon('host', name, [], { tokenBy: name === 'a' ? 'input' : 'environment' });
    }
    await guest.protectedVm('a');
    const { console, seen } = guest.watch();
    const { shadow } = await guest.ft();
    await eventually('the guest runs', () => seen() > 200);

    await t.test("keys, disks, logs and sockets are their user's alone", () => {
      for (const name of ['a', shadow!.host]) checkModes(cluster.folderOf(name));
    });

    await cluster.client.call('revokeHost', { params: { host: 'a' } });
    const live = await eventually('a failover', async () => {
      const ft = await guest.ft();
      return ft.primary?.host !== 'a' && ft.state === 'running' ? ft : undefined;
    });
    assert.equal(live.primary?.host, shadow!.host);
    const more = seen() + 500;
    await eventually('the console goes on', () => seen() > more);
    assert.equal(live.divergences, 0);
    // Nothing is left for an honest daemon to do.
    await eventually('its daemon ends', () => cluster.processOf('a').exitCode === 1);
    assert.match(cluster.logOf('a'), /its certificate has been revoked/);
    console.close();
  } finally {
    t.diagnostic(cluster.tails());
    await guest.close();
  }
});

function checkModes(folder: string): void {
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  let count = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    assert.equal(statSync(path).mode & 0o077, 0, path);
    count += 1;
  }
  assert.ok(count > 8, `${count} files`);
}
