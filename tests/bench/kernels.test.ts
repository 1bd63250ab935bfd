/**
 * The kernels of the bench `cpu` compile and have the same results on Umbra and on QEMU, with work
 * that takes a moment; one of them goes the whole way of the bench.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { tryOnSides } from '../../bench/machine/comparison.ts';
import { type ConsoleRun, watchConsole } from '../../bench/machine/console-run.ts';
import { computeRow } from '../../bench/machine/cpu.ts';
import { type Guest, workOf } from '../../bench/machine/guest.ts';
import { type Kernel, kernelGuest, kernels } from '../../bench/machine/kernels.ts';
import { commandOf } from '../../bench/machine/sides.ts';
import { virtMachineMaker } from '../../src/board/virt.ts';
import { runUntil, tinyBoard } from '../machine/tiny.ts';
import { compilerMissing } from '../oracle/compile.ts';
import { qemuMissing } from '../oracle/qemu.ts';

const skip = qemuMissing || compilerMissing;
const folder = mkdtempSync(join(tmpdir(), 'umbra-kernels-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A ten-thousandth of the bench's work, and at least one round. */
const small = ({ name, rounds }: Kernel): Kernel => ({ name, rounds: Math.ceil(rounds / 10_000) });
const countMax = 100_000_000n;

function onUmbra(guest: Guest): string {
  const board = tinyBoard(readFileSync(guest.kernel), new Uint8Array(0), '');
  const { text, off } = runUntil(virtMachineMaker(board).powerOn(), 'nothing ever', countMax);
  assert.ok(off, 'the guest has switched itself off');
  const lines = text.split('\n').map((line) => ({ text: line, seconds: 0 }));
  return workOf(guest, { lines }).result;
}

for (const kernel of kernels) {
  test(`kernel ${kernel.name}: the same result on Umbra and on QEMU`, { skip }, async () => {
    const guest = kernelGuest(small(kernel), folder);
    const qemu = workOf(guest, await watchConsole(commandOf.tcg(guest)));
    assert.match(qemu.result, /^[0-9a-f]{16}$/);
    assert.equal(onUmbra(guest), qemu.result);
  });
}

test('a row has every side, its ratios and its result', { skip }, async () => {
  const row = await computeRow({ name: 'list', rounds: 10 }, 1, () => {});
  assert.equal(row.kind, 'compute');
  assert.ok(row.instructions > 10 * 512);
  assert.ok(row.umbra.min > 0 && row.tcg.min > 0 && row.icount.min > 0);
  assert.equal(row.vsTcg, row.tcgSeconds / row.umbraSeconds);
  assert.ok(row.withoutStart.umbraSeconds < row.umbraSeconds);
});

test('a guest that has another result on another side fails, and one without result', async () => {
  const guest: Guest = { name: 'crc', kernel: 'none', memoryMb: 128 };
  const says = (...texts: string[]): ConsoleRun => ({
    seconds: 1,
    lines: texts.map((text) => ({ text, seconds: 1 })),
    report: '',
  });
  const results = ['1', '1', '2'];
  const watch = async (): Promise<ConsoleRun> =>
    says('start crc', 'end crc', `result ${results.shift()}`);
  const trial = tryOnSides(guest, 1, () => {}, watch);
  await assert.rejects(trial, /crc has the result 2 on icount, and 1 on umbra/);
  assert.throws(() => workOf(guest, says('start crc', 'end crc')), /has not said "result"/);
});
