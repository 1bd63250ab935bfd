/**
 * `npm run bench -- NAME [--rounds N] [--json]`: measures, and prints one document.
 *
 * Every bench runs both sides of its comparison in turn, in the same run, and only ratios are worth
 * comparing between machines. Exit 1 if a side fails, 2 on wrong usage.
 */
import { parseArgs } from 'node:util';

export interface BenchOptions {
  readonly rounds: number | undefined;
  /** Where progress goes; never standard output. */
  readonly progress: (line: string) => void;
}

export interface Bench {
  measure(options: BenchOptions): Promise<unknown>;
  /** The document for people. */
  show(document: never): string;
}

const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  boot: async () => (await import('./machine/boot.ts')).boot,
};

function usage(): never {
  const names = Object.keys(benches).join('|');
  console.error(`usage: npm run bench -- ${names} [--rounds N] [--json]`);
  process.exit(2);
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { rounds: { type: 'string' }, json: { type: 'boolean' } },
    });
  } catch {
    return usage();
  }
}

const { positionals, values } = parse();
const load = benches[positionals[0] ?? ''];
const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
if (!load || positionals.length !== 1) usage();
if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) usage();
try {
  const bench = await load();
  const progress = (line: string): void => {
    if (process.stderr.isTTY) console.error(line);
  };
  const document = await bench.measure({ rounds, progress });
  console.log(values.json ? JSON.stringify(document) : bench.show(document as never));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
