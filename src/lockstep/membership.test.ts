import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ArbiterEntry,
  type Ask,
  beginEpoch,
  decide,
  newRecord,
  type Reply,
} from './arbiter.ts';
import { ArbiterKnowledge } from './arbiter-knowledge.ts';
import { Membership } from './membership.ts';
import { timing } from './timing.ts';

const a = { host: 'a', process: 'pa' };
const b = { host: 'b', process: 'pb' };

/** a is live, b eligible; asks of b are kept, and decided when the test says so. */
function eligible() {
  let entry: ArbiterEntry = newRecord(1, ['a']);
  const store = {
    decide(ask: Ask): Reply {
      const decided = decide(entry, ask);
      entry = decided.entry;
      return decided.reply;
    },
    get record() {
      return entry.record;
    },
    get recovering() {
      return entry.recovery !== undefined;
    },
    begin(backup: ArbiterEntry, epoch: number) {
      entry = beginEpoch(backup, epoch, []);
    },
    get entry() {
      return entry;
    },
  };
  const first = { vm: 'v', member: a, epoch: 1 };
  store.decide({ ...first, generation: 0, claimId: '1', operation: { kind: 'start' } });
  const operation = { kind: 'makeEligible', shadow: b } as const;
  store.decide({ ...first, generation: 1, claimId: '2', operation });
  const asks: Ask[] = [];
  const port = { ask: (ask: Ask) => asks.push(ask) };
  return { store, asks, membership: new Membership(port, 'v', b, store.record) };
}

test('an ask is repeated as it was until it is answered, and granted once', () => {
  const { store, asks, membership } = eligible();
  membership.ask({ kind: 'claim' }, 0);
  membership.tick(timing.askAgainMicros);
  assert.equal(asks.length, 2);
  assert.deepEqual(asks[0], asks[1]);
  // The first answer is lost.
  store.decide(asks[0]!);
  const settled = membership.receive(store.decide(asks[1]!));
  assert.equal(settled?.granted, true);
  assert.equal(membership.record.generation, 3);
  assert.equal(membership.tick(1e9), Number.POSITIVE_INFINITY);
});

test('a grant of an old epoch that arrives after registering in a new one is no grant', () => {
  const { store, asks, membership } = eligible();
  const backup = store.entry;
  membership.ask({ kind: 'claim' }, 0);
  const late = store.decide(asks.pop()!);
  assert.ok(late.granted);
  // The store loses the claim; b, not having seen the answer, registers without it.
  store.begin(backup, 2);
  membership.recover(2);
  store.decide(asks.pop()!);
  const known = backup.record;
  const operation = { kind: 'register', known, intent: undefined } as const;
  store.decide({ vm: 'v', member: a, epoch: 2, generation: 0, claimId: '3', operation });
  assert.equal(store.recovering, false);
  assert.equal(membership.receive(late), undefined);
  assert.equal(membership.pending?.kind, 'claim');
  // Asked again, in the new epoch.
  for (let now = 1; asks.length < 20 && membership.pending !== undefined; now++) {
    membership.tick(now * timing.askAgainMicros);
    const reply = store.decide(asks.pop()!);
    if (membership.receive(reply)?.granted === true) break;
  }
  assert.deepEqual(store.record.live, b);
  assert.equal(membership.record.epoch, 2);
});

test('a host passes on nothing that was granted before its registration', () => {
  const { store } = eligible();
  const knowledge = new ArbiterKnowledge();
  const claim = { vm: 'v', member: b, epoch: 1, generation: 2, claimId: 'x' } as const;
  const late = store.decide({ ...claim, operation: { kind: 'claim' } });
  knowledge.replied({ ...late, record: { ...late.record!, generation: 2, live: a } });
  const registration = knowledge.registration('v', 'b', 2);
  assert.equal(registration?.epoch, 2);
  assert.equal(knowledge.replied(late), false);
  // And what it has passed on is in every later registration.
  const other = new ArbiterKnowledge();
  assert.equal(other.replied(late), true);
  const { operation } = other.registration('v', 'b', 2)!;
  assert.ok(operation.kind === 'register' && operation.known.generation === 3);
});

test('a record that only the center has told is not registered as knowledge', () => {
  const { store, asks } = eligible();
  const port = { ask: (ask: Ask) => asks.push(ask) };
  const uncertain = { ...store.record, epoch: 9 };
  const shadow = new Membership(port, 'v', { host: 'c', process: 'pc' }, uncertain);
  shadow.recover(10);
  const { epoch, operation } = asks.pop()!;
  assert.equal(epoch, 10);
  assert.ok(operation.kind === 'register' && operation.known.epoch === 0);
});
