/**
 * The operations on a protected VM, migration, maintenance and alarms, as people ask for them: a
 * real center process, hosts that are real at the wire and do at once what they are told.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { agentProtocolVersion } from '../api/agent.ts';
import type { UmbraError } from '../base/errors.ts';
import { TestCenter, until } from './cluster.fixture.ts';
import { ActingHosts } from './lifecycle.fixture.ts';

const code =
  (expected: string, text = /./) =>
  (error: unknown) => {
    assert.equal((error as UmbraError).code, expected, String(error));
    assert.match((error as UmbraError).message, text);
    assert.notEqual((error as UmbraError).remedy, '');
    return true;
  };

class World {
  readonly center: TestCenter;
  readonly hosts: ActingHosts;

  constructor(center: TestCenter, hosts: ActingHosts) {
    this.center = center;
    this.hosts = hosts;
  }

  static async start(...names: string[]): Promise<World> {
    const center = await TestCenter.start();
    center.addImage('tiny');
    return new World(center, await ActingHosts.start(center, ...names));
  }

  async close(): Promise<void> {
    await this.hosts.close();
    await this.center.close();
    assert.equal(this.hosts.failure, undefined);
  }

  get client() {
    return this.center.client;
  }

  ft(vm = 'web') {
    return this.client.call('ftStatus', { params: { vm } });
  }

  state(wanted: string, vm = 'web') {
    return until(`${vm} ${wanted}`, async () =>
      (await this.ft(vm)).state === wanted ? true : undefined,
    );
  }

  /** On a, powered on. @returns its id */
  async running(vm: string, ft: boolean, host = 'a'): Promise<string> {
    const { id } = await this.client.call('createVm', {
      body: { name: vm, image: 'tiny', host, ft },
    });
    await this.client.call('startVm', { params: { vm }, body: {} });
    await this.state(ft ? 'running' : 'notConfigured', vm);
    await until('it runs', () => (this.hosts.where(id).includes(host) ? true : undefined));
    return id;
  }

  async place(vm = 'web'): Promise<[live: string | undefined, shadow: string | undefined]> {
    const { primary, shadow } = await this.ft(vm);
    return [primary?.host, shadow?.host];
  }

  async kinds(vm = 'web'): Promise<string[]> {
    const events = await this.client.call('listEvents', { query: { vm } });
    return events.map(({ kind }) => kind);
  }

  alarm(kind: string) {
    return until(`the alarm ${kind}`, async () =>
      (await this.client.call('listAlarms')).find((alarm) => alarm.kind === kind),
    );
  }

  noAlarm(kind: string) {
    return until(`no alarm ${kind}`, async () =>
      (await this.client.call('listAlarms')).some((alarm) => alarm.kind === kind)
        ? undefined
        : true,
    );
  }
}

/** The command as people call it. */
function umbra(
  center: TestCenter,
  ...args: string[]
): Promise<{ code: number | null; out: string; err: string }> {
  const program = join(import.meta.dirname, '../cli/main.ts');
  const env = { ...process.env, UMBRA_HOME: center.home };
  const child = spawn(process.execPath, [program, ...args], { env });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })));
}

describe('operations on a protected VM', () => {
  let world: World;
  let id = '';
  const vm = { params: { vm: 'web' } };
  before(async () => {
    world = await World.start('a', 'b', 'c');
    id = await world.running('web', true);
  });
  after(() => world.close());

  test('suspend keeps the replica, resume comes back to it', async () => {
    const [, shadow] = await world.place();
    const suspended = await world.client.call('suspendFt', vm);
    assert.equal(suspended.state, 'disabled');
    await until('the shadow has gone', () =>
      world.hosts.where(id).length === 1 ? true : undefined,
    );
    assert.equal((await world.ft()).state, 'disabled');
    await assert.rejects(
      world.client.call('testFailover', vm),
      code('ft-not-protected', /disabled/),
    );
    await world.client.call('resumeFt', vm);
    await world.state('running');
    assert.deepEqual(await world.place(), ['a', shadow]);
    assert.ok(!world.hosts.done.some((order) => order.endsWith('removeReplica')));
  });

  test('moving the shadow: to a named host, then to a chosen one', async () => {
    const [, from] = await world.place();
    const to = from === 'b' ? 'c' : 'b';
    const wrong = (host: string) => world.client.call('migrateShadow', { ...vm, body: { host } });
    await assert.rejects(wrong('a'), code('shadow-cannot-move', /never share a host/));
    await assert.rejects(wrong(from!), code('shadow-cannot-move', /already/));
    await assert.rejects(wrong('nowhere'), code('host-unknown'));
    for (const body of [{ host: to }, {}]) {
      const { generation } = await world.ft();
      await world.client.call('migrateShadow', { ...vm, body });
      await until('the shadow is protected', async () => {
        const now = await world.ft();
        return now.state === 'running' && now.generation > generation ? true : undefined;
      });
    }
    assert.deepEqual(await world.place(), ['a', from]);
    assert.equal(world.hosts.where(id).length, 2);
  });

  test('the test restart of the shadow gives a new one on the same host', async () => {
    const before = await world.ft();
    await world.client.call('restartShadow', vm);
    await until('a new generation is protected', async () => {
      const now = await world.ft();
      return now.state === 'running' && now.generation >= before.generation + 2 ? true : undefined;
    });
    assert.equal((await world.ft()).shadow?.host, before.shadow?.host);
  });

  test('what makes no sense is refused, with a reason and a remedy', async () => {
    world.hosts.deaf.add('dismiss').add('startShadow');
    const { generation } = await world.ft();
    await world.client.call('restartShadow', vm);
    await assert.rejects(world.client.call('restartShadow', vm), code('vm-moving'));
    await assert.rejects(world.client.call('turnFtOff', vm), code('vm-moving'));
    await assert.rejects(world.client.call('suspendFt', vm), code('vm-moving'));
    world.hosts.deaf.clear();
    await until('a new shadow', async () => {
      const now = await world.ft();
      return now.state === 'running' && now.generation >= generation + 2 ? true : undefined;
    });
    const gone = world.hosts.get((await world.place())[1]!);
    gone.disconnect();
    await until('it is missed', async () => {
      const [host] = (await world.client.call('listHosts')).filter(
        ({ name }) => name === gone.name,
      );
      return host?.state === 'notResponding' ? true : undefined;
    });
    await assert.rejects(world.client.call('turnFtOff', vm), code('host-not-responding', /shadow/));
    await assert.rejects(
      world.client.call('suspendFt', vm),
      code('host-not-responding', /suspended/),
    );
    await gone.connect();
    await world.state('running');
    const stranger = { params: { vm: 'nobody' } };
    await assert.rejects(world.client.call('suspendFt', stranger), code('vm-unknown'));
  });

  test('the panel tells the log bandwidth and what the shadow costs', async () => {
    const primary = world.hosts.get('a');
    const status = primary.copies.get(id)!;
    /** The center has taken it at some moment from the first of these to the second. */
    const sent = async (logBytesSent: number) => {
      const from = performance.now();
      primary.report(id, 'live', { ...status, logBytesSent });
      const ft = await until('the report', async () => {
        const now = await world.ft();
        return now.logBytesSent === logBytesSent ? now : undefined;
      });
      return { from, to: performance.now(), ft };
    };
    const first = await sent(1_000_000);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const second = await sent(2_000_000);
    const { logMbitPerSecond: rate, shadowMemoryBytes } = second.ft;
    const [slowest, fastest] = [second.to - first.from, second.from - first.to].map(
      (ms) => 8_000 / ms,
    );
    assert.ok(rate! > slowest! - 0.01 && rate! < fastest! + 0.01, `${rate} Mbit/s`);
    assert.equal(shadowMemoryBytes, 7);
  });

  test('off: the replica of the shadow is removed once it is no current one', async () => {
    const [, shadow] = await world.place();
    await world.client.call('turnFtOff', vm);
    await until(
      'the order',
      () => world.hosts.done.includes(`${shadow}: removeReplica`) || undefined,
    );
    assert.deepEqual(world.hosts.where(id), ['a']);
    await assert.rejects(world.client.call('suspendFt', vm), code('ft-not-configured'));
    await assert.rejects(
      world.client.call('restartShadow', vm),
      code('ft-not-protected', /notConfigured/),
    );
    const kinds = new Set(await world.kinds());
    for (const kind of ['ft-disabled', 'ft-enabled', 'ft-turned-off', 'ft-state-changed']) {
      assert.ok(kinds.has(kind), kind);
    }
  });
});

describe('prechecks', () => {
  let world: World;
  before(async () => {
    world = await World.start('a');
  });
  after(() => world.close());

  test('all failures are told at once, and turning on is refused by them', async () => {
    const big = { name: 'big', image: 'tiny', memoryBytes: 3 * 2 ** 30, cpus: 8 };
    await world.running('web', false);
    await world.client.call('createVm', { body: big });
    await world.client.call('startVm', { params: { vm: 'big' }, body: {} });
    const other = await world.center.host('b');
    await world.client.call('createVm', { body: { ...big, name: 'second', host: 'b' } });
    const params = { vm: 'second' };
    const report = await world.client.call('checkFt', { params });
    assert.equal(report.ok, false);
    const failures = report.checks.filter(({ ok }) => !ok).map(({ text }) => text);
    assert.deepEqual(failures, [
      'no host can take its shadow: only b has room for a copy',
      'no host can take its shadow: a has 896 MiB of memory free',
    ]);
    other.disconnect();
    const alone = await until('b is missed', async () => {
      const now = await world.client.call('checkFt', { params });
      return now.checks.find(({ check, ok }) => check === 'hosts' && !ok) && now;
    });
    const texts = alone.checks.filter(({ ok }) => !ok).map(({ text }) => text);
    assert.equal(texts.length, 3);
    assert.match(texts[0]!, /it takes two hosts.*only a can take VMs/);
    assert.match(texts.join(), /b is not responding/);
    await assert.rejects(
      world.client.call('turnFtOn', { params }),
      code('ft-precheck-failed', /two hosts.*a has 896 MiB.*b is not responding/),
    );
    // Nothing was changed by looking.
    assert.equal((await world.ft('second')).state, 'notConfigured');
  });
});

describe('migration and maintenance', () => {
  let world: World;
  let plain = '';
  before(async () => {
    world = await World.start('a', 'b', 'c');
    plain = await world.running('plain', false);
  });
  after(() => world.close());
  const migrate = (vm: string, host?: string) =>
    world.client.call('migrateVm', { params: { vm }, body: host === undefined ? {} : { host } });

  test('an unprotected VM moves by a temporary shadow, which leaves nothing behind', async () => {
    const moved = await migrate('plain', 'b');
    assert.equal(moved.host, 'b');
    assert.equal(moved.ft.state, 'notConfigured');
    assert.deepEqual(world.hosts.where(plain), ['b']);
    await until(
      'the old replica is removed',
      () => world.hosts.done.includes('a: removeReplica') || undefined,
    );
    const kinds = await world.kinds('plain');
    assert.ok(kinds.includes('vm-migrated') && !kinds.includes('ft-primary-failover'));
    await assert.rejects(migrate('plain', 'b'), code('migration-failed', /already/));
  });

  test('a protected VM goes to its shadow by a hand-over, to a third host by moving the shadow', async () => {
    const id = await world.running('web', true);
    const [, shadow] = await world.place();
    world.hosts.done.length = 0;
    assert.equal((await migrate('web')).host, shadow);
    assert.ok(
      !world.hosts.done
        .slice(
          0,
          world.hosts.done.findIndex((each) => each.endsWith('handOver')),
        )
        .some((each) => each.endsWith('startShadow')),
    );
    await world.state('running');
    const [live, second] = await world.place();
    const third = ['a', 'b', 'c'].find((name) => name !== live && name !== second)!;
    assert.equal((await migrate('web', third)).host, third);
    await world.state('running');
    assert.equal((await world.place())[0], third);
    assert.equal(world.hosts.where(id).length, 2);
  });

  test('a migration that cannot be done leaves the VM where it is', async () => {
    world.hosts.deaf.add('startShadow');
    const migration = migrate('plain', 'c');
    await until('it is under way', async () => {
      const { migration: now } = await world.client.call('showVm', { params: { vm: 'plain' } });
      return now === null ? undefined : now;
    });
    await assert.rejects(migrate('plain', 'a'), code('vm-moving'));
    const failed = assert.rejects(migration, code('migration-failed', /c is not responding/));
    world.hosts.get('c').disconnect();
    await failed;
    world.hosts.deaf.clear();
    await world.hosts.get('c').connect();
    assert.deepEqual(world.hosts.where(plain), ['b']);
    assert.equal((await world.client.call('showVm', { params: { vm: 'plain' } })).host, 'b');
    assert.ok((await world.kinds('plain')).includes('vm-migration-failed'));
  });

  test('a maintenance that is ended gives up the migration that it has begun', async () => {
    world.hosts.deaf.add('startShadow');
    const maintenance = (on: boolean) =>
      world.client.call('setMaintenance', { params: { host: 'b' }, body: { on } });
    const underWay = async () =>
      (await world.client.call('showVm', { params: { vm: 'plain' } })).migration;
    await maintenance(true);
    await until('it is under way', async () => (await underWay()) ?? undefined);
    await maintenance(false);
    await until('it is given up', async () => ((await underWay()) === null ? true : undefined));
    world.hosts.deaf.clear();
    const { host, state, ft } = await world.client.call('showVm', { params: { vm: 'plain' } });
    assert.deepEqual([host, state, ft.state], ['b', 'poweredOn', 'notConfigured']);
    const events = await world.client.call('listEvents', { query: { vm: 'plain' } });
    assert.match(events.findLast(({ kind }) => kind === 'vm-migration-failed')!.text, /cancelled/);
  });

  test('a center that restarts gives a migration up', async () => {
    world.hosts.deaf.add('startShadow');
    const failed = assert.rejects(migrate('plain', 'c'));
    await until('it is under way', async () => {
      const { migration } = await world.client.call('showVm', { params: { vm: 'plain' } });
      return migration ?? undefined;
    });
    await world.center.end('SIGKILL');
    await failed;
    world.hosts.deaf.clear();
    await world.center.start();
    await until('it runs where it was', async () => {
      const { host, state } = await world.client.call('showVm', { params: { vm: 'plain' } });
      return host === 'b' && state === 'poweredOn' ? true : undefined;
    });
    assert.ok((await world.kinds('plain')).includes('vm-migration-failed'));
    await until('all hosts', async () => {
      const all = await world.client.call('listHosts');
      return all.every(({ state }) => state === 'connected') ? true : undefined;
    });
    assert.equal((await migrate('plain', 'c')).host, 'c');
  });

  test('maintenance: a host is emptied and stays empty, over a restart of the center', async () => {
    await world.state('running');
    const [live, shadow] = await world.place();
    const maintenance = (host: string, on: boolean) =>
      world.client.call('setMaintenance', { params: { host }, body: { on } });
    const empty = (host: string) =>
      until(`${host} is empty`, async () => {
        const found = await world.client.call('showHost', { params: { host } });
        return found.maintenance?.isEmpty ? found : undefined;
      });
    assert.equal((await maintenance(live!, true)).state, 'maintenance');
    await empty(live!);
    assert.equal((await world.place())[0], shadow);
    await world.state('running');
    assert.ok(!(await world.place()).includes(live));
    await assert.rejects(migrate('web', live), code('migration-failed', /in maintenance/));
    await world.center.end('SIGKILL');
    await world.center.start();
    // A second host: the shadow there has no place to go to, and stays.
    const third = (
      await until('its place', async () => {
        const place = await world.place();
        return place[1] === undefined ? undefined : place;
      })
    )[1]!;
    await maintenance(third, true);
    const stuck = await until('it says why', async () => {
      const { maintenance: now } = await world.client.call('showHost', {
        params: { host: third },
      });
      return now?.remaining.find(
        ({ copy, why }) => copy === 'shadow' && why?.includes('in maintenance'),
      );
    });
    assert.match(stuck.why!, /no other host can take.*in maintenance/);
    assert.equal((await world.ft()).state, 'running');
    const off = await maintenance(live!, false);
    assert.equal(off.maintenance, null);
    await empty(third);
    await world.state('running');
    assert.deepEqual((await world.place()).includes(third), false);
    await maintenance(third, false);
    const events = await world.client.call('listEvents', { query: {} });
    const kinds = new Set(events.map(({ kind }) => kind));
    for (const kind of ['started', 'entered', 'left'])
      assert.ok(kinds.has(`host-maintenance-${kind}`), kind);
    assert.ok(kinds.has('ft-disabled-by-system'));
  });
});

describe('alarms', () => {
  let world: World;
  let id = '';
  before(async () => {
    world = await World.start('a', 'b', 'c');
    id = await world.running('web', true);
  });
  after(() => world.close());

  test('a divergence names the entry, both values and what led to it', async () => {
    const divergence = {
      ...{ position: 77, count: '12345', expected: 'x5=1', actual: 'x5=2' },
      recent: ['#75 clock', '#76 frame'],
    };
    const report = { kind: 'divergence', divergence, own: [] };
    world.hosts.get('a').send({ kind: 'report', vm: id, report });
    const alarm = await world.alarm('ft-divergence');
    assert.match(alarm.text, /entry 77, count 12345.*x5=1.*x5=2.*#75 clock, #76 frame/);
    assert.equal(alarm.latched, true);
    const [event] = await world.center.events('ft-divergence');
    assert.deepEqual(event!.data['lastEntries'], ['#75 clock', '#76 frame']);
    await world.client.call('acknowledgeAlarm', { params: { alarm: alarm.id } });
    await world.noAlarm('ft-divergence');
    const unknown = { params: { alarm: 'nothing' } };
    await assert.rejects(world.client.call('acknowledgeAlarm', unknown), code('alarm-unknown'));
  });

  test('lag, an unreachable arbiter, a failing disk, a clock that is off', async () => {
    const a = world.hosts.get('a');
    const status = a.copies.get(id)!;
    a.report(id, 'live', { ...status, lagMs: 900 });
    assert.equal((await world.alarm('ft-lag')).severity, 'red');
    a.report(id, 'live', { ...status, lagMs: 1 });
    await world.noAlarm('ft-lag');
    const say = (report: Record<string, unknown>) => a.send({ kind: 'report', vm: id, report });
    say({ kind: 'arbiter-unreachable', sinceMicros: 1 });
    assert.match((await world.alarm('arbiter-unreachable')).text, /outputs are held/);
    say({ kind: 'arbiter-reachable' });
    await world.noAlarm('arbiter-unreachable');
    for (const request of [1, 2, 3]) say({ kind: 'disk-error', disk: 0, request });
    const disk = await world.alarm('disk-failing');
    assert.match(disk.text, /a disk of a is failing under web/);
    await world.client.call('acknowledgeAlarm', { params: { alarm: disk.id } });
    a.send({ kind: 'clock', unixMs: Date.now() + 60_000 });
    assert.match((await world.alarm('host-clock-off')).text, /clock of a is .* ahead/);
    const sayThree = () => {
      for (let times = 0; times < 3; times++) a.send({ kind: 'clock', unixMs: Date.now() });
    };
    sayThree();
    // One that was held up on its way is late by that: the next ones tell.
    const again = setInterval(sayThree, 5_000);
    await world.noAlarm('host-clock-off').finally(() => clearInterval(again));
  });

  test('a lost host: it is missed, the VM needs a shadow, and no second loss could be made good', async () => {
    const [, shadow] = await world.place();
    world.hosts.deaf.add('startShadow');
    const lost = world.hosts.get(shadow!);
    lost.disconnect();
    lost.copies.clear();
    assert.equal((await world.alarm('host-not-responding')).host, shadow);
    await world.hosts.get('a').ask(id, { kind: 'goAlone' });
    const status = world.hosts.get('a').copies.get(id)!;
    world.hosts
      .get('a')
      .report(id, 'live', { ...status, ftState: 'needShadow', ftReason: 'lostConnection' });
    assert.match((await world.alarm('ft-need-shadow')).text, /needs a shadow \(lostConnection\)/);
    const text = 'the log link was closed';
    const report = { kind: 'need-shadow', reason: 'lostConnection', text };
    world.hosts.get('a').send({ kind: 'report', vm: id, report });
    const [event] = await until('the event', async () => {
      const found = await world.center.events('ft-need-shadow');
      return found.length > 0 ? found : undefined;
    });
    assert.equal(event!.text, 'web needs a new shadow (lostConnection): the log link was closed');
    assert.deepEqual(event!.data, { vm: 'web', host: 'a', reason: 'lostConnection' });
    world.hosts.deaf.clear();
    await world.state('running');
    await world.noAlarm('ft-need-shadow');
    const capacity = await until('the alarm of capacity', async () =>
      (await world.client.call('listAlarms')).find(({ kind }) => kind === 'capacity'),
    );
    assert.match(capacity.text, /no room for a new copy of web/);
    await lost.connect();
    await world.noAlarm('host-not-responding');
  });

  test('a host of the version before is served in its own words', async () => {
    const [primary] = await world.place();
    const old = world.hosts.get(primary!);
    old.disconnect();
    await old.connect(agentProtocolVersion - 1);
    assert.equal(old.refused, undefined);
    assert.equal(old.protocol, agentProtocolVersion - 1);
    await world.state('running');
    const params = { vm: 'web' };
    await world.client.call('setHa', { params, body: { watchdogSeconds: 30 } });
    const told = (): boolean => world.hosts.done.some((each) => each.endsWith('watchdog'));
    await until('the order', () => (told() ? true : undefined));
    // What it does not know it is not told, and nobody waits for it.
    const asked = world.client.call('startRecording', { params, body: { name: 'walk' } });
    await assert.rejects(asked, (error: { code?: string }) => error.code === 'host-too-old');
    old.disconnect();
    await old.connect();
    assert.equal(old.protocol, agentProtocolVersion);
  });
});

describe('the command line', () => {
  let world: World;
  before(async () => {
    world = await World.start('a', 'b', 'c');
    await world.running('web', true);
    await world.running('plain', false);
  });
  after(() => world.close());
  const call = (...args: string[]) => umbra(world.center, ...args);

  test('operations wait for what they ask for, and say what has come of it', async () => {
    const [, shadow] = await world.place();
    const other = shadow === 'b' ? 'c' : 'b';
    const moved = await call('ft', 'migrate-shadow', 'web', '--to', other);
    assert.equal(moved.out, `The shadow of web is on ${other}: Protected.\n`, moved.err);
    const restarted = await call('ft', 'restart-shadow', 'web', '--json');
    assert.equal(JSON.parse(restarted.out).state, 'running', restarted.err);
    const suspended = await call('ft', 'suspend', 'web');
    assert.equal(suspended.out, 'Fault tolerance of web is suspended.\n', suspended.err);
    const panel = await call('ft', 'status', 'web');
    assert.match(panel.out, /fault tolerance: +Not Protected: Disabled\n/);
    const resumed = await call('ft', 'resume', 'web');
    assert.equal(resumed.out, 'Fault tolerance of web is resumed: Protected.\n', resumed.err);
    const again = await call('ft', 'status', 'web');
    for (const line of ['shadow: ', 'shadow CPU: ', 'shadow memory: ', 'lockstep interval: ']) {
      assert.match(again.out, new RegExp(`^${line}`, 'm'));
    }
  });

  test('prechecks: a list; the exit code tells whether all hold', async () => {
    const good = await call('ft', 'check', 'plain');
    assert.equal(good.code, 0, good.err);
    assert.match(good.out, /^ok {6}3 hosts can take VMs$/m);
    world.hosts.get('b').disconnect();
    world.hosts.get('c').disconnect();
    await until('they are missed', async () => {
      const { ok } = await world.client.call('checkFt', { params: { vm: 'plain' } });
      return ok ? undefined : true;
    });
    const bad = await call('ft', 'check', 'plain');
    assert.equal(bad.code, 1);
    assert.match(bad.out, /^FAILED {2}it takes two hosts/m);
    const refused = await call('ft', 'on', 'plain');
    assert.equal(refused.code, 1);
    assert.match(
      refused.err,
      /^umbra: .*cannot be turned on: it takes two hosts.*umbra host list\.\n$/,
    );
    await Promise.all([world.hosts.get('b').connect(), world.hosts.get('c').connect()]);
    await world.state('running');
  });

  test('migration, maintenance, alarms', async () => {
    const migrated = await call('vm', 'migrate', 'plain', '--to', 'b');
    assert.equal(migrated.out, 'plain runs on b now.\n', migrated.err);
    const wrong = await call('vm', 'migrate', 'plain', '--to', 'b');
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, /it runs on b already/);
    const away = await call('host', 'maintenance', 'b');
    assert.equal(away.out, 'b is empty and in maintenance.\n', away.err);
    const off = await call('host', 'maintenance', 'b', '--off', '--json');
    assert.equal(JSON.parse(off.out).maintenance, null, off.err);
    world.center.hosts[0]!.send({ kind: 'clock', unixMs: 0 });
    const alarm = await world.alarm('host-clock-off');
    const listed = await call('alarm', 'list');
    assert.match(
      listed.out,
      /^yellow .* no +the clock of a is .* behind the center's +host-clock-off:host-/m,
    );
    const seen = await call('alarm', 'acknowledge', alarm.id, '--json');
    assert.notEqual(JSON.parse(seen.out).acknowledged, null, seen.err);
  });
});
