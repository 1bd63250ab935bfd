import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TypedBytes } from './typed-bytes.ts';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const open = { closed: false, acknowledgedPosition: 0 };

test('what is typed again is taken once, and nothing behind a hole', () => {
  const typed = new TypedBytes(10);
  assert.equal(text(typed.take(Buffer.from('abc'), 10)), 'abc');
  assert.equal(text(typed.take(Buffer.from('abcde'), 10)), 'de');
  assert.equal(text(typed.take(Buffer.from('abc'), 10)), '');
  assert.equal(text(typed.take(Buffer.from('x'), 16)), '', 'the byte at 15 is missing');
  assert.equal(text(typed.take(Buffer.from('fx'), 15)), 'fx');
  assert.equal(text(typed.take(Buffer.from('uncounted'), undefined)), 'uncounted');
});

test('a byte is safe when it is recorded, behind a closed gate when the shadow has it', () => {
  const typed = new TypedBytes(0);
  typed.take(Buffer.from('abc'), 0);
  assert.equal(typed.safe(open), 0, 'still in the queue');
  typed.record(3, 7);
  assert.equal(typed.recorded, 3);
  assert.equal(typed.safe({ closed: true, acknowledgedPosition: 6 }), 0);
  assert.equal(typed.safe({ closed: true, acknowledgedPosition: 7 }), 3);
  typed.record(2, 9);
  assert.equal(typed.safe({ closed: true, acknowledgedPosition: 8 }), 3);
  assert.equal(typed.safe(open), 5);
});
