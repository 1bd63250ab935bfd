/** What should happen next to a VM, situation by situation; no I/O, no time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { VmStatus } from '../api/agent.ts';
import type { Member, VmRecord } from '../lockstep/arbiter.ts';
import type { Vm } from './inventory.ts';
import type { HostState } from './placement.ts';
import { type CopyReport, plan, type Situation } from './protection.ts';

const gigabyte = 2 ** 30;

function host(id: string, changes: Partial<HostState> = {}): HostState {
  const load = { memoryBytes: 0, ftVms: 0, ftCpus: 0 };
  const base = { id, name: id, connected: true, maintenance: false, memoryBytes: 8 * gigabyte };
  return { ...base, load, ...changes };
}

function vm(changes: Partial<Vm> = {}): Vm {
  const spec = {
    id: 'v',
    name: 'web',
    number: 1,
    image: 'tiny',
    imageDigest: 'd',
    cpus: 1,
    memoryBytes: gigabyte,
    mac: '52:54:00:00:00:01',
    disks: [],
    epochOffset: '0',
    randomSeed: '',
  };
  const wishes = { wanted: 'on', ftWanted: true, acceptStale: false, seedGeneration: 0 } as const;
  const places = { preferredHost: undefined, host: undefined, shadowHost: undefined };
  return { spec, ports: [], ...wishes, ...places, ...changes };
}

function record(changes: Partial<VmRecord> = {}): VmRecord {
  const base = { epoch: 1, generation: 0, state: 'stopped', currentReplicas: [] } as const;
  return { ...base, live: undefined, eligibleShadow: undefined, claimId: '', ...changes };
}

const member = (at: string): Member => ({ host: at, process: `${at}-process` });
const liveAt = (at: string, generation: number, shadow?: string): VmRecord =>
  record({
    generation,
    state: 'live',
    live: member(at),
    eligibleShadow: shadow === undefined ? undefined : member(shadow),
    currentReplicas: shadow === undefined ? [at] : [at, shadow],
  });

function copy(at: string, role: VmStatus['role'], changes: Partial<VmStatus> = {}): CopyReport {
  const status: VmStatus = {
    vm: 'v',
    pid: 1,
    process: `${at}-process`,
    role,
    count: '0',
    epoch: 1,
    generation: 1,
    logAddress: `address-of-${at}`,
    logPort: 7,
    ftState: role === 'live' ? 'needShadow' : 'notConfigured',
    lagMs: 0,
    logBytesSent: 0,
    fingerprintsCompared: 0,
    divergences: 0,
    ...changes,
  };
  return { host: at, status };
}

function situation(changes: Partial<Situation> = {}): Situation {
  return {
    vm: vm(),
    record: record(),
    copies: [],
    hosts: [host('a'), host('b'), host('c')],
    limits: { ftVmsMax: 4, ftCpusMax: 8 },
    hasEnded: () => false,
    avoid: new Map(),
    ...changes,
  };
}

/** `HOST: kind` of each command. */
const said = (given: Situation): string[] =>
  plan(given).commands.map(({ host: to, message }) => `${to}: ${message.kind}`);

const ended =
  (...hosts: string[]) =>
  (who: Member) =>
    hosts.includes(who.host);

test('a VM that shall run is started on the host with most free memory', () => {
  const busy = { memoryBytes: gigabyte, ftVms: 1, ftCpus: 1 };
  const hosts = [host('a', { load: busy }), host('b'), host('c', { load: busy })];
  assert.deepEqual(said(situation({ hosts })), ['b: start']);
  const preferred = vm({ preferredHost: 'c' });
  assert.deepEqual(said(situation({ hosts, vm: preferred })), ['c: start']);
});

test('a VM that is starting is left alone', () => {
  const copies = [copy('b', 'starting', { process: '', pid: 0 })];
  assert.deepEqual(said(situation({ vm: vm({ host: 'b' }), copies })), []);
  // The arbiter has granted, the report does not know yet: not a stray, not ended.
  const granted = { vm: vm({ host: 'b' }), record: liveAt('b', 1), copies };
  assert.deepEqual(said(situation(granted)), []);
});

test('where nobody can take it, the plan says why', () => {
  const hosts = [host('a', { connected: false }), host('b', { memoryBytes: gigabyte / 2 })];
  const given = plan(situation({ hosts }));
  assert.deepEqual(given.commands, []);
  assert.equal(given.obstacle, 'a is not responding; b has 512 MiB of memory free');
});

test('a VM with disks starts only where no acknowledged write is missing', () => {
  const disks = [{ bytes: 512 }];
  const withDisk = vm({ spec: { ...vm().spec, disks }, host: 'a' });
  const stopped = record({ generation: 5, currentReplicas: ['c'] });
  assert.deepEqual(said(situation({ vm: withDisk, record: stopped })), ['c: start']);
  const hosts = [host('a'), host('b'), host('c', { connected: false })];
  assert.deepEqual(said(situation({ vm: withDisk, record: stopped, hosts })), []);
  const stale = { ...withDisk, acceptStale: true };
  assert.deepEqual(said(situation({ vm: stale, record: stopped, hosts })), ['a: start']);
});

test('first protection: the primary is told whom to expect, the shadow whom to follow', () => {
  const given = situation({
    vm: vm({ host: 'a' }),
    record: liveAt('a', 1),
    copies: [copy('a', 'live')],
  });
  const { commands, shadowHost } = plan(given);
  assert.equal(shadowHost, 'b');
  assert.deepEqual(commands, [
    { host: 'a', message: { kind: 'protect', vm: 'v', shadowHost: 'b' } },
    {
      host: 'b',
      message: {
        kind: 'startShadow',
        vm: given.vm.spec,
        primary: { host: 'a', address: 'address-of-a', port: 7 },
      },
    },
  ]);
});

test('while the shadow catches up and when it is eligible, nothing is said', () => {
  const catching = {
    vm: vm({ host: 'a', shadowHost: 'b' }),
    record: liveAt('a', 1),
    copies: [copy('a', 'live', { ftState: 'starting', shadowHost: 'b' }), copy('b', 'shadow')],
  };
  assert.deepEqual(said(situation(catching)), []);
  const eligible = { ...catching, record: liveAt('a', 2, 'b') };
  assert.deepEqual(said(situation(eligible)), []);
  assert.equal(plan(situation(eligible)).shadowHost, 'b');
});

test('a shadow whose host is lost is replaced once the primary goes alone', () => {
  const lost = {
    vm: vm({ host: 'a', shadowHost: 'b' }),
    hosts: [host('a'), host('b', { connected: false }), host('c')],
    copies: [copy('a', 'live', { generation: 2 })],
  };
  assert.deepEqual(said(situation({ ...lost, record: liveAt('a', 2, 'b') })), []);
  const alone = situation({ ...lost, record: liveAt('a', 3) });
  assert.deepEqual(said(alone), ['a: protect', 'c: startShadow']);
  assert.equal(plan(alone).shadowHost, 'c');
});

test("the center's own lost connections change nothing", () => {
  const given = {
    vm: vm({ host: 'a', shadowHost: 'b' }),
    record: liveAt('a', 2, 'b'),
    hosts: [host('a', { connected: false }), host('b', { connected: false }), host('c')],
  };
  const { commands, shadowHost } = plan(situation(given));
  assert.deepEqual(commands, []);
  assert.equal(shadowHost, 'b');
});

test('a lost primary is waited for by its shadow, not by a restart', () => {
  const given = {
    vm: vm({ host: 'a', shadowHost: 'b' }),
    record: liveAt('a', 2, 'b'),
    copies: [copy('b', 'shadow')],
    hasEnded: ended('a'),
  };
  assert.deepEqual(said(situation(given)), []);
});

test('after a failover the new primary gets a shadow on a third host', () => {
  const given = situation({
    vm: vm({ host: 'b' }),
    record: liveAt('b', 3),
    hosts: [host('a', { connected: false }), host('b'), host('c')],
    copies: [copy('b', 'live', { generation: 3 })],
  });
  assert.deepEqual(said(given), ['b: protect', 'c: startShadow']);
});

test('of hosts that have all failed lately the one that failed last is the last to be chosen', () => {
  const given = {
    vm: vm({ host: 'c' }),
    record: liveAt('c', 3),
    copies: [copy('c', 'live', { generation: 3 })],
    avoid: new Map([
      ['a', 2_000],
      ['b', 1_000],
    ]),
  };
  assert.deepEqual(said(situation(given)), ['c: protect', 'b: startShadow']);
  assert.equal(plan(situation(given)).shadowHost, 'b');
});

test('a shadow that is being built goes on, though its host is one to avoid', () => {
  const starting = { ftState: 'starting', shadowHost: 'b', generation: 3 } as const;
  const given = {
    vm: vm({ host: 'c', shadowHost: 'b' }),
    record: liveAt('c', 3),
    copies: [copy('c', 'live', starting), copy('b', 'shadow')],
    avoid: new Map([['b', 1_000]]),
  };
  assert.deepEqual(said(situation(given)), []);
  assert.equal(plan(situation(given)).shadowHost, 'b');
  // One that could not be started there, or that the primary has let go of, does not.
  const missing = [copy('c', 'live', starting)];
  assert.equal(plan(situation({ ...given, copies: missing })).shadowHost, 'a');
  const alone = [copy('c', 'live', { generation: 3 }), copy('b', 'shadow')];
  assert.equal(plan(situation({ ...given, copies: alone })).shadowHost, 'a');
});

test('the old primary that comes back is dismissed before its host takes a shadow', () => {
  const back = situation({
    vm: vm({ host: 'b' }),
    record: liveAt('b', 3),
    hosts: [host('a'), host('b')],
    copies: [copy('b', 'live', { generation: 3 }), copy('a', 'live', { generation: 2 })],
  });
  assert.deepEqual(said(back), ['b: protect', 'a: dismiss']);
  const gone = { ...back, copies: [copy('b', 'live', { generation: 3 })] };
  assert.deepEqual(said(gone), ['b: protect', 'a: startShadow']);
});

test('a copy that goes live is not dismissed for a report older than its claim', () => {
  const given = {
    vm: vm({ host: 'b' }),
    record: liveAt('b', 3),
    copies: [copy('b', 'shadow', { generation: 2 })],
  };
  assert.deepEqual(said(situation(given)), []);
});

test('an unprotected VM whose process has ended is started again, fenced', () => {
  const crashed = situation({
    vm: vm({ host: 'a', ftWanted: false }),
    record: liveAt('a', 1),
    hasEnded: ended('a'),
  });
  const [command] = plan(crashed).commands;
  assert.equal(command?.message.kind, 'start');
  assert.ok(command.message.kind === 'start' && command.message.fenced);
  const again = { ...crashed, vm: { ...crashed.vm, host: 'b' }, copies: [copy('b', 'starting')] };
  assert.deepEqual(said(again), []);
  assert.equal(plan(again).host, 'b');
  const unsure = { ...crashed, hasEnded: () => false };
  assert.deepEqual(said(unsure), []);
});

test('turning off: the primary first, the shadow when the arbiter has let it go', () => {
  const given = situation({
    vm: vm({ host: 'a', shadowHost: 'b', ftWanted: false }),
    record: liveAt('a', 2, 'b'),
    copies: [copy('a', 'live', { ftState: 'running', shadowHost: 'b' }), copy('b', 'shadow')],
  });
  assert.deepEqual(said(given), ['a: protect']);
  const off = [copy('a', 'live', { ftState: 'disabled' }), copy('b', 'shadow')];
  assert.deepEqual(said({ ...given, record: liveAt('a', 3), copies: off }), ['b: dismiss']);
});

test('powering off: the live copy is stopped; what is left of a pair is dismissed', () => {
  const given = situation({
    vm: vm({ host: 'a', shadowHost: 'b', wanted: 'off' }),
    record: liveAt('a', 2, 'b'),
    copies: [copy('a', 'live', { ftState: 'running' }), copy('b', 'shadow')],
  });
  assert.deepEqual(said(given), ['a: stop']);
  const stopped = { ...given, record: record({ generation: 3 }), copies: [copy('b', 'shadow')] };
  assert.deepEqual(said(stopped), ['b: dismiss']);
});

test('while the arbiter is not sure, nobody is started and nobody dismissed', () => {
  const copies = [copy('a', 'live', { generation: 4 }), copy('c', 'live', { generation: 2 })];
  const given = { vm: vm({ host: 'a' }), record: undefined };
  assert.deepEqual(said(situation(given)), []);
  const kinds = said(situation({ ...given, copies }));
  assert.ok(!kinds.some((kind) => /dismiss|: start$/.test(kind)), kinds.join());
});

test('limits per host count both copies', () => {
  const full = { memoryBytes: 0, ftVms: 4, ftCpus: 4 };
  const given = {
    vm: vm({ host: 'a' }),
    record: liveAt('a', 1),
    copies: [copy('a', 'live')],
    hosts: [host('a'), host('b', { load: full }), host('c')],
  };
  assert.deepEqual(said(situation(given)), ['a: protect', 'c: startShadow']);
  const unlimited = { ...given, limits: { ftVmsMax: 0, ftCpusMax: 0 } };
  assert.deepEqual(said(situation(unlimited)), ['a: protect', 'b: startShadow']);
});

test('whatever is reported, no host gets two copies and the record is never dismissed', () => {
  const at = fc.constantFrom('a', 'b', 'c');
  const role = fc.constantFrom('starting' as const, 'live' as const, 'shadow' as const);
  const reports = fc.uniqueArray(
    fc.record({ at, role, generation: fc.integer({ min: 0, max: 6 }), named: fc.boolean() }),
    { selector: (each) => each.at },
  );
  const anything = fc.record({
    reports,
    live: fc.option(at, { nil: undefined }),
    shadow: fc.option(at, { nil: undefined }),
    generation: fc.integer({ min: 1, max: 6 }),
    wanted: fc.constantFrom('on' as const, 'off' as const),
    ftWanted: fc.boolean(),
    place: fc.option(at, { nil: undefined }),
    shadowPlace: fc.option(at, { nil: undefined }),
    gone: fc.subarray(['a', 'b', 'c']),
    connected: fc.subarray(['a', 'b', 'c']),
  });
  fc.assert(
    fc.property(anything, (given) => {
      const { live, shadow, generation } = given;
      const eligible = shadow === live ? undefined : shadow;
      const known =
        live === undefined ? record({ generation }) : liveAt(live, generation, eligible);
      const hosts = ['a', 'b', 'c'].map((id) =>
        host(id, { connected: given.connected.includes(id) }),
      );
      const next = plan(
        situation({
          vm: vm({ ...given, host: given.place, shadowHost: given.shadowPlace }),
          record: known,
          hosts,
          copies: given.reports
            .filter((each) => given.connected.includes(each.at))
            .map((each) =>
              copy(each.at, each.role, {
                generation: each.generation,
                ...(each.named ? {} : { process: '' }),
              }),
            ),
          hasEnded: ended(...given.gone),
        }),
      );
      const isGone = (who: string | undefined) => who !== undefined && given.gone.includes(who);
      if (next.host !== undefined) assert.notEqual(next.host, next.shadowHost);
      for (const { host: to, message } of next.commands) {
        if (message.kind === 'dismiss' && live !== undefined && !isGone(live)) {
          assert.notEqual(to, live, 'the live copy is dismissed');
        }
        if (message.kind !== 'start') continue;
        assert.ok(live === undefined || isGone(live), 'started beside a live copy');
        assert.equal(message.fenced, live !== undefined);
      }
    }),
    { numRuns: 2000 },
  );
});
