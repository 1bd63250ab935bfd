/**
 * More of turmoil.test.ts: `node tests/machine/soak.ts [--seed N] [--minutes M]`.
 *
 * Prints one line for each seed that fails, with the first instruction behind which two machines
 * differ where stepping shows it. Exit 1 if any failed.
 */
import { parseArgs } from 'node:util';
import { SeededRandom } from '../../src/base/random.ts';
import { makeReferenceEngine } from '../../src/engine/reference.ts';
import { firstDifference } from './difference.ts';
import { drive, guestMaker } from './machines.ts';
import { agree, plain, scenario, variants } from './scenarios.ts';

const { values } = parseArgs({
  options: { seed: { type: 'string' }, minutes: { type: 'string' } },
});
const first = Number(values.seed ?? 1);
const end = performance.now() + Number(values.minutes ?? 1) * 60_000;

let seed = first;
for (; performance.now() < end; seed++) {
  const random = new SeededRandom(seed, 2);
  const run = scenario(seed, random.between(1, 8), random.between(10, 100), random.between(5, 400));
  const { events, guest } = run;
  try {
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
