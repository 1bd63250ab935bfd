/**
 * Umbra's board under the same conditions as QEMU's: the twin of `runOnQemu`. The guest takes the
 * place of the firmware, so that every hart starts at the first byte of RAM in M-mode.
 *
 * The clock is the test's own: a fixed rate while harts run, and a leap to the next timer when all
 * of them wait. So a run is the same every time, whatever the test machine does meanwhile.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { bareBoard } from '../../src/board/bare-board.fixture.ts';
import { loadKernel } from '../../src/board/kernel.ts';
import { virtMachineMaker } from '../../src/board/virt.ts';
import { ramBase } from '../../src/machine/layout.ts';
import type { Machine } from '../../src/machine/machine.ts';
import type { QemuOptions } from './qemu.ts';

const sliceMax = 1_000_000n;
const countMax = 2_000_000_000n;
/** One tick of 100 ns for ten instructions. */
const rate = Math.floor(2 ** 24 / 10);

/** The segments of an ELF file as the flat image that they make in RAM. */
export function flatImage(elf: string): Uint8Array {
  const { segments } = loadKernel(readFileSync(elf), ramBase);
  const image = new Uint8Array(Math.max(...segments.map((s) => s.offset + s.bytes.length)));
  for (const { offset, bytes } of segments) image.set(bytes, offset);
  return image;
}

export function umbraMachine(elf: string, options: QemuOptions): Machine {
  const image = flatImage(elf);
  const board = bareBoard(image, {
    hartCount: options.harts ?? 1,
    ramBytes: (options.memoryMb ?? 128) * 2 ** 20,
    kernel: image,
  });
  return virtMachineMaker(board).powerOn();
}

export interface UmbraRun {
  readonly output: string;
  readonly count: bigint;
  readonly fingerprint: bigint;
}

/** Runs an ELF file until it powers off; how it is sliced must not show in anything returned. */
export function runOnUmbra(elf: string, options: QemuOptions = {}, slice = sliceMax): UmbraRun {
  const machine = umbraMachine(elf, options);
  const clock = (time: bigint): void =>
    machine.apply({ kind: 'clock', time, rate, span: 2 ** 32 - 1 });
  let output = '';
  clock(0n);
  for (;;) {
    const stop = machine.run(machine.count + slice);
    for (const one of machine.takeOutputs()) {
      if (one.kind === 'console') output += Buffer.from(one.bytes).toString('latin1');
    }
    if (stop === 'off') {
      return { output, count: machine.count, fingerprint: machine.fingerprint() };
    }
    if (stop === 'idle') {
      const { wakeTime } = machine;
      assert.ok(wakeTime !== undefined, `every hart waits for ever:\n${output}`);
      clock(wakeTime);
    }
    assert.ok(machine.count < countMax, `still running after ${countMax} instructions:\n${output}`);
  }
}
