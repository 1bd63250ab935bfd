import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentLeast } from './recent-least.ts';

test('the least of one to two windows, and the last one where nothing is measured', () => {
  const least = new RecentLeast(10);
  const after = (value: number, now: number) => {
    least.add(value, now);
    return least.value;
  };
  assert.equal(least.value, undefined);
  assert.equal(after(5, 0), 5);
  assert.equal(after(9, 4), 5);
  assert.equal(after(8, 12), 5, 'of the window before');
  assert.equal(after(7, 23), 7, 'the 5 is too old');
  assert.equal(after(30, 100), 30, 'all are');
});
