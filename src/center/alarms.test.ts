/** Which conditions hold, when an alarm is raised and cleared, and whether a lost host can be made good. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { FtStatusView } from '../api/views.ts';
import type { UmbraError } from '../base/errors.ts';
import { conditionsOf, type Facts, type HostFacts, type VmFacts } from './alarm-conditions.ts';
import { Alarms, type Condition } from './alarms.ts';
import { shortage, type Tenant } from './capacity.ts';
import { Events } from './events.ts';
import type { HostState } from './placement.ts';
import { EmbeddedStore } from './store/embedded-store.ts';

function engine(t: TestContext): { alarms: Alarms; events: () => string[]; again: () => Alarms } {
  const folder = mkdtempSync(join(tmpdir(), 'umbra-alarms-'));
  const store = new EmbeddedStore(folder);
  const events = new Events(store);
  t.after(() => {
    store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    alarms: new Alarms(store, events),
    events: () => events.list(0, 100).map(({ kind }) => kind),
    again: () => new Alarms(store, events),
  };
}

const lag = (severity: Condition['severity']): Condition => ({
  ...{ kind: 'ft-lag', subject: 'v', severity, text: `${severity} lag`, vm: 'web', holdMs: 1_000 },
});

test('an alarm is raised when its condition has held, and cleared when it has been gone as long', (t) => {
  const { alarms, events } = engine(t);
  alarms.look([lag('yellow')], 0);
  alarms.look([lag('yellow')], 900);
  assert.deepEqual(alarms.list(), []);
  alarms.look([], 950);
  alarms.look([lag('yellow')], 1_000);
  alarms.look([lag('yellow')], 1_999);
  assert.deepEqual(alarms.list(), [], 'the time begins anew');
  alarms.look([lag('yellow')], 2_000);
  assert.deepEqual(
    alarms.list().map(({ id }) => id),
    ['ft-lag:v'],
  );
  alarms.look([], 3_000);
  alarms.look([lag('yellow')], 3_500);
  alarms.look([], 4_000);
  alarms.look([], 4_999);
  assert.equal(alarms.list().length, 1);
  alarms.look([], 5_000);
  assert.deepEqual(alarms.list(), []);
  assert.deepEqual(events(), ['alarm-raised', 'alarm-cleared']);
});

test('what becomes worse is raised again, although it was acknowledged; what becomes milder is not', (t) => {
  const { alarms, events } = engine(t);
  const now = (severity: Condition['severity']): Condition => ({ ...lag(severity), holdMs: 0 });
  alarms.look([now('yellow')], 0);
  alarms.acknowledge('ft-lag:v');
  alarms.look([now('yellow')], 1);
  assert.notEqual(alarms.list()[0]!.acknowledged, null);
  alarms.look([now('red')], 2);
  assert.equal(alarms.list()[0]!.acknowledged, null);
  assert.equal(alarms.list()[0]!.severity, 'red');
  alarms.look([now('gray')], 3);
  assert.equal(alarms.list()[0]!.severity, 'gray');
  assert.deepEqual(events(), ['alarm-raised', 'alarm-acknowledged', 'alarm-raised']);
});

test('what happened once stays until it is acknowledged, over a restart of the center', (t) => {
  const { alarms, events, again } = engine(t);
  alarms.latch({
    kind: 'ft-divergence',
    subject: 'v',
    severity: 'red',
    text: 'entry 7',
    vm: 'web',
  });
  alarms.look([], 100_000);
  const restarted = again();
  restarted.look([], 0);
  assert.equal(restarted.list()[0]!.text, 'entry 7');
  restarted.acknowledge('ft-divergence:v');
  assert.deepEqual(restarted.list(), []);
  assert.deepEqual(events(), ['alarm-raised', 'alarm-acknowledged']);
  assert.throws(
    () => restarted.acknowledge('nothing:at-all'),
    (error) => (error as UmbraError).code === 'alarm-unknown',
  );
});

const ft = (changes: Partial<FtStatusView>): FtStatusView => ({
  ...{ vm: 'web', state: 'running', reason: null, generation: 1 },
  ...{ primary: { host: 'a', pid: 1 }, shadow: { host: 'b', pid: 2, lagMs: 1 } },
  ...{ logMbitPerSecond: null, shadowCpuPercent: null, shadowMemoryBytes: null },
  ...{ logBytesSent: 0, fingerprintsCompared: 0, divergences: 0 },
  ...changes,
});

function said(vm: Partial<VmFacts>, host: Partial<HostFacts> = {}): string[] {
  const facts: Facts = {
    vms: [{ id: 'v', name: 'web', ft: ft({}), isReported: true, isArbiterSilent: false, ...vm }],
    hosts: [
      { id: 'h', name: 'a', connected: true, isKnown: true, clockAheadMs: undefined, ...host },
    ],
    shortage: undefined,
  };
  return conditionsOf(facts).map(({ kind, severity }) => `${severity} ${kind}`);
}

test('the bounds of the alarms', () => {
  const lagging = (lagMs: number) => said({ ft: ft({ shadow: { host: 'b', pid: 2, lagMs } }) });
  assert.deepEqual(said({}), []);
  assert.deepEqual(lagging(200), []);
  assert.deepEqual(lagging(201), ['yellow ft-lag']);
  assert.deepEqual(lagging(800), ['yellow ft-lag']);
  assert.deepEqual(lagging(801), ['red ft-lag']);
  assert.deepEqual(said({ isReported: false }), ['gray ft-lag']);
  const needs = ft({ state: 'needShadow', reason: 'divergence', shadow: null });
  assert.deepEqual(said({ ft: needs }), ['red ft-need-shadow']);
  assert.deepEqual(said({ ft: ft({ state: 'disabled', shadow: null }) }), []);
  assert.deepEqual(said({ isArbiterSilent: true }), ['red arbiter-unreachable']);
  assert.deepEqual(said({}, { connected: false }), ['red host-not-responding']);
  assert.deepEqual(said({}, { connected: false, isKnown: false }), []);
  assert.deepEqual(said({}, { clockAheadMs: -500 }), []);
  assert.deepEqual(said({}, { clockAheadMs: -501 }), ['yellow host-clock-off']);
});

const hostWith = (id: string, memoryBytes: number, used: number, connected = true): HostState => ({
  ...{ id, name: id, connected, maintenance: false, memoryBytes },
  load: { memoryBytes: used, ftVms: 0, ftCpus: 0 },
});
const tenant = (name: string, memoryBytes: number, ...at: string[]): Tenant => ({
  ...{ name, hosts: at, need: { memoryBytes, cpus: 1, protected: at.length > 1 } },
});
const noLimits = { ftVmsMax: 0, ftCpusMax: 0 };

test('N+1: what a lost host leaves behind is placed elsewhere, never beside its other copy', () => {
  const pair = tenant('web', 2, 'a', 'b');
  const two = [hostWith('a', 8, 2), hostWith('b', 8, 2)];
  assert.deepEqual(shortage(two, [pair], noLimits), { host: 'a', vms: ['web'] });
  assert.equal(shortage([...two, hostWith('c', 8, 0)], [pair], noLimits), undefined);
  // The third host has room for one of two.
  const many = [pair, tenant('db', 5, 'a'), tenant('log', 5, 'a')];
  const three = [hostWith('a', 12, 12), hostWith('b', 8, 2), hostWith('c', 6, 0)];
  assert.deepEqual(shortage(three, many, noLimits), { host: 'a', vms: ['web'] });
  assert.equal(shortage([], [], noLimits), undefined);
});

test('N+1 with limits of protected copies, and hosts that are away', () => {
  const pair = tenant('web', 1, 'a', 'b');
  const full = { ...hostWith('c', 8, 0), load: { memoryBytes: 0, ftVms: 4, ftCpus: 4 } };
  const hosts = [hostWith('a', 8, 1), hostWith('b', 8, 1), full];
  assert.deepEqual(shortage(hosts, [pair], { ftVmsMax: 4, ftCpusMax: 0 })?.vms, ['web']);
  assert.equal(shortage(hosts, [pair], noLimits), undefined);
  const away = [hostWith('a', 8, 1), hostWith('b', 8, 1), hostWith('c', 8, 0, false)];
  assert.deepEqual(shortage(away, [pair], noLimits)?.vms, ['web']);
});

test('no shortage is reported where every loss leaves room for everything on one host', () => {
  const places = fc.subarray(['a', 'b', 'c', 'd'], { minLength: 1, maxLength: 2 });
  const vms = fc.array(fc.record({ size: fc.integer({ min: 1, max: 5 }), places }), {
    maxLength: 6,
  });
  fc.assert(
    fc.property(vms, (given) => {
      const tenants = given.map(({ size, places: at }, index) => tenant(`v${index}`, size, ...at));
      const hosts = ['a', 'b', 'c', 'd'].map((id) => {
        const own = tenants.filter((each) => each.hosts.includes(id));
        const used = own.reduce((sum, { need }) => sum + need.memoryBytes, 0);
        return hostWith(id, used + 30, used);
      });
      assert.equal(shortage(hosts, tenants, noLimits), undefined);
      // And where no host has any room left, every VM is without a place.
      const full = hosts.map((host) => ({ ...host, memoryBytes: host.load.memoryBytes }));
      assert.equal(shortage(full, tenants, noLimits) === undefined, tenants.length === 0);
    }),
    { numRuns: 300 },
  );
});
