/**
 * The guests of tests/guests/ on QEMU and on Umbra. Nothing is expected by heart: what QEMU prints
 * is the expectation, and every guest counts what it found wrong by the manual itself.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { ramBase } from '../../src/machine/layout.ts';
import { bareEngine } from './bare-engine.ts';
import { compileGuest, compilerMissing } from './compile.ts';
import { loadElf } from './elf.ts';
import { qemuMissing, runOnQemu } from './qemu.ts';
import { runOnUmbra, umbraMissing } from './umbra.ts';

const memoryMb = 128;
const instructionsMax = 400_000_000;

/** `bare` guests need no device but the UART: they also run on the engine alone. */
const guests: readonly { name: string; harts: readonly number[]; bare: boolean }[] = [
  { name: 'traps', harts: [1, 2], bare: true },
  { name: 'csrs', harts: [1], bare: true },
  { name: 'memory', harts: [1], bare: true },
  { name: 'paging', harts: [1], bare: true },
  { name: 'pmp', harts: [1], bare: true },
  { name: 'interrupts', harts: [1, 2], bare: false },
  { name: 'harts', harts: [1, 2, 4], bare: false },
];

const skip = qemuMissing || compilerMissing;
const folder = mkdtempSync(join(tmpdir(), 'umbra-guests-'));
process.on('exit', () => rmSync(folder, { recursive: true }));

for (const { name, harts, bare } of guests) {
  const lines = (output: string): string[] => output.replaceAll('\r', '').split('\n');
  const ownVerdict = (output: string): void => {
    const wrong = lines(output).filter((line) => line.includes('WRONG'));
    assert.deepEqual(wrong, []);
    assert.equal(lines(output).at(-2), 'wrong = 0', 'the guest ran to its end');
  };
  let elf: string | undefined;
  if (bare)
    test(`guest ${name}: the engine alone prints what QEMU prints`, { skip }, async () => {
      elf ??= compileGuest(name, folder);
      const { ram, run } = bareEngine(memoryMb);
      loadElf(readFileSync(elf), ram, ramBase);
      const ours = run(instructionsMax);
      ownVerdict(ours);
      assert.deepEqual(lines(ours), lines(await runOnQemu(elf, { memoryMb })));
    });
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
