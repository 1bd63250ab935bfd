/** The console's parts that need no browser: the live store, health, words, checks of forms. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConsolePlace } from '../../src/api/console-messages.ts';
import { endpoints } from '../../src/api/endpoints.ts';
import type { LiveChanges, LiveState } from '../../src/api/live.ts';
import { type Measured, measuredNames } from '../../src/api/measurements.ts';
import type { SessionView } from '../../src/api/people.ts';
import { UmbraError } from '../../src/api/problems.ts';
import type { EventView, VmView } from '../../src/api/views.ts';
import { EventLog } from '../../src/console/live/events.ts';
import { healthOf } from '../../src/console/live/health.ts';
import { LiveStore } from '../../src/console/live/store.ts';
import {
  MeasurementLog,
  measurementOf,
  nothingMeasured,
} from '../../src/console/pages/vm/tabs/charts/measurement-log.ts';
import { roleChanges } from '../../src/console/pages/vm/tabs/fault-tolerance/role-changes.ts';
import { ifPrimaryWereLost } from '../../src/console/pages/vm/tabs/fault-tolerance/what-if.ts';
import { fieldErrors } from '../../src/console/parts/field-errors.ts';
import { bytes, count, duration } from '../../src/console/parts/units.ts';
import { Session } from '../../src/console/session/session.ts';
import { ft, host, vm } from './views.fixture.ts';

const nothingKept = {} as Record<Measured, (number | null)[]>;
const nothing = { hosts: [], vms: [], alarms: [], tasks: [], vmFigures: [], hostFigures: [] };
const state = (parts: Partial<LiveState>): LiveState => ({
  ...{ kind: 'state', version: '1', epoch: 1, capacity: { shortage: null }, unixMs: 0 },
  ...nothing,
  ...parts,
});
const changes = (parts: Partial<LiveChanges>): LiveChanges => ({
  ...{ kind: 'changes', gone: [], unixMs: 0, ...nothing, ...parts },
});

describe('the live store', () => {
  test('replaces what changed, keeps the rest as it is, tells whom it concerns', () => {
    const store = new LiveStore();
    store.apply(state({ vms: [vm('vm10'), vm('vm9')] }));
    const [nine, ten] = store.list('vms');
    assert.deepEqual([nine?.name, ten?.name], ['vm9', 'vm10'], 'in the order that people expect');
    const told: string[] = [];
    for (const topic of ['vms', 'vms/vm9', 'vms/vm10', 'hosts']) {
      store.watch(topic, () => told.push(topic));
    }
    store.apply(changes({ vms: [vm('vm9', { state: 'poweredOff' })] }));
    assert.deepEqual(told.sort(), ['vms', 'vms/vm9']);
    assert.equal(store.list('vms')[1], ten, 'the same object');
    assert.equal(store.get('vms', 'vm9')?.state, 'poweredOff');
  });

  test('forgets what has gone, and after a reconnection what is no more', () => {
    const store = new LiveStore();
    store.apply(state({ vms: [vm('a'), vm('b'), vm('c')] }));
    store.apply(changes({ gone: [{ table: 'vms', id: 'a' }] }));
    assert.deepEqual(
      store.list('vms').map(({ id }) => id),
      ['b', 'c'],
    );
    store.apply(state({ vms: [vm('c')] }));
    assert.deepEqual(
      store.list('vms').map(({ id }) => id),
      ['c'],
    );
    assert.equal(store.get('vms', 'b'), undefined);
  });

  test('figures leave lists and views alone', () => {
    const store = new LiveStore();
    store.apply(state({ vms: [vm('a')] }));
    const before = store.list('vms');
    let told = 0;
    const stop = store.watch('vmFigures/a', () => told++);
    const figures = {
      ...{ vm: 'a', primary: null, shadow: null, lagMs: 3, logMbitPerSecond: 1, logBytesSent: 1 },
      logRoundTripMs: 0.3,
      ...{ receivedMbitPerSecond: null, sentMbitPerSecond: null },
      ...{ readBytesPerSecond: null, writtenBytesPerSecond: null },
      ...{
        gate: null,
        recordings: [],
        flight: null,
        fingerprintsCompared: 1,
        lastFingerprint: null,
        divergences: 0,
      },
    };
    store.apply(changes({ vmFigures: [figures] }));
    stop();
    store.apply(changes({ vmFigures: [{ ...figures, lagMs: 4 }] }));
    assert.equal(told, 1);
    assert.equal(store.list('vms'), before);
    assert.equal(store.vmFigures('a')?.lagMs, 4);
  });
});

test('events are kept once each, whatever comes twice', () => {
  const log = new EventLog();
  const event = (sequence: number): EventView => ({
    ...{ sequence, time: '', kind: 'vm-reset', text: '', data: {} },
  });
  log.add([event(1), event(2)]);
  log.add([event(2), event(3)]);
  assert.deepEqual(
    log.value.map(({ sequence }) => sequence),
    [1, 2, 3],
  );
});

test('a console shows each byte once, over reconnections and power-ons', () => {
  const place = new ConsolePlace();
  const shown = (offset: number, text: string, powerOn = 1): string => {
    const fresh = place.take({ offset: String(offset), powerOn }, Buffer.from(text));
    return `${fresh.offset} ${Buffer.from(fresh.bytes)}`;
  };
  assert.equal(shown(0, 'abc'), '0 abc');
  assert.equal(shown(0, 'abcde'), '3 de', 'another center tells it from the beginning');
  assert.equal(shown(1, 'bc'), '5 ', 'nothing new');
  assert.equal(shown(8, 'ij'), '8 ij', 'what nobody has any more is passed over');
  assert.equal(shown(0, 'xy', 2), '0 xy', 'powered on while nobody was there to say so');
  place.restart();
  assert.equal(shown(0, 'z', 3), '0 z');
});

test('a session is asked for once, however late its former sockets are refused', async () => {
  const session = new Session();
  const why = new UmbraError('credentials-refused', 'they are worth nothing', 'Log in.');
  const view = (csrfToken: string): SessionView => ({
    ...{ name: 'olga', kind: 'session', role: 'administrator', csrfToken, expires: null },
  });
  const [first, second] = [view('1'), view('2')];
  const kind = () => session.value.kind;
  session.opened(first);
  const waits = [session.renewed(why, first), session.renewed(why, first)];
  assert.equal(kind(), 'interrupted');
  session.opened(second);
  await Promise.all(waits);
  await session.renewed(why, first);
  assert.equal(kind(), 'open', 'this one is new');
  const again = session.renewed(why, second);
  assert.equal(kind(), 'interrupted');
  session.nobody();
  await assert.rejects(again, why);
});

test('health: each VM that runs counts once, and the worst is said', () => {
  const off = vm('off', { state: 'poweredOff', ft: ft({ state: 'notConfigured' }) });
  const bare = vm('bare', { ft: ft({ state: 'notConfigured' }) });
  const lost = vm('lost', { ft: ft({ state: 'needShadow' }) });
  const hosts = [host('a'), host('b')];
  assert.deepEqual(healthOf([vm('web'), bare, off], hosts, []), {
    ...{ tone: 'good', text: 'Healthy', hostsDown: 0, openAlarms: 0 },
    vms: { protected: 1, degraded: 0, unprotected: 1, off: 1 },
  });
  assert.equal(healthOf([lost], hosts, []).tone, 'warn');
  assert.equal(healthOf([lost], [host('a', { state: 'notResponding' })], []).tone, 'bad');
  assert.equal(healthOf([], [], []).text, 'No hosts yet');
});

test('what the loss of the primary would mean', () => {
  const hosts = [host('a'), host('b'), host('c')];
  const said = (view: VmView, at = hosts) => ifPrimaryWereLost(view, at, undefined);
  assert.match(said(vm('web')).text, /shadow on b .* go live.*new shadow would start on c/);
  assert.equal(said(vm('web'), hosts.slice(0, 2)).tone, 'warn');
  assert.match(said(vm('web', { ft: ft({ state: 'starting' }) })).text, /would stop/);
  assert.match(said(vm('web', { ft: ft({ state: 'notConfigured' }) })).text, /Without a shadow/);
  assert.equal(said(vm('web', { state: 'poweredOff', ft: ft({ primary: null }) })).tone, 'off');
});

test('role changes tell their cause and cost as the copies told them, and no guess', () => {
  let sequence = 0;
  const at = (kind: string, data: Record<string, unknown> = {}): EventView => ({
    ...{ sequence: ++sequence, kind, text: kind, data },
    time: new Date(Date.UTC(2026, 0, 1, 0, 0, sequence)).toISOString(),
  });
  const found = roleChanges([
    at('vm-powered-on'),
    at('ft-shadow-started'),
    at('ft-test-failover'),
    at('ft-primary-failover', { generation: 3 }),
    at('ft-went-live', { generation: 3, cause: 'handed-over', detectionMs: 0, interruptionMs: 12 }),
    at('ft-shadow-lost', { generation: 4, cause: 'restart' }),
    at('ft-need-shadow', { reason: 'userAction' }),
    at('ft-went-live', {
      ...{ generation: 5, cause: 'silent', detectionMs: 700, interruptionMs: 731, resent: 2 },
    }),
    at('ft-primary-failover', { generation: 5 }),
    at('alarm-raised'),
    at('ft-primary-failover', { generation: 7 }),
  ]);
  assert.deepEqual(
    found.map(({ kind, cause, facts }) => [kind, cause, facts.join(', ')]),
    [
      ['power', undefined, ''],
      ['protected', undefined, ''],
      ['failover', 'by a test failover', 'interrupted for 12.0 ms'],
      ['lost', 'a restart of the shadow was asked for', ''],
      ['needed', undefined, ''],
      [
        ...['failover', 'the primary was silent'],
        'interrupted for 731 ms, noticed in 700 ms, 2 outputs sent again',
      ],
      ['failover', undefined, ''],
    ],
  );
});

test('measurements: what is kept, then each that comes, with a gap where there was none', () => {
  const kept = Object.fromEntries(measuredNames.map((name) => [name, [1, 2]]));
  const log = new MeasurementLog({ times: [1_000, 3_000], ...(kept as typeof nothingKept) });
  assert.equal(log.add(3_200, nothingMeasured), false, 'too soon');
  const now = { ...nothingMeasured, cpuPercent: 3 };
  assert.ok(log.add(4_000, now));
  assert.ok(log.add(60_000, now));
  assert.deepEqual(log.times, [1_000, 3_000, 4_000, 4_001, 60_000]);
  assert.deepEqual(log.column('cpuPercent'), [1, 2, 3, null, 3]);
  log.add(904_000, now);
  assert.deepEqual(log.times, [4_000, 4_001, 60_000, 60_001, 904_000], 'of a quarter of an hour');
  assert.equal(measurementOf(undefined), undefined);
});

test('fields are checked by the very schema of the center', () => {
  const errors = (body: unknown) => fieldErrors(endpoints.createVm, body);
  assert.deepEqual(errors({ name: 'web', image: 'tiny' }), {});
  assert.deepEqual(errors({ name: 'web', image: 'tiny', host: undefined }), {});
  assert.match(errors({ name: 'No Such', image: 'tiny' })['name']!, /lower-case letters/);
  assert.equal(errors({ name: 'web', image: '' })['image'], 'This is needed.');
  assert.match(errors({ name: 'web', image: 'tiny', cpus: 9 })['cpus']!, /From 1 to 8/);
  assert.ok('image' in errors({ name: 'web' }));
  assert.deepEqual(fieldErrors(endpoints.listVms, {}), {});
});

test('quantities', () => {
  assert.deepEqual([0, 1023, 2 ** 20, 1.5 * 2 ** 30].map(bytes), [
    '0 B',
    '1,023 B',
    '1.00 MiB',
    '1.50 GiB',
  ]);
  assert.deepEqual([0, 0.25, 12.34, 950, 1500, 180_000].map(duration), [
    ...['0 ms', '250 µs', '12.3 ms', '950 ms', '1.50 s', '3 min'],
  ]);
  assert.deepEqual(['0', '9999999', '1430000000'].map(count), ['0', '9,999,999', '1,430 M']);
  assert.equal(bytes(null), '–');
});
