/** A holder and somebody who waits, each by a clock of their own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ArbiterEntry, type Ask, decide, newRecord, type VmRecord } from './arbiter.ts';
import { Lease, lapseMicros } from './lease.ts';

const vm = 'v';
const a = { host: 'a', process: 'pa' };
const b = { host: 'b', process: 'pb' };
const leaseMs = 2000;
const second = 1_000_000;

function liveAt(): ArbiterEntry {
  const empty = newRecord(1, [], { disks: 'd0', renewals: 0 });
  const operation = { kind: 'start', leaseMs } as const;
  const ask = { vm, member: a, epoch: 1, generation: 0, claimId: 'start', operation };
  return decide(empty, ask).entry;
}

class Setting {
  now = 0;
  asks: Ask[] = [];
  entry = liveAt();
  record: VmRecord = this.entry.record;
  readonly lease = new Lease(
    { ask: (ask) => this.asks.push(ask) },
    vm,
    a,
    { now: () => this.now },
    () => this.record,
  );

  /** Answers what has been asked. */
  answer(): (string | undefined)[] {
    return this.asks.splice(0).map((ask) => {
      const { entry, reply } = decide(this.entry, ask);
      this.entry = entry;
      return this.lease.receive(reply, this.now);
    });
  }
}

test('nothing is released before the first renewal, nor behind the margin of the last', () => {
  const setting = new Setting();
  const { lease } = setting;
  assert.equal(lease.holds, false);
  lease.tick(0);
  assert.deepEqual(setting.answer(), ['renewed']);
  assert.equal(lease.holds, true);
  setting.now = 1.79 * second;
  assert.equal(lease.holds, true);
  setting.now = 1.81 * second;
  assert.equal(lease.holds, false);
  // The arbiter is there again, and nobody was started meanwhile.
  lease.tick(setting.now);
  setting.answer();
  assert.equal(lease.holds, true);
});

test('a lease counts from before the ask, however late the answer comes', () => {
  const setting = new Setting();
  setting.lease.tick(0);
  setting.now = 1.9 * second;
  setting.answer();
  assert.equal(setting.lease.holds, false);
});

test('it is renewed three times within its length, and asked for again without an answer', () => {
  const setting = new Setting();
  const { lease } = setting;
  assert.ok(lease.tick(0) <= 100_000);
  setting.answer();
  const next = lease.tick(1);
  assert.ok(next > 0.6 * second && next < 0.7 * second, String(next));
  setting.now = next;
  lease.tick(next);
  assert.equal(setting.asks.length, 1);
  assert.ok(lease.tick(next + 100_000) > 0);
  assert.equal(setting.asks.length, 2);
});

test('whoever waits for the whole length finds the holder silent, by clocks a per cent apart', () => {
  for (const holder of [0.99, 1, 1.01]) {
    for (const waiter of [0.99, 1, 1.01]) {
      const setting = new Setting();
      setting.lease.tick(0);
      setting.answer();
      // The waiter saw the grant at the very moment at which the holder asked, which is too early.
      const elapsed = lapseMicros(leaseMs) / waiter;
      setting.now = elapsed * holder;
      assert.equal(setting.lease.holds, false, `${holder} ${waiter}`);
    }
  }
});

test('with a shadow there is no lease; without it there has to be a new one', () => {
  const setting = new Setting();
  const { lease } = setting;
  lease.tick(0);
  setting.answer();
  setting.record = { ...setting.record, eligibleShadow: b };
  assert.equal(lease.tick(1), Number.POSITIVE_INFINITY);
  setting.now = 60 * second;
  assert.equal(lease.holds, true);
  setting.record = { ...setting.record, eligibleShadow: undefined };
  assert.equal(lease.holds, false);
});

test('the loser of its place learns it by the next renewal', () => {
  const setting = new Setting();
  setting.lease.tick(0);
  setting.answer();
  const { epoch, generation } = setting.entry.record;
  const lapsed = `${epoch}.${generation}.1`;
  const operation = { kind: 'start', fenced: true, lapsed, leaseMs } as const;
  const ask = { vm, member: b, epoch, generation, claimId: 'takes over', operation };
  const { entry, reply } = decide(setting.entry, ask);
  assert.ok(reply.granted, reply.refusal);
  setting.entry = entry;
  setting.lease.tick(second);
  assert.deepEqual(setting.answer(), ['lost']);
});

test('an ask of its own that was granted unseen is no loss', () => {
  const setting = new Setting();
  const { epoch, generation } = setting.entry.record;
  const operation = { kind: 'goAlone' } as const;
  const ask = { vm, member: a, epoch, generation, claimId: 'pa:1', operation };
  setting.entry = decide(setting.entry, ask).entry;
  setting.lease.tick(0);
  assert.deepEqual(setting.answer(), ['other']);
  setting.lease.tick(0);
  assert.deepEqual(setting.answer(), ['renewed']);
});
