import assert from 'node:assert/strict';
import test from 'node:test';
import { SeededRandom } from './random.ts';

test('the PCG32 reference sequence (pcg32-demo, seed 42, stream 54)', () => {
  const random = new SeededRandom(42, 54);
  assert.deepEqual(
    Array.from({ length: 6 }, () => random.u32()),
    [0xa15c02b7, 0x7b47f409, 0xba1d3330, 0x83d2f293, 0xbfa4784b, 0xcbed606e],
  );
});

test('ranges are kept', () => {
  const random = new SeededRandom(1);
  for (let i = 0; i < 10_000; i++) {
    const value = random.between(3, 7);
    assert.ok(value >= 3 && value <= 7);
  }
});
