import assert from 'node:assert/strict';
import test from 'node:test';
import { MalformedStanza, stanzas, words } from './deb822.ts';

const read = (text: string): Record<string, string>[] =>
  [...stanzas(text)].map((stanza) => Object.fromEntries(stanza));

test('fields, continuations, comments and stanzas', () => {
  const text = 'A: 1\n# no\nLong: first\n  second\n .\n\tthird\n\n\n\nB:2 \n';
  assert.deepEqual(read(text), [{ a: '1', long: 'first\n second\n\nthird' }, { b: '2' }]);
  assert.deepEqual(read(''), []);
  assert.deepEqual(words(' a\n b\t c '), ['a', 'b', 'c']);
});

test('what is no stanza is refused with its line', () => {
  for (const [text, line] of [
    ['A: 1\nnonsense', 2],
    [' continuation', 1],
    ['A: 1\n\nB: 2\nb: 3', 4],
  ] as const) {
    assert.throws(
      () => read(text),
      (error) => error instanceof MalformedStanza && error.line === line,
    );
  }
});
