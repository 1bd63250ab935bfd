import assert from 'node:assert/strict';
import test from 'node:test';
import { ConsoleTail } from './console-tail.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

function tail() {
  const said: [offset: bigint, text: string][] = [];
  return { said, tail: new ConsoleTail((offset, bytes) => said.push([offset, text(bytes)])) };
}

test('a live copy says each byte once', () => {
  const { said, tail: console } = tail();
  console.write(0n, Buffer.from('abc'));
  console.write(1n, Buffer.from('bcde'));
  console.write(0n, Buffer.from('abc'));
  assert.deepEqual(said, [
    [0n, 'abc'],
    [3n, 'de'],
  ]);
});

test('a shadow that goes live says what it kept, and nothing of it again', () => {
  const { said, tail: console } = tail();
  console.keep(100n, Buffer.from('abc'));
  console.keep(103n, Buffer.from('def'));
  assert.deepEqual(said, []);
  console.sayKept();
  console.write(103n, Buffer.from('defg'));
  assert.deepEqual(said, [
    [100n, 'abcdef'],
    [106n, 'g'],
  ]);
});

test('what is kept is bounded', () => {
  const { said, tail: console } = tail();
  for (let at = 0; at < 400_000; at += 1000) console.keep(BigInt(at), Buffer.alloc(1000, 0x61));
  console.sayKept();
  assert.equal(said[0]![0], 400_000n - 262_144n);
  assert.equal(said[0]![1].length, 262_144);
});
