/**
 * More of turmoil.test.ts and translated.test.ts, for as long as wanted, with the interpreter and the
 * reference engine as judges: `node tests/machine/soak.ts [--seed N] [--minutes M]`.
 *
 * Prints one line for each seed that fails, with the first instruction behind which two machines
 * differ where stepping shows it. Exit 1 if any failed.
 */
import { parseArgs } from 'node:util';
import { SeededRandom } from '../../src/base/random.ts';
import { makeReferenceEngine } from '../../src/engine/reference.ts';
import { eagerEngine, makeInterpreter } from '../../src/engine/wasm-engine.ts';
import { firstDifference } from './difference.ts';
import { loopGuest } from './loops.ts';
import { drive, guestMaker, sliced, translatingEngine } from './machines.ts';
import { agree, plain, scenario, variants } from './scenarios.ts';
import { turmoilEvents } from './turmoil.ts';

const { values } = parseArgs({
  options: { seed: { type: 'string' }, minutes: { type: 'string' } },
});
const first = Number(values.seed ?? 1);
const end = performance.now() + Number(values.minutes ?? 1) * 60_000;

/** Guests of loops, translated: at once, and dropped and made again between short slices. */
function loops(seed: number, random: SeededRandom): void {
  const guest = loopGuest(new SeededRandom(seed));
  const events = turmoilEvents(new SeededRandom(seed, 1), 40, random.between(20, 2000));
  const expected = drive(guestMaker(guest, makeInterpreter).powerOn(), events);
  const eager = eagerEngine(2, { codeBytesPerModule: 0, codeBytesPerRun: 1 << 30 });
  for (const [name, engine] of [
    ['loops, translated at once', eager],
    ['loops, translated and dropped', translatingEngine(random)],
  ] as const) {
    const slicer = sliced(random, random.pick([30, 300, 5000]));
    agree(seed, name, expected, drive(guestMaker(guest, engine).powerOn(), events, { slicer }));
  }
  const few = events.filter(({ count }) => count < 3000n);
  const reference = drive(guestMaker(guest, makeReferenceEngine).powerOn(), few);
  agree(seed, 'loops, reference', drive(guestMaker(guest, eager).powerOn(), few), reference);
}

let seed = first;
for (; performance.now() < end; seed++) {
  const random = new SeededRandom(seed, 2);
  const run = scenario(seed, random.between(1, 8), random.between(10, 100), random.between(5, 400));
  const { events, guest } = run;
  try {
    loops(seed, random);
    const expected = plain(run);
    for (const [name, vary] of Object.entries(variants))
      agree(seed, name, expected, vary(run, random));
    const slow = guestMaker(guest, makeReferenceEngine);
    const few = events.filter(({ count }) => count < 6000n);
    const reference = drive(slow.powerOn(), few);
    agree(seed, 'reference', drive(guestMaker(guest).powerOn(), few), reference);
  } catch (error) {
    process.exitCode = 1;
    console.log(`seed ${seed}: ${error instanceof Error ? error.message : error}`);
    const slow = guestMaker(guest, makeReferenceEngine);
    console.log(firstDifference(guestMaker(guest), slow, events, 16 << 20) ?? 'not when stepped');
  }
}
console.log(`seeds ${first} to ${seed - 1} tried`);
