import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteWriter } from '../base/bytes.ts';
import { UmbraError } from '../base/errors.ts';
import { symbolsIn } from '../host/local/symbols.ts';
import { kernelSymbols } from './kallsyms.ts';
import { symbolElf } from './symbol-elf.ts';

/** Tables as scripts/kallsyms.c of Linux writes them; each character a token of its own. */
function image(symbols: readonly (readonly [offset: number, text: string])[], base: bigint) {
  const padded = (writer: ByteWriter): ByteWriter =>
    writer.raw(new Uint8Array((8 - (writer.length % 8)) % 8));
  const writer = new ByteWriter().raw(new Uint8Array(2 ** 18));
  padded(writer.u32(symbols.length));
  const begins = writer.length;
  const markers: number[] = [];
  for (const [index, [, text]] of symbols.entries()) {
    if (index % 256 === 0) markers.push(writer.length - begins);
    if (text.length < 0x80) writer.u8(text.length);
    else writer.u8((text.length & 0x7f) | 0x80).u8(text.length >> 7);
    writer.raw(Buffer.from(text, 'latin1'));
  }
  padded(writer);
  for (const marker of markers) writer.u32(marker);
  padded(writer);
  const table = new ByteWriter();
  const index: number[] = [];
  for (let token = 0; token < 256; token++) {
    index.push(table.length);
    table.raw(token === 0 ? Buffer.from('xx') : Buffer.of(token)).u8(0);
  }
  padded(writer.raw(table.finish()));
  for (const each of index) writer.u16(each);
  padded(writer);
  for (const [offset] of symbols) writer.u32(offset);
  padded(writer).u64(base);
  return writer.raw(new Uint8Array(64)).finish();
}

const many = Array.from(
  { length: 700 },
  (_, n) => [n * 16, `${n % 3 ? 't' : 'T'}function_${n}`] as const,
);

test('every name is found at its address, also a long one, and base and all', () => {
  const long = `D${'long_'.repeat(40)}`;
  const found = kernelSymbols(image([...many, [20_000, long]], 0xffffffff80000000n), 'it');
  assert.equal(found.length, 701);
  assert.deepEqual(found[3], { address: 0xffffffff80000030n, type: 'T', name: 'function_3' });
  assert.deepEqual([found[700]!.type, found[700]!.name], ['D', long.slice(1)]);
  assert.equal(found[700]!.address, 0xffffffff80000000n + 20_000n);
});

test('a kernel that fills its base in when it starts is where kernels are linked', () => {
  assert.equal(kernelSymbols(image(many, 0n), 'it')[1]!.address, 0xffffffff80000010n);
});

test('what is not exactly so is refused', () => {
  const refused = (bytes: Uint8Array, why: RegExp) =>
    assert.throws(
      () => kernelSymbols(bytes, 'it'),
      (error) =>
        error instanceof UmbraError &&
        error.code === 'kernel-without-symbols' &&
        why.test(error.message),
    );
  refused(new Uint8Array(2 ** 16), /no table of tokens/);
  const descending = many.map(([, text], n) => [10_000 - n, text] as const);
  refused(image(descending, 0n), /do not ascend/);
  const damaged = image(many, 0n);
  // The length of the first name.
  damaged[2 ** 18 + 8] = 3;
  refused(damaged, /table of names/);
});

test('the file for a debugger names code by its size, and data', () => {
  const elf = symbolElf(kernelSymbols(image([...many, [20_000, 'Ddata']], 0n), 'it'));
  const read = symbolsIn(elf, 'it').filter(({ name }) => name !== undefined);
  assert.equal(read.length, 700);
  const third = read.find(({ name }) => name === 'function_3')!;
  assert.deepEqual([third.address, third.size], [0xffffffff80000030n, 16n]);
});
