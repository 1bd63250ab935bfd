/**
 * `npm run sim -- --seed N [--minutes M]`: one seed with its trace, or as many seeds as fit.
 * `--machine riscv` puts real machines with a bare-metal guest in the place of the toy.
 *
 * Exit 0: all rules held. Exit 1: a seed failed; it is printed, and the same seed fails again.
 */
import { parseArgs } from 'node:util';
import { type SimulationOptions, type SimulationResult, simulate } from './simulation.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string' },
    minutes: { type: 'string' },
    machine: { type: 'string', default: 'toy' },
    trace: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
  },
});

const first = Number(values.seed);
const deadline = Date.now() + Number(values.minutes ?? 0) * 60_000;
const count = values.seeds !== undefined ? Number(values.seeds) : values.minutes ? Infinity : 1;
if (
  !Number.isSafeInteger(first) ||
  Number.isNaN(deadline) ||
  Number.isNaN(count) ||
  !['toy', 'riscv'].includes(values.machine)
) {
  console.error(
    'usage: npm run sim -- --seed N [--minutes M | --seeds COUNT] [--machine riscv] [--trace] [--keep-going]',
  );
  process.exit(2);
}

/** The guest is compiled from the tests' folder, which the packed program does not have. */
async function optionsFor(seed: number): Promise<SimulationOptions> {
  if (values.machine !== 'riscv') return {};
  const fixture: string = './counter.fixture.ts';
  const { counterMaker } = await import(fixture);
  return { maker: counterMaker(seed) };
}

const total = {
  seeds: 0,
  seconds: 0,
  goLives: 0,
  coldStarts: 0,
  restarts: 0,
  answers: 0,
  failed: [] as number[],
};

function show(result: SimulationResult): void {
  for (const line of result.trace.slice(-200)) console.log(line);
  for (const violation of result.violations) console.log(`seed ${result.seed}: ${violation}`);
}

for (let seed = first; seed < first + count; seed++) {
  if (values.minutes !== undefined && Date.now() >= deadline) break;
  const result = simulate(seed, await optionsFor(seed));
  total.seeds++;
  total.seconds += result.simulatedSeconds;
  total.goLives += result.goLives;
  total.coldStarts += result.coldStarts;
  total.restarts += result.restarts;
  total.answers += result.answers;
  if (result.violations.length > 0) {
    total.failed.push(seed);
    if (!values['keep-going']) {
      show(result);
      break;
    }
    console.log(`seed ${seed}: ${result.violations[0]!.split('\n')[0]}`);
  } else if (values.trace) show(result);
}

const { seeds, seconds, goLives, coldStarts, restarts, answers, failed } = total;
console.log(
  `${seeds} seeds, ${Math.round(seconds)} simulated seconds, ${goLives} go-lives, ` +
    `${coldStarts} cold starts, ${restarts} restarts elsewhere, ${answers} answers, ${failed.length} failed`,
);
process.exit(failed.length > 0 ? 1 : 0);
