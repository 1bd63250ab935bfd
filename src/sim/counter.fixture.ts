/**
 * Real machines for the simulator: the board, engine and devices that users get, with the guest
 * tests/guests/counter.c as its firmware, which serves the toy's clients as the toy does.
 *
 * From: the seed, which decides harts, timer and load. To: `simulate`, in place of the toy. Only the
 * cross compiler is needed, once in a process.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileGuest } from '../../tests/oracle/compile.ts';
import { flatImage } from '../../tests/oracle/umbra.ts';
import { ByteWriter } from '../base/bytes.ts';
import { SeededRandom } from '../base/random.ts';
import { ramBytesMin, virtMachineMaker } from '../board/virt.ts';
import { blockBytes } from '../lockstep/messages.ts';
import type { MachineMaker } from '../machine/machine.ts';

export { compilerMissing } from '../../tests/oracle/compile.ts';

let image: Uint8Array | undefined;

/** The guest as it lies at the start of RAM. */
function counterImage(): Uint8Array {
  if (image === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'umbra-counter-'));
    image = flatImage(compileGuest('counter', folder));
    rmSync(folder, { recursive: true });
  }
  return image;
}

/** What one seed's machine is like; `simulate` says how many disks it has. */
export function counterMaker(seed: number): (disks: number) => MachineMaker {
  const random = new SeededRandom(seed);
  const hartCount = random.pick([1, 2]);
  // In ticks and in rounds of some 30 counts: seldom for long, often for a short while.
  const [period, burst] = random.pick([
    [40_000, 100],
    [200_000, 2_000],
    [1_000_000, 20_000],
  ] as const);
  const parameters = new ByteWriter(64).u64(BigInt(period)).u64(BigInt(burst));
  parameters.u64(BigInt(hartCount)).raw(new Uint8Array(40));
  const kernel = parameters.finish();
  const randomSeed = random.bytes(32);
  return (disks) =>
    virtMachineMaker({
      hartCount,
      ramBytes: ramBytesMin,
      bios: counterImage(),
      kernel,
      bootArguments: '',
      // No disk of the cluster is smaller; each client needs one sector of it.
      disks: Array.from({ length: disks }, () => blockBytes),
      macs: [Uint8Array.of(0x52, 0x54, 0, 0, 0, 1)],
      epochOffset: 0n,
      randomSeed,
    });
}
