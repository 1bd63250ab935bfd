import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PrimaryWatch } from './primary-watch.ts';
import { timing } from './timing.ts';

const { primarySilenceMicros, doubtMicros } = timing;

test('silence alone waits for its time', () => {
  const watch = new PrimaryWatch(1_000);
  assert.deepEqual([watch.lostAt, watch.cause], [1_000 + primarySilenceMicros, 'silent']);
  watch.heard(70_000);
  assert.equal(watch.lostAt, 70_000 + primarySilenceMicros);
});

test('a trunk that closes asks for a sign of life, which is to come soon', () => {
  const watch = new PrimaryWatch(0);
  assert.ok(watch.trunk(false, 100_000));
  assert.deepEqual([watch.lostAt, watch.cause], [100_000 + doubtMicros, 'doubted']);
  assert.ok(!watch.trunk(false, 110_000), 'once');
  watch.heard(120_000);
  assert.deepEqual([watch.lostAt, watch.cause], [120_000 + primarySilenceMicros, 'silent']);
  // Silence began before the trunk closed: its time may end first.
  watch.trunk(true, 200_000);
  watch.trunk(false, 110_000 + primarySilenceMicros);
  assert.equal(watch.lostAt, 120_000 + primarySilenceMicros);
  watch.trunk(true, 0);
  assert.equal(watch.cause, 'silent');
});

test('a log channel that closes alone waits, with its trunk it is the end', () => {
  const watch = new PrimaryWatch(0);
  watch.linkClosed(50_000);
  assert.ok(watch.closed);
  assert.deepEqual([watch.lostAt, watch.cause], [50_000 + primarySilenceMicros, 'silent']);
  watch.trunk(false, 60_000);
  assert.deepEqual([watch.lostAt, watch.cause], [50_000, 'closed']);
  watch.trunk(true, 70_000);
  assert.equal(watch.lostAt, 50_000 + primarySilenceMicros);
  watch.welcomed();
  assert.ok(!watch.closed);
  assert.equal(watch.lostAt, primarySilenceMicros);
});
