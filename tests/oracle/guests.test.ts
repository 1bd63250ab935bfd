/**
 * The guests of tests/guests/ on QEMU and on Umbra. Nothing is expected by heart: what QEMU prints
 * is the expectation, and every guest counts what it found wrong by the manual itself.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { compileGuest, compilerMissing } from './compile.ts';
import { qemuMissing, runOnQemu } from './qemu.ts';
import { runOnUmbra, umbraMissing } from './umbra.ts';

const memoryMb = 128;
const guests: readonly { name: string; harts: readonly number[] }[] = [
  { name: 'traps', harts: [1, 2] },
  { name: 'csrs', harts: [1] },
  { name: 'memory', harts: [1] },
  { name: 'paging', harts: [1] },
  { name: 'pmp', harts: [1] },
  { name: 'interrupts', harts: [1, 2] },
  { name: 'harts', harts: [1, 2, 4] },
];

const skip = qemuMissing || compilerMissing;
const folder = mkdtempSync(join(tmpdir(), 'umbra-guests-'));
process.on('exit', () => rmSync(folder, { recursive: true }));

for (const { name, harts } of guests) {
  const lines = (output: string): string[] => output.replaceAll('\r', '').split('\n');
  const ownVerdict = (output: string): void => {
    const wrong = lines(output).filter((line) => line.includes('WRONG'));
    assert.deepEqual(wrong, []);
    assert.equal(lines(output).at(-2), 'wrong = 0', 'the guest ran to its end');
  };
  let elf: string | undefined;
  for (const count of harts) {
    const options = { harts: count, memoryMb };
    test(`guest ${name}, ${count} harts: QEMU agrees with the manual`, { skip }, async () => {
      elf ??= compileGuest(name, folder);
      ownVerdict(await runOnQemu(elf, options));
    });
    test(`guest ${name}, ${count} harts: Umbra prints what QEMU prints`, {
      skip: skip || umbraMissing,
    }, async () => {
      elf ??= compileGuest(name, folder);
      const [theirs, ours] = await Promise.all([runOnQemu(elf, options), runOnUmbra(elf, options)]);
      ownVerdict(ours);
      assert.deepEqual(lines(ours), lines(theirs));
    });
  }
}
