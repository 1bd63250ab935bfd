/**
 * A run that is the same everywhere: guests with inputs at fixed counts. Prints one line per mark,
 * `name count fingerprint`. Started by architecture.test.ts on each architecture:
 * `node fixed-run.ts KERNEL INITRD APPEND COUNTS`.
 */
import { readFileSync } from 'node:fs';
import { SeededRandom } from '../../src/base/random.ts';
import { virtMachineMaker } from '../../src/board/virt.ts';
import { hostEngine } from '../../src/host/engine.ts';
import { loopGuest } from './loops.ts';
import { drive, type Event, guestMaker } from './machines.ts';
import { scenario } from './scenarios.ts';
import { tinyBoard } from './tiny.ts';
import { turmoilEvents } from './turmoil.ts';

const [kernel, initrd, bootArguments, counts] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
];

function print(name: string, marks: readonly string[]): void {
  for (const mark of marks) console.log(`${name} ${mark}`);
}

// Random code, with floating point of all kinds, in all modes.
for (const seed of [11, 12, 13, 14]) {
  const { events, guest } = scenario(seed, 1 + (seed % 3), 60, 400);
  print(`turmoil ${seed}`, drive(guestMaker(guest).powerOn(), events).marks);
}

// Loops, translated at once: what the host's compilers make of regions.
for (const seed of [21, 22, 23]) {
  const engine = hostEngine('translator', { codeBytesPerModule: 0 });
  const events = turmoilEvents(new SeededRandom(seed, 1), 20, 700);
  const guest = loopGuest(new SeededRandom(seed));
  print(`loops ${seed}`, drive(guestMaker(guest, engine).powerOn(), events).marks);
}

// Debian's kernel on two harts.
const random = new SeededRandom(1);
const events: Event[] = [];
const step = Number(counts) / 40;
for (let count = 0; count <= Number(counts); count += step) {
  const [ahead, rate] = [BigInt(random.below(2000)), random.between(100_000, 400_000)];
  events.push({
    count: BigInt(Math.floor(count)),
    input: random.chance(0.2)
      ? () => ({ kind: 'console', bytes: Uint8Array.of(13) })
      : ({ time }) => ({ kind: 'clock', time: time + ahead, rate, span: 2_000_000 }),
  });
}
const board = tinyBoard(readFileSync(kernel), readFileSync(initrd), bootArguments);
const maker = virtMachineMaker({ ...board, hartCount: 2 });
print('tiny', drive(maker.powerOn(), events).marks);
