import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { UmbraError } from '../../base/errors.ts';
import { elfFile } from './elf.fixture.ts';
import { loadSymbols, SymbolTable, symbolsIn } from './symbols.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const tableOf = (file: Uint8Array): SymbolTable => new SymbolTable(symbolsIn(file, 'file'));

test('a list names code up to whatever comes next, and its aliases by the first', () => {
  const kernel = tableOf(
    bytes(
      [
        'ffffffff80002000 D end_of_text',
        'ffffffff80000000 T _start',
        'ffffffff80000000 t _stext',
        'ffffffff80001000 W weak',
        'ffffffff01000000 t probe\t[virtio_net]\r',
        '                 U elsewhere',
        '0000000000000000 A absolute',
        '',
      ].join('\n'),
    ),
  );
  const cases: [bigint, string | undefined][] = [
    [0xffffffff80000000n, '_start'],
    [0xffffffff80000ffen, '_start'],
    [0xffffffff80001000n, 'weak'],
    [0xffffffff80002000n, undefined],
    [0xffffffff01000010n, 'probe [virtio_net]'],
    // Sixty-four kilobytes behind the last symbol nobody knows.
    [0xffffffff01010000n, undefined],
    [0x10000n, undefined],
    [0n, undefined],
  ];
  for (const [address, name] of cases) assert.equal(kernel.nameAt(address), name, `${address}`);
});

test('an ELF file names functions by their sizes, and labels up to the next or the end', () => {
  const at = 0x8020_0000;
  const program = tableOf(
    elfFile(at, new Uint8Array(0x200), [
      { name: '$x', address: at, kind: 'label' },
      { name: '_start', address: at, kind: 'label' },
      { name: 'sum', address: at + 0x40, size: 0x20 },
      { name: 'inside', address: at + 0x50, kind: 'label' },
      { name: 'last', address: at + 0x100, kind: 'label' },
      { name: 'table', address: at + 0x180, size: 0x80, kind: 'object' },
    ]),
  );
  const cases: [number, string | undefined][] = [
    [-4, undefined],
    [0, '_start'],
    [0x3c, '_start'],
    [0x40, 'sum'],
    [0x5c, 'sum'],
    [0x60, undefined],
    [0x100, 'last'],
    [0x1fc, 'last'],
    [0x200, undefined],
  ];
  for (const [offset, name] of cases) {
    assert.equal(program.nameAt(BigInt(at + offset)), name, `offset ${offset}`);
  }
});

test('a file at a base is moved there; several files are one table', () => {
  const folder = mkdtempSync(join(tmpdir(), 'umbra-symbols-'));
  try {
    const [elf, map] = [join(folder, 'lib@2.so'), join(folder, 'System.map')];
    writeFileSync(elf, elfFile(0x1000, new Uint8Array(64), [{ name: 'f', address: 0x1000 }]));
    writeFileSync(map, 'ffffffff80000000 T _start\n');
    const table = loadSymbols([`${elf}@0x3f00000000`, map]);
    assert.equal(table.nameAt(0x3f00001000n), 'f');
    assert.equal(table.nameAt(0x1000n), undefined);
    assert.equal(table.nameAt(0xffffffff80000000n), '_start');
    assert.equal(loadSymbols([`${elf}@0`]).nameAt(0x1000n), 'f');
    assert.throws(() => loadSymbols([join(folder, 'none')]), unusable('unreadable', /ENOENT/));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what gives no symbols is refused with the reason', () => {
  const whole = elfFile(0x1000, new Uint8Array(64), [{ name: 'f', address: 0x1000 }]);
  const object = whole.slice();
  object[16] = 1;
  const cases: [Uint8Array, RegExp][] = [
    [bytes(''), /names no code/],
    [bytes('0000000000001000 D data\n'), /names no code/],
    [bytes('0000000000000000 T _start\n'), /all its addresses are zero/],
    [bytes('0000000000001000 T f\nhello\n'), /"hello" is no line/],
    [elfFile(0x1000, new Uint8Array(64), []), /names no code/],
    [object, /not linked/],
    [whole.subarray(0, whole.length - 100), /damaged/],
  ];
  for (const [file, why] of cases) {
    assert.throws(() => symbolsIn(file, 'file'), unusable('symbols-unusable', why));
  }
});

const unusable = (code: string, why: RegExp) => (error: unknown) =>
  error instanceof UmbraError && error.code === code && why.test(error.message);
