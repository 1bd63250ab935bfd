import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differsMuch, trunkStatuses } from './trunk-statuses.ts';

test('the center is told of trunks again only when there is news', () => {
  const of = (...trips: (number | undefined)[]) =>
    trunkStatuses(trips.map((roundTripUs, at) => ({ peer: `host${at}`, roundTripUs })));
  assert.deepEqual(of(250, undefined), [{ peer: 'host0', roundTripMs: 0.25 }, { peer: 'host1' }]);
  assert.equal(differsMuch(of(250), of(250)), false);
  assert.equal(differsMuch(of(250), of(290)), false, 'by 40 us');
  assert.equal(differsMuch(of(10_000), of(12_000)), false, 'by a fifth');
  assert.equal(differsMuch(of(10_000), of(13_000)), true);
  assert.equal(differsMuch(of(undefined), of(250)), true, 'known now');
  assert.equal(differsMuch(of(250), of(250, 250)), true, 'one has come');
});
