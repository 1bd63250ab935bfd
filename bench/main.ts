/**
 * `npm run bench -- NAME [ROW]... [--rounds N] [--kind kill|silence] [--vms N] [--json]`: measures,
 * and prints one document.
 *
 * Every bench runs all sides of its comparison in turn, in the same run, and only ratios are worth
 * comparing between machines. Names of rows narrow it. Exit 1 if a side fails, 2 on wrong usage.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Bench } from './bench.ts';

// Daemons and VM processes that an operator starts have such a folder, too (bin/umbra.mjs).
process.env['NODE_COMPILE_CACHE'] ??= resolve(import.meta.dirname, '../.cache/compile');

type Known = readonly [what: string, load: () => Promise<Bench>];

const benches: Readonly<Record<string, Known>> = {
  cpu: [
    'bare kernels and system work, beside QEMU',
    async () => (await import('./machine/cpu.ts')).cpu,
  ],
  boot: [
    'the image tiny to its shell, beside QEMU',
    async () => (await import('./machine/boot.ts')).boot,
  ],
  programs: [
    "Debian's own programs, beside QEMU",
    async () => (await import('./machine/programs.ts')).programs,
  ],
  record: [
    'with recording and without; each recording replayed',
    async () => (await import('./machine/record.ts')).record,
  ],
  timeline: [
    'seeking in a recording of a working Debian, and steps back',
    async () => (await import('./machine/timeline.ts')).timeline,
  ],
  debian: [
    'a Debian with systemd: memory and slices',
    async () => (await import('./machine/debian.ts')).debian,
  ],
  ft: ['protected and unprotected', async () => (await import('./cluster/ft.ts')).ft],
  network: [
    'network in and out, protected and unprotected, beside QEMU',
    async () => (await import('./cluster/network.ts')).network,
  ],
  failover: [
    'a host is killed, or frozen (--kind silence), under a client',
    async () => (await import('./cluster/failover.ts')).failover,
  ],
  snapshot: [
    'a shadow for 2 GiB of RAM',
    async () => (await import('./cluster/snapshot.ts')).snapshot,
  ],
  scale: [
    'idle protected VMs on two hosts (--vms, 20)',
    async () => (await import('./cluster/scale.ts')).scale,
  ],
};

function usage(problem?: string): never {
  if (problem !== undefined) console.error(problem);
  const lines = Object.entries(benches).map(([name, [what]]) => `  ${name.padEnd(10)}${what}`);
  console.error(
    [
      'usage: npm run bench -- NAME [ROW]... [--rounds N] [--kind kill|silence] [--vms N] [--json]',
      ...lines,
      'A ROW of a bench narrows it; one that it does not have is answered with those that it has.',
    ].join('\n'),
  );
  process.exit(2);
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: 'string' },
        kind: { type: 'string' },
        vms: { type: 'string' },
        json: { type: 'boolean' },
      },
    });
  } catch (error) {
    return usage((error as Error).message);
  }
}

function positive(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  return usage(`--${option} takes a positive number, not "${text}".`);
}

const { positionals, values } = parse();
const [name = '', ...only] = positionals;
const known = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (known === undefined) usage();
const rounds = positive('rounds', values.rounds);
const vms = positive('vms', values.vms);
const { kind } = values;
if (kind !== undefined && kind !== 'kill' && kind !== 'silence') {
  usage(`--kind is kill or silence, not "${kind}".`);
}
if (kind !== undefined && name !== 'failover') usage('--kind is an option of failover.');
if (vms !== undefined && name !== 'scale') usage('--vms is an option of scale.');
const progress = (line: string): void => {
  if (process.stderr.isTTY) console.error(line);
};
try {
  const bench = await known[1]();
  const unknown = only.filter((row) => !bench.rows.includes(row));
  if (unknown.length > 0) {
    const rows = bench.rows.length === 0 ? 'it has none' : `its rows are ${bench.rows.join(', ')}`;
    usage(`${name} has no row ${unknown.join(', ')}; ${rows}.`);
  }
  const document = await bench.measure({ rounds, only, kind, vms, progress });
  console.log(values.json ? JSON.stringify(document) : bench.show(document as never));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
