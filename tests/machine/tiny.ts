/** The image `tiny` as a guest for tests and benches. */
import { readFile } from 'node:fs/promises';
import { UmbraError } from '../../src/base/errors.ts';
import type { VirtConfiguration } from '../../src/board/virt.ts';
import type { Image } from '../../src/images/image.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { builtImage } from '../images/built-image.ts';

export const tinyImage = (): Promise<Image> => builtImage('tiny');

/** Why there is no image, for tests that skip themselves then. */
export async function tinyMissing(): Promise<string | false> {
  try {
    await tinyImage();
    return false;
  } catch (error) {
    if (error instanceof UmbraError) return `no image: ${error.message}`;
    throw error;
  }
}

/** A board without disks and ports; what is not said is the same for everybody. */
export const tinyBoard = (
  kernel: Uint8Array,
  initrd: Uint8Array,
  bootArguments: string,
): VirtConfiguration => ({
  hartCount: 1,
  ramBytes: 128 << 20,
  kernel,
  initrd,
  bootArguments,
  disks: [],
  macs: [],
  epochOffset: 1_700_000_000n * 1_000_000_000n,
  randomSeed: new Uint8Array(32).fill(7),
});

export async function tinyConfiguration(
  own: Partial<VirtConfiguration> = {},
): Promise<VirtConfiguration> {
  const { kernelPath, initrdPath, append } = await tinyImage();
  const [kernel, initrd] = await Promise.all([readFile(kernelPath), readFile(initrdPath)]);
  return { ...tinyBoard(kernel, initrd, append), ...own };
}

/** What the console said until it said what was wanted, or until the machine went off. */
export interface Session {
  readonly text: string;
  readonly off: boolean;
}

/**
 * Runs until the console has said `wanted`. The clock is the test's own: a fixed rate while harts
 * run, a leap to the next timer while all of them wait; entropy is always the same.
 */
export function runUntil(machine: Machine, wanted: string, countMax: bigint): Session {
  const rate = Math.floor(2 ** 24 / 100);
  const span = 2 ** 32 - 1;
  let text = '';
  while (machine.count < countMax) {
    const stop = machine.run(machine.count + 1_000_000n);
    for (const output of machine.takeOutputs()) {
      if (output.kind === 'console') text += Buffer.from(output.bytes).toString('latin1');
      if (output.kind === 'entropy') {
        machine.apply({ kind: 'entropy', bytes: new Uint8Array(output.length).fill(5) });
      }
    }
    if (text.includes(wanted) || stop === 'off') return { text, off: stop === 'off' };
    if (stop !== 'idle') continue;
    const { wakeTime } = machine;
    if (wakeTime === undefined) throw new Error(`every hart waits for ever:\n${text}`);
    machine.apply({ kind: 'clock', time: wakeTime, rate, span });
  }
  throw new Error(`not within ${countMax} counts: ${wanted}\n${text}`);
}

export const typed = (machine: Machine, line: string): void =>
  machine.apply({ kind: 'console', bytes: new TextEncoder().encode(`${line}\n`) });
