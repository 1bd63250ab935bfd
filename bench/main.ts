/**
 * `npm run bench -- NAME [ROW]... [--rounds N] [--json]`: measures, and prints one document.
 *
 * Every bench runs all sides of its comparison in turn, in the same run, and only ratios are worth
 * comparing between machines. Names of rows narrow it. Exit 1 if a side fails, 2 on wrong usage.
 */
import { parseArgs } from 'node:util';
import type { Bench } from './bench.ts';

const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  cpu: async () => (await import('./machine/cpu.ts')).cpu,
  boot: async () => (await import('./machine/boot.ts')).boot,
  programs: async () => (await import('./machine/programs.ts')).programs,
  record: async () => (await import('./machine/record.ts')).record,
  debian: async () => (await import('./machine/debian.ts')).debian,
};

function usage(problem?: string): never {
  const names = Object.keys(benches).join('|');
  if (problem !== undefined) console.error(problem);
  console.error(`usage: npm run bench -- ${names} [ROW]... [--rounds N] [--json]`);
  process.exit(2);
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { rounds: { type: 'string' }, json: { type: 'boolean' } },
    });
  } catch (error) {
    return usage((error as Error).message);
  }
}

const { positionals, values } = parse();
const [name = '', ...only] = positionals;
const load = Object.hasOwn(benches, name) ? benches[name] : undefined;
const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
if (load === undefined) usage();
if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) {
  usage(`--rounds takes a positive number, not "${values.rounds}".`);
}
const progress = (line: string): void => {
  if (process.stderr.isTTY) console.error(line);
};
try {
  const bench = await load();
  const unknown = only.filter((row) => !bench.rows.includes(row));
  if (unknown.length > 0) {
    usage(`${name} has no row ${unknown.join(', ')}; its rows are ${bench.rows.join(', ')}.`);
  }
  const document = await bench.measure({ rounds, only, progress });
  console.log(values.json ? JSON.stringify(document) : bench.show(document as never));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
