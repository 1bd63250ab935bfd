/**
 * Every combination of wishes about a shadow with every state that a small pair can be in: the plan
 * leads to what is wished, step by step, and on no step does it do what must never be done.
 *
 * The world is a model of three hosts that carry orders out at once. A hand-over, which migration.ts
 * orders when the shadow is where the VM shall be, is carried out by the model itself.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VmStatus } from '../api/agent.ts';
import type { Member, VmRecord } from '../lockstep/arbiter.ts';
import type { Vm } from './inventory.ts';
import type { HostState } from './placement.ts';
import { type Command, plan, type Situation } from './protection.ts';
import { settle, wantsShadow } from './wishes.ts';

const hostIds = ['a', 'b', 'c'];
const stepsMax = 12;

interface World {
  vm: Vm;
  record: VmRecord;
  /** By host. */
  copies: Map<string, VmStatus>;
}

const member = (host: string): Member => ({ host, process: `${host}-process` });

function status(host: string, role: VmStatus['role'], ftState: string): VmStatus {
  const figures = { lagMs: 0, logBytesSent: 0, fingerprintsCompared: 0, divergences: 0 };
  const at = { logAddress: host, logPort: 1, count: '0', epoch: 1, generation: 1 };
  return { vm: 'v', pid: 1, process: `${host}-process`, role, ftState, ...at, ...figures };
}

function vmWith(wishes: Partial<Vm>): Vm {
  const spec = {
    ...{ id: 'v', name: 'web', number: 1, image: 'i', imageDigest: 'd', cpus: 1, memoryBytes: 1 },
    ...{ mac: '52:54:00:00:00:01', disks: [], epochOffset: '0', randomSeed: '' },
  };
  return {
    ...{ spec, ports: [], wanted: 'on', ftWanted: false, preferredHost: undefined },
    ...{ host: 'a', shadowHost: undefined, acceptStale: false, seedGeneration: 0 },
    ...wishes,
  };
}

const hosts: readonly HostState[] = hostIds.map((id) => ({
  ...{ id, name: id, connected: true, maintenance: false, memoryBytes: 8 },
  load: { memoryBytes: 0, ftVms: 0, ftCpus: 0 },
}));

const situationOf = ({ vm, record, copies }: World): Situation => ({
  ...{ vm, record, hosts, limits: { ftVmsMax: 4, ftCpusMax: 8 } },
  copies: [...copies].map(([host, copy]) => ({ host, status: copy })),
  hasEnded: () => false,
  avoid: new Map(),
});

/** The pair at the beginning: the VM is live on a, and this is what there is of a shadow. */
type Pair = 'alone' | 'off' | 'starting b' | 'eligible b' | 'eligible c' | 'stray b';

function worldOf(pair: Pair, vm: Vm): World {
  const [kind, at] = pair.split(' ') as [string, string | undefined];
  const states = {
    alone: 'needShadow',
    off: 'disabled',
    starting: 'starting',
    stray: 'needShadow',
  };
  const ftState = states[kind as keyof typeof states] ?? 'running';
  const own = { ...status('a', 'live', ftState), ...(at !== undefined && { shadowHost: at }) };
  const copies = new Map([['a', own]]);
  if (at !== undefined) copies.set(at, status(at, 'shadow', 'notConfigured'));
  const eligibleShadow = kind === 'eligible' ? member(at!) : undefined;
  const record: VmRecord = {
    ...{ epoch: 1, generation: 1, state: 'live', live: member('a'), eligibleShadow },
    ...{ currentReplicas: ['a'], claimId: '' },
  };
  return { vm: { ...vm, shadowHost: at }, record, copies };
}

function carryOut(world: World, { host, message }: Command): void {
  const { copies, record } = world;
  const own = copies.get(host);
  switch (message.kind) {
    case 'protect':
      assert.equal(record.live?.host, host, 'only the live copy is told about protection');
      if (message.shadowHost === undefined) {
        world.record = { ...record, eligibleShadow: undefined };
        copies.set(host, { ...own!, ftState: 'disabled' });
      } else {
        copies.set(host, { ...own!, ftState: 'needShadow', shadowHost: message.shadowHost });
      }
      return;
    case 'startShadow': {
      assert.equal(own, undefined, 'a second copy on one host');
      const live = record.live!.host;
      assert.equal(copies.get(live)!.shadowHost, host, 'the primary expects somebody else');
      copies.set(host, status(host, 'shadow', 'notConfigured'));
      copies.set(live, { ...copies.get(live)!, ftState: 'starting' });
      return;
    }
    case 'dismiss':
      assert.notEqual(host, record.live?.host, 'the live copy is dismissed');
      assert.notEqual(host, record.eligibleShadow?.host, 'the eligible shadow is dismissed');
      copies.delete(host);
      return;
    default:
      assert.fail(`${message.kind} is no part of this`);
  }
}

/** What happens by itself: a shadow that starts becomes eligible; a migration hands over. */
function goOn(world: World): boolean {
  const { record, copies, vm } = world;
  const live = record.live!.host;
  const own = copies.get(live)!;
  if (own.ftState === 'needShadow' && copies.get(own.shadowHost ?? '')?.role === 'shadow') {
    copies.set(live, { ...own, ftState: 'starting' });
    return true;
  }
  if (own.ftState === 'starting' && copies.has(own.shadowHost!)) {
    world.record = { ...record, eligibleShadow: member(own.shadowHost!) };
    copies.set(live, { ...own, ftState: 'running' });
    return true;
  }
  const next = record.eligibleShadow?.host;
  if (next !== undefined && next === vm.moveTo) {
    world.record = { ...record, live: member(next), eligibleShadow: undefined };
    copies.delete(live);
    copies.set(next, status(next, 'live', 'needShadow'));
    world.vm = { ...vm, host: next, shadowHost: undefined };
    return true;
  }
  return false;
}

/** @returns whether anything has changed */
function step(world: World): boolean {
  const settled = settle(situationOf(world));
  let changed = settled !== world.vm;
  world.vm = settled;
  const next = plan(situationOf(world));
  assert.notEqual(next.host, next.shadowHost);
  changed ||= next.shadowHost !== world.vm.shadowHost;
  world.vm = { ...world.vm, host: next.host, shadowHost: next.shadowHost };
  for (const command of next.commands) carryOut(world, command);
  return goOn(world) || changed || next.commands.length > 0;
}

const pairs: readonly Pair[] = [
  'alone',
  'off',
  'starting b',
  'eligible b',
  'eligible c',
  'stray b',
];
const places = [undefined, 'a', 'b', 'c'];
const truths = [false, true];

test('whatever is wished comes true, from wherever', () => {
  let worlds = 0;
  for (const pair of pairs) {
    for (const ftWanted of truths) {
      for (const ftSuspended of truths) {
        for (const moveTo of places) {
          for (const moveShadowTo of places) {
            for (const restartShadow of truths) {
              const wishes = { ftWanted, ftSuspended, moveTo, moveShadowTo, restartShadow };
              comesTrue(pair, wishes);
              worlds += 1;
            }
          }
        }
      }
    }
  }
  assert.equal(worlds, 6 * 4 * 16 * 2);
});

function comesTrue(pair: Pair, wishes: Partial<Vm>): void {
  const world = worldOf(pair, vmWith(wishes));
  const what = `${pair} ${JSON.stringify(wishes)}`;
  const seen: string[] = [];
  try {
    let steps = 0;
    while (step(world)) {
      seen.push(JSON.stringify([world.vm, world.record, [...world.copies]]));
      assert.ok(++steps < stepsMax, 'it does not come to rest');
    }
    const { vm, record, copies } = world;
    const { moveTo, moveShadowTo, ftWanted, ftSuspended } = wishes;
    assert.deepEqual(
      [vm.moveTo, vm.moveShadowTo, vm.restartShadow ?? false],
      [undefined, undefined, false],
    );
    assert.equal(record.live!.host, moveTo ?? 'a', 'live where it was wished');
    const isProtected = ftWanted === true && ftSuspended !== true;
    assert.equal(wantsShadow(vm), isProtected);
    assert.equal(record.eligibleShadow !== undefined, isProtected, 'protected as wished');
    assert.equal(copies.size, isProtected ? 2 : 1, 'nothing is left over');
    const mayChoose = moveTo !== undefined || moveShadowTo === undefined || moveShadowTo === 'a';
    if (isProtected && !mayChoose) assert.equal(record.eligibleShadow!.host, moveShadowTo);
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}\n${seen.slice(-3).join('\n')}`, {
      cause: error,
    });
  }
}

test('a shadow that nobody wants to move stays while the plan is asked again and again', () => {
  const world = worldOf('eligible c', vmWith({ ftWanted: true, replicaHost: 'b' }));
  for (let times = 0; times < 5; times++) assert.equal(step(world), false);
  assert.equal(world.record.eligibleShadow?.host, 'c');
});

test('after a suspend the shadow comes back to the host that has its replica', () => {
  const world = worldOf(
    'eligible c',
    vmWith({ ftWanted: true, ftSuspended: true, replicaHost: 'c' }),
  );
  while (step(world));
  assert.equal(world.copies.size, 1);
  world.vm = { ...world.vm, ftSuspended: false };
  while (step(world));
  assert.equal(world.record.eligibleShadow?.host, 'c');
});

test('a wish for a host that is lost or in maintenance is given up; the VM is protected elsewhere', () => {
  const world = worldOf('alone', vmWith({ ftWanted: true, moveShadowTo: 'c' }));
  const without = hosts.map((host) => (host.id === 'c' ? { ...host, connected: false } : host));
  const given = { ...situationOf(world), hosts: without };
  const settled = settle(given);
  assert.equal(settled.moveShadowTo, undefined);
  assert.equal(plan({ ...given, vm: settled }).shadowHost, 'b');
  const unsure = { ...given, record: undefined };
  assert.equal(settle(unsure), world.vm, 'nothing is given up while the arbiter is not sure');
});
