/**
 * Real VM processes of two hosts, their disks in one folder that both reach: whoever starts or goes
 * live takes the disks over, and what an older copy still writes is read by nobody.
 */
import assert from 'node:assert/strict';
import { constants, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { openFlags } from '../../src/host/vm/open-flags.fixture.ts';
import type { VmLaunch } from '../../src/host/vm/protocol.ts';
import { leaseOf, newRecord } from '../../src/lockstep/arbiter.ts';
import { frameNumber, type VmGuest } from './vm-guest.fixture.ts';
import { pause, type TestHost, TestHosts, type TestVm, until } from './vm-hosts.fixture.ts';

const leaseMs = 2_000;
type Role = Extract<VmLaunch['role'], { kind: 'live' }>;

class SharedHosts {
  readonly hosts: TestHosts;
  readonly folder: string;

  constructor(hosts: TestHosts) {
    this.hosts = hosts;
    this.folder = join(hosts.a.folder, '..', 'datastore');
    mkdirSync(this.folder);
    hosts.arbiter.entry = newRecord(1, [], { renewals: 0 });
  }

  get #own(): Partial<VmLaunch> {
    const vm = { ...this.hosts.spec, datastore: { name: 'shared', id: 'one' } };
    return { vm, sharedDirectory: this.folder };
  }

  async live(host: TestHost, role: Partial<Role> = {}): Promise<TestVm> {
    const whole = { kind: 'live', fenced: false, acceptStale: false, leaseMs, ...role } as const;
    const vm = this.hosts.launch(host, whole, this.#own);
    await until('the VM is live', () => vm.status?.role === 'live' && vm.status.logPort);
    return vm;
  }

  /** As the center does it when the lease has ended. */
  restart(host: TestHost): Promise<TestVm> {
    const lapsed = leaseOf(this.hosts.arbiter.entry.record);
    return this.live(host, { fenced: true, ...(lapsed !== undefined && { lapsed }) });
  }

  shadow(primary: TestVm): TestVm {
    const host = primary.host === this.hosts.a ? this.hosts.b : this.hosts.a;
    primary.tell({ kind: 'protect', shadowHost: host.id });
    const place = { address: '127.0.0.1', port: primary.status!.logPort! };
    const role = { kind: 'shadow', primaryHost: primary.host.id, ...place } as const;
    return this.hosts.launch(host, role, this.#own);
  }

  get disks(): string {
    return this.hosts.arbiter.entry.record.shared!.disks!;
  }

  /** The number that the guest keeps on its disk, in the folder that the record names. */
  get written(): number {
    return Number(
      readFileSync(join(this.folder, `disks-${this.disks}`, 'disk-0.raw')).readBigUInt64LE(0),
    );
  }

  get folders(): string[] {
    return readdirSync(this.folder).filter((name) => name.startsWith('disks-'));
  }
}

async function withShared(
  t: TestContext,
  guest: Partial<VmGuest>,
  act: (shared: SharedHosts, hosts: TestHosts) => Promise<void>,
): Promise<void> {
  const hosts = await TestHosts.start({ guest });
  try {
    await act(new SharedHosts(hosts), hosts);
  } finally {
    for (const { host, log } of hosts.vms) if (log !== '') t.diagnostic(`${host.id}: ${log}`);
    await hosts.close();
  }
}

const counting = { writes: 30_000, resumes: true };
const numbers = ({ frames }: TestHost): number[] => frames.map(({ frame }) => frameNumber(frame));
const serves = (host: TestHost): Promise<true> => {
  const { length } = host.frames;
  return until('frames go out', () => host.frames.length > length + 20) as Promise<true>;
};

const consecutive = (all: readonly number[]): void =>
  assert.deepEqual(
    all,
    all.map((_, at) => all[0]! + at),
  );

test('a killed copy is followed on the other host by one that has its data', async (t) => {
  await withShared(t, counting, async (shared, { a, b }) => {
    const first = await shared.live(a);
    await serves(a);
    await until('it writes', () => shared.written > 20);
    const name = shared.disks;
    first.kill();
    await until('it is gone', () => first.gone);
    const { written } = shared;
    assert.ok(written > 20);
    await shared.restart(b);
    await serves(b);
    assert.equal(numbers(b)[0], written, 'it has read what was written');
    consecutive(numbers(b));
    assert.notEqual(shared.disks, name);
    await until('it writes on', () => shared.written > written);
    await until('the former disks are removed', () => shared.folders.length === 1);
  });
});

test('a frozen copy that is thawed behind its lease writes nothing that is read', async (t) => {
  await withShared(t, counting, async (shared, { a, b }) => {
    const first = await shared.live(a);
    await serves(a);
    first.child.kill('SIGSTOP');
    await pause(leaseMs * 1.02);
    const { length } = a.frames;
    const second = await shared.restart(b);
    await serves(b);
    // A write of the other copy would set the number back: it has counted less far.
    const seen = [shared.written];
    const look = setInterval(() => seen.push(shared.written), 1);
    t.after(() => clearInterval(look));
    first.child.kill('SIGCONT');
    assert.equal((await first.ended()).kind, 'lost-claim');
    await serves(b);
    assert.ok(a.frames.length <= length + 1, 'one frame at most that was on its way');
    await until('it writes on', () => shared.written > seen[0]!);
    consecutive(numbers(b));
    second.tell({ kind: 'stop', how: 'power-off' });
    assert.equal((await second.ended()).kind, 'off');
    clearInterval(look);
    seen.push(shared.written);
    assert.deepEqual(
      seen,
      seen.toSorted((one, other) => one - other),
    );
  });
});

test('an arbiter that is away for longer than the lease costs a pause', async (t) => {
  await withShared(t, counting, async (shared, hosts) => {
    const { a, arbiter } = hosts;
    const vm = await shared.live(a);
    await serves(a);
    const said = (kind: string) => vm.reports.filter((report) => report['kind'] === kind).length;
    const lapses = said('lease-lapsed');
    arbiter.answering = false;
    await until('its lease ends', () => said('lease-lapsed') > lapses);
    const { length } = a.frames;
    await pause(1_000);
    assert.equal(a.frames.length, length, 'nothing is said behind it');
    const renewals = said('lease-renewed');
    arbiter.answering = true;
    await until('it is renewed', () => said('lease-renewed') > renewals);
    await serves(a);
    consecutive(numbers(a));
  });
});

test('a protected VM fails over on shared disks, and is handed over with them', async (t) => {
  await withShared(t, counting, async (shared, hosts) => {
    const { a, b } = hosts;
    const first = await shared.live(a);
    const second = shared.shadow(first);
    await hosts.protected(first);
    await serves(a);
    const before = shared.disks;
    first.kill();
    await until('the shadow is live', () => second.status?.role === 'live');
    await serves(b);
    const taken = shared.disks;
    assert.notEqual(taken, before, 'what the dead primary wrote last reaches nobody');
    // What the guest believes to be written must not be in a host's memory alone.
    const open = openFlags(second.child.pid!, join(shared.folder, `disks-${taken}`, 'disk-0.raw'));
    assert.ok(open & constants.O_DSYNC);
    // Frames that were sent shortly before may come again, which TCP absorbs; none is missing.
    const said = [...new Set([...numbers(a), ...numbers(b)])];
    consecutive(said);
    hosts.checkConsole();
    await until('the former disks are removed', () => shared.folders.length === 1);
    const third = shared.shadow(second);
    await hosts.protected(second);
    second.tell({ kind: 'handOver' });
    assert.equal((await second.ended()).kind, 'handed-over');
    await until('the next one is live', () => third.status?.role === 'live');
    await serves(a);
    assert.equal(shared.disks, taken, 'who consents has nothing under way');
    hosts.checkConsole();
    assert.ok(shared.written > 0);
  });
});

test('a suspended VM goes on at the other host', async (t) => {
  await withShared(t, counting, async (shared, hosts) => {
    const { a, b } = hosts;
    const first = await shared.live(a);
    await serves(a);
    first.tell({ kind: 'stop', how: 'suspend' });
    assert.equal((await first.ended()).kind, 'suspended');
    const before = shared.disks;
    await shared.live(b);
    await serves(b);
    assert.equal(shared.disks, before, 'nobody can write there but who goes on');
    consecutive([...numbers(a), ...numbers(b)]);
    hosts.checkConsole();
  });
});

test('a guest that hangs is reset by the watchdog, one that sleeps is not', async (t) => {
  await withShared(t, { hangsAfter: 300 }, async (shared, { a }) => {
    const vm = await shared.live(a);
    vm.tell({ kind: 'watchdog', seconds: 1 });
    await until('it is reset', () => vm.reported('guest-reset'));
    const again = await until('it starts again', () => {
      const at = numbers(a).indexOf(0, 1);
      return at > 0 && at;
    });
    consecutive(numbers(a).slice(0, again));
    consecutive(numbers(a).slice(again));
  });
  await withShared(t, { tickMicros: 3_000_000 }, async (shared, { a }) => {
    const vm = await shared.live(a);
    vm.tell({ kind: 'watchdog', seconds: 1 });
    await pause(5_000);
    assert.equal(vm.reported('guest-reset'), undefined);
    assert.equal(vm.status?.watchdogSeconds, 1);
  });
});
