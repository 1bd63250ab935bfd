import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type ArbiterEntry,
  type Ask,
  beginEpoch,
  coldStartHosts,
  decide,
  type Member,
  newRecord,
  type Operation,
  type Reply,
} from './arbiter.ts';

const a = { host: 'a', process: 'pa' };
const b = { host: 'b', process: 'pb' };
const c = { host: 'c', process: 'pc' };

class Store {
  entry: ArbiterEntry = newRecord(1, ['a']);
  asks = 0;

  ask(member: Member, operation: Operation, changes: Partial<Ask> = {}): Reply {
    const { epoch, generation } = this.entry.record;
    const claimId = `${member.process}:${this.asks++}`;
    const ask = { vm: 'v', member, epoch, generation, claimId, operation, ...changes };
    const { entry, reply } = decide(this.entry, ask);
    this.entry = entry;
    return reply;
  }
}

function protectedStore(): Store {
  const store = new Store();
  assert.ok(store.ask(a, { kind: 'start' }).granted);
  assert.ok(store.ask(a, { kind: 'makeEligible', shadow: b }).granted);
  return store;
}

test('of a claim and a going-alone in the same generation exactly one wins', () => {
  for (const first of ['claim', 'goAlone'] as const) {
    const store = protectedStore();
    const { generation } = store.entry.record;
    const [winner, loser] = first === 'claim' ? [b, a] : [a, b];
    const second = first === 'claim' ? 'goAlone' : 'claim';
    assert.ok(store.ask(winner, { kind: first }, { generation }).granted);
    assert.equal(store.ask(loser, { kind: second }, { generation }).refusal, 'generation');
    assert.deepEqual(store.entry.record.live, winner);
    assert.deepEqual(store.entry.record.currentReplicas, [winner.host]);
    // Not even when it learns the new generation.
    assert.equal(store.ask(loser, { kind: second }).granted, false);
  }
});

test('a lost reply can be asked for again, and only by the same claim', () => {
  const store = protectedStore();
  const { generation } = store.entry.record;
  const again = { generation, claimId: 'pb:claim' };
  assert.ok(store.ask(b, { kind: 'claim' }, again).granted);
  const after = store.entry;
  assert.ok(store.ask(b, { kind: 'claim' }, again).granted);
  assert.deepEqual(store.entry, after);
  assert.equal(store.ask(b, { kind: 'claim' }, { generation }).refusal, 'generation');
});

test('another process of the same host is somebody else', () => {
  const store = protectedStore();
  const other = { host: 'b', process: 'later' };
  assert.equal(store.ask(other, { kind: 'claim' }).refusal, 'not-eligible');
  assert.equal(store.ask({ ...a, process: 'x' }, { kind: 'goAlone' }).refusal, 'not-live');
});

test('both copies are never on one host', () => {
  const store = new Store();
  store.ask(a, { kind: 'start' });
  const shadow = { host: 'a', process: 'other' };
  assert.equal(store.ask(a, { kind: 'makeEligible', shadow }).refusal, 'not-eligible');
});

test('a cold start takes only a replica that holds everything the world was told', () => {
  const store = protectedStore();
  // Both crashed: the shadow's replica may be behind.
  assert.deepEqual(coldStartHosts(store.entry.record), ['a']);
  assert.equal(store.ask(b, { kind: 'start', fenced: true }).refusal, 'stale-replica');
  assert.equal(store.ask(a, { kind: 'start' }).refusal, 'already-live');
  // Stopped in order, both at the end: either will do.
  const both = ['a', 'b', 'c'];
  store.ask(a, { kind: 'stop', state: 'stopped', currentReplicas: both });
  assert.deepEqual(coldStartHosts(store.entry.record), ['a', 'b']);
  assert.equal(store.ask(c, { kind: 'start' }).refusal, 'stale-replica');
  assert.ok(store.ask(b, { kind: 'start' }).granted);
  assert.equal(store.entry.record.live, b);
});

test('a restored store grants nothing before all who may know better have registered', () => {
  const store = protectedStore();
  const backup = store.entry;
  assert.ok(store.ask(b, { kind: 'claim' }).granted);
  const known = store.entry.record;
  store.ask(b, { kind: 'makeEligible', shadow: c });
  const later = store.entry.record;
  store.entry = beginEpoch(backup, 2);
  // The old primary, back from the dead, finds a record that calls it live.
  const { epoch, generation } = backup.record;
  assert.equal(store.ask(a, { kind: 'goAlone' }, { epoch, generation }).refusal, 'recovering');
  const none = undefined;
  store.ask(a, { kind: 'register', known: backup.record, intent: none });
  assert.equal(store.ask(a, { kind: 'goAlone' }, { epoch: 2 }).refusal, 'recovering');
  // b knows of its claim, and that it asked for c: then c has to be heard, too.
  store.ask(b, { kind: 'register', known, intent: c });
  assert.equal(store.ask(a, { kind: 'goAlone' }, { epoch: 2 }).refusal, 'recovering');
  assert.ok(store.ask(c, { kind: 'register', known: later, intent: none }).granted);
  assert.deepEqual(store.entry.record, { ...later, epoch: 2 });
  assert.equal(store.ask(a, { kind: 'goAlone' }, { epoch: 2, generation }).refusal, 'generation');
});

test('generations only grow, by one for each grant, and the eligible shadow is never the live one', () => {
  const members = [a, b, c, { host: 'a', process: 'pa2' }];
  const member = fc.constantFrom(...members);
  const operation: fc.Arbitrary<Operation> = fc.oneof(
    fc.record({ kind: fc.constant('start' as const), fenced: fc.boolean() }),
    fc.record({ kind: fc.constant('makeEligible' as const), shadow: member }),
    fc.constant({ kind: 'goAlone' as const }),
    fc.constant({ kind: 'claim' as const }),
    fc.constant({ kind: 'stop' as const, state: 'stopped' as const, currentReplicas: ['a', 'b'] }),
  );
  const lag = fc.nat(2);
  fc.assert(
    fc.property(fc.array(fc.tuple(member, operation, lag), { maxLength: 60 }), (asks) => {
      const store = new Store();
      for (const [who, what, late] of asks) {
        const before = store.entry.record;
        const generation = Math.max(0, before.generation - late);
        const { granted } = store.ask(who, what, { generation });
        const { record } = store.entry;
        assert.equal(record.generation, before.generation + (granted ? 1 : 0));
        assert.ok(!granted || late === 0 || generation === before.generation);
        assert.notDeepEqual(record.eligibleShadow ?? {}, record.live);
        assert.equal(record.state === 'live', record.live !== undefined);
        const named = [record.live?.host, record.eligibleShadow?.host].filter(Boolean);
        if (record.state === 'live') assert.deepEqual(record.currentReplicas, named);
      }
    }),
  );
});
