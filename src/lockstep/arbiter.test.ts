import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type ArbiterEntry,
  type Ask,
  beginEpoch,
  coldStartHosts,
  decide,
  leaseOf,
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

test('nobody starts past a saved state without continuing or discarding it', () => {
  const store = protectedStore();
  const suspended = { kind: 'stop', state: 'suspended', currentReplicas: ['a', 'b'] } as const;
  assert.ok(store.ask(a, { ...suspended, saved: 's1' }).granted);
  const { entry } = store;
  assert.deepEqual(entry.record.saved, { host: 'a', id: 's1' });
  const later = { host: 'a', process: 'later' };
  assert.equal(store.ask(later, { kind: 'start' }).refusal, 'saved-state');
  assert.equal(store.ask(later, { kind: 'start', restore: 's0' }).refusal, 'saved-state');
  // The other host's replica is current, and has no state: an explicit word is needed.
  assert.equal(store.ask(b, { kind: 'start' }).refusal, 'saved-state');
  assert.equal(store.ask(b, { kind: 'start', restore: 's1' }).refusal, 'saved-state');
  assert.equal(store.ask(b, { kind: 'start', acceptStale: true }).refusal, 'saved-state');
  assert.ok(store.ask(b, { kind: 'start', discardState: true }).granted);
  assert.equal(store.entry.record.saved, undefined);
  store.entry = entry;
  assert.ok(store.ask(later, { kind: 'start', restore: 's1' }).granted);
  assert.deepEqual(store.entry.record.currentReplicas, ['a']);
});

test('a start that continued is continued again on its host alone, until the machine has changed', () => {
  const store = protectedStore();
  store.ask(a, { kind: 'stop', state: 'suspended', currentReplicas: ['a'], saved: 's1' });
  const later = { host: 'a', process: 'later' };
  store.ask(later, { kind: 'start', restore: 's1' });
  const { entry } = store;
  assert.equal(entry.record.saved?.id, 's1');
  // It has ended: on its host with the state if that is still there, without it if not.
  const last = { host: 'a', process: 'last' };
  const fenced = { kind: 'start', fenced: true, acceptStale: true } as const;
  assert.equal(store.ask(b, fenced).refusal, 'saved-state');
  assert.ok(store.ask(last, { ...fenced, restore: 's1' }).granted);
  assert.equal(store.entry.record.saved?.id, 's1');
  store.entry = entry;
  assert.ok(store.ask(last, fenced).granted);
  assert.equal(store.entry.record.saved, undefined);
  store.entry = entry;
  store.ask(later, { kind: 'makeEligible', shadow: b });
  assert.equal(store.entry.record.saved, undefined);
});

test('a revert makes the disks of its host the only current ones, and never of a live machine', () => {
  const store = protectedStore();
  assert.equal(store.ask(a, { kind: 'revert', saved: 's2' }).refusal, 'already-live');
  store.ask(a, { kind: 'stop', state: 'stopped', currentReplicas: ['a', 'b'] });
  const { generation } = store.entry.record;
  assert.ok(store.ask(c, { kind: 'revert', saved: 's2' }).granted);
  const { record } = store.entry;
  assert.equal(record.state, 'suspended');
  assert.equal(record.generation, generation + 1);
  assert.deepEqual(coldStartHosts(record), ['c']);
  // What a and b hold is another history now.
  const discard = { kind: 'start', discardState: true } as const;
  assert.equal(store.ask(a, discard).refusal, 'stale-replica');
  assert.equal(store.ask(a, { kind: 'start', restore: 's2' }).refusal, 'saved-state');
  assert.ok(store.ask(c, { kind: 'start', restore: 's2' }).granted);
});

test('a restored store grants nothing before all who may know better have registered', () => {
  const store = protectedStore();
  const backup = store.entry;
  assert.ok(store.ask(b, { kind: 'claim' }).granted);
  const known = store.entry.record;
  store.ask(b, { kind: 'makeEligible', shadow: c });
  const later = store.entry.record;
  store.entry = beginEpoch(backup, 2, []);
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
    fc.record({
      kind: fc.constant('stop' as const),
      state: fc.constant('suspended' as const),
      currentReplicas: fc.constant(['a', 'b']),
      saved: fc.constantFrom('s1', 's2'),
    }),
    fc.record({ kind: fc.constant('revert' as const), saved: fc.constantFrom('s1', 's2') }),
    fc.record({ kind: fc.constant('start' as const), restore: fc.constantFrom('s1', 's2') }),
    fc.constant({ kind: 'start' as const, discardState: true }),
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
        const { saved } = before;
        const continued = what.kind === 'start' && what.restore === saved?.id;
        if (granted && what.kind === 'start' && before.state !== 'live' && saved !== undefined) {
          assert.ok(what.discardState === true || (continued && who.host === saved.host));
        }
        if (record.saved !== undefined)
          assert.ok(record.currentReplicas.includes(record.saved.host));
        const named = [record.live?.host, record.eligibleShadow?.host].filter(Boolean);
        if (record.state === 'live') assert.deepEqual(record.currentReplicas, named);
      }
    }),
  );
});

/** Live at `a`, its disks on shared storage. */
function leasedStore(): Store {
  const store = new Store();
  store.entry = newRecord(1, [], { disks: 'd0', renewals: 0 });
  assert.ok(store.ask(a, { kind: 'start', disks: 'd1', leaseMs: 2000 }).granted);
  assert.deepEqual(store.entry.record.shared, { disks: 'd1', leaseMs: 2000, renewals: 0 });
  return store;
}

test('a renewal changes the name of the lease and nothing else', () => {
  const store = leasedStore();
  const before = store.entry.record;
  assert.ok(store.ask(a, { kind: 'renew' }).granted);
  assert.notEqual(leaseOf(store.entry.record), leaseOf(before));
  assert.deepEqual({ ...store.entry.record, shared: before.shared }, before);
  assert.equal(store.ask(b, { kind: 'renew' }).refusal, 'not-live');
  const { generation } = store.entry.record;
  assert.equal(
    store.ask(a, { kind: 'renew' }, { generation: generation - 1 }).refusal,
    'generation',
  );
});

test('a start past a lease names the lease that has ended', () => {
  const store = leasedStore();
  const lapsed = leaseOf(store.entry.record);
  assert.equal(store.ask(b, { kind: 'start', fenced: true }).refusal, 'lease-renewed');
  assert.equal(store.ask(b, { kind: 'start', lapsed }).refusal, 'already-live');
  assert.ok(store.ask(a, { kind: 'renew' }).granted);
  const start = { kind: 'start', fenced: true, disks: 'd2' } as const;
  assert.equal(store.ask(b, { ...start, lapsed }).refusal, 'lease-renewed');
  const revert = { kind: 'revert', saved: 's', fenced: true, lapsed } as const;
  assert.equal(store.ask(b, revert).refusal, 'lease-renewed');
  assert.ok(store.ask(b, { ...start, lapsed: leaseOf(store.entry.record) }).granted);
  assert.equal(store.entry.record.shared?.disks, 'd2');
  assert.equal(store.ask(a, { kind: 'renew' }).refusal, 'not-live');
  assert.equal(leaseOf(store.entry.record), undefined, 'none was given with this start');
});

test('with an eligible shadow there is no lease, and its claim takes the disks over', () => {
  const store = leasedStore();
  const lapsed = leaseOf(store.entry.record);
  assert.ok(store.ask(a, { kind: 'makeEligible', shadow: b }).granted);
  assert.equal(leaseOf(store.entry.record), undefined);
  assert.ok(store.ask(b, { kind: 'claim', disks: 'd2' }).granted);
  assert.deepEqual(store.entry.record.shared, { disks: 'd2', leaseMs: 2000, renewals: 0 });
  assert.notEqual(leaseOf(store.entry.record), lapsed);
});

test('shared disks start on every host, also from a saved state', () => {
  const store = leasedStore();
  const saved = 'kept';
  const stop = { kind: 'stop', state: 'suspended', currentReplicas: ['a'], saved } as const;
  assert.ok(store.ask(a, stop).granted);
  assert.equal(store.ask(c, { kind: 'start' }).refusal, 'saved-state');
  assert.ok(store.ask(c, { kind: 'start', restore: saved }).granted);
});

test('where only some disks are shared, the others have to be current', () => {
  const store = new Store();
  store.entry = newRecord(1, ['a'], { disks: 'd0', renewals: 0, partly: true });
  assert.equal(store.ask(b, { kind: 'start' }).refusal, 'stale-replica');
  assert.ok(store.ask(a, { kind: 'start' }).granted);
});
