import assert from 'node:assert/strict';
import test from 'node:test';
import { crc32 } from './crc32.ts';

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

test('the check value of the standard, whole and in parts', () => {
  assert.equal(crc32(ascii('123456789')), 0xcbf43926);
  assert.equal(crc32(ascii('6789'), crc32(ascii('12345'))), 0xcbf43926);
});
