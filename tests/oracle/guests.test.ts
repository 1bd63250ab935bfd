/**
 * The guests of tests/guests/ on QEMU and on Umbra. Nothing is expected by heart: what QEMU prints
 * is the expectation, and every guest counts what it found wrong by the manual itself.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { hartStateBytes } from '../../src/isa/hart-state.ts';
import { type BareEngine, bareEngine } from './bare-engine.ts';
import { compileGuest, compilerMissing } from './compile.ts';
import { qemuMissing, runOnQemu } from './qemu.ts';
import { flatImage, runOnUmbra } from './umbra.ts';

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

const qemuRuns = new Map<string, Promise<string>>();
/** Each guest runs once on QEMU for each number of harts. */
function onQemu(elf: string, harts = 1): Promise<string> {
  const key = `${elf} ${harts}`;
  const known = qemuRuns.get(key) ?? runOnQemu(elf, { harts, memoryMb });
  qemuRuns.set(key, known);
  return known;
}

function runBare(elf: string, slice?: number) {
  const bare = bareEngine(memoryMb);
  bare.ram.set(flatImage(elf));
  return { bare, ran: bare.run(instructionsMax, slice) };
}

for (const { name, harts, bare } of guests) {
  const lines = (output: string): string[] => output.replaceAll('\r', '').split('\n');
  /** What QEMU and Umbra may do differently: QEMU without AIA has its own order of interrupts. */
  const order = (line: string): boolean => line.startsWith('order: ');
  const common = (output: string): string[] => lines(output).filter((line) => !order(line));
  const ownVerdict = (output: string): void => {
    const wrong = lines(output).filter((line) => line.includes('WRONG'));
    assert.deepEqual(wrong, []);
    assert.equal(lines(output).at(-2), 'wrong = 0', 'the guest ran to its end');
  };
  let elf: string | undefined;
  if (bare) {
    test(`guest ${name}: the engine alone prints what QEMU prints`, { skip }, async () => {
      elf ??= compileGuest(name, folder);
      const { output } = runBare(elf).ran;
      ownVerdict(output);
      assert.deepEqual(lines(output), lines(await onQemu(elf)));
    });
    test(`guest ${name}: slicing the run changes nothing`, { skip: compilerMissing }, () => {
      elf ??= compileGuest(name, folder);
      const whole = runBare(elf);
      for (const slice of [7, 1013]) {
        const sliced = runBare(elf, slice);
        assert.deepEqual(sliced.ran, whole.ran);
        const state = (bare: BareEngine): Uint8Array =>
          bare.engine.memory.subarray(0, hartStateBytes);
        assert.deepEqual(state(sliced.bare), state(whole.bare), 'the hart');
        assert.equal(Buffer.compare(sliced.bare.ram, whole.bare.ram), 0, 'RAM');
      }
    });
  }
  for (const count of harts) {
    const options = { harts: count, memoryMb };
    test(`guest ${name}, ${count} harts: QEMU agrees with the manual`, { skip }, async () => {
      elf ??= compileGuest(name, folder);
      ownVerdict(await onQemu(elf, count));
    });
    test(`guest ${name}, ${count} harts: Umbra prints what QEMU prints`, { skip }, async () => {
      elf ??= compileGuest(name, folder);
      const { output } = runOnUmbra(elf, options);
      ownVerdict(output);
      assert.deepEqual(common(output), common(await onQemu(elf, count)));
      for (const line of lines(output).filter(order)) assert.equal(line, 'order: by the manual');
    });
    if (bare) continue;
    test(`guest ${name}, ${count} harts: slicing changes nothing on the board`, {
      skip: compilerMissing,
    }, () => {
      elf ??= compileGuest(name, folder);
      const whole = runOnUmbra(elf, options);
      assert.deepEqual(runOnUmbra(elf, options, 997n), whole);
    });
  }
}
