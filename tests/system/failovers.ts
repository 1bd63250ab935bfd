/**
 * `node tests/system/failovers.ts [--rounds N] [--kind kill|silence] [--json]`: the host of whichever
 * copy is live is taken away, N times in a row (20 if not told), and comes back each time. Real
 * processes, one cluster, one client that counts over one connection.
 *
 * Prints one document: the figures of `npm run bench -- failover`, whether they hold, and each round
 * by itself. Exit 0 if nothing was lost, repeated, reset or diverged and each round ended protected
 * in time; 1 otherwise, with what did not hold; 2 on wrong usage. Progress on standard error.
 */
import { parseArgs } from 'node:util';
import {
  documentOf,
  type FailoverDocument,
  failOverAgainAndAgain,
} from '../../bench/cluster/failover.ts';
import type { FailoverReport, FaultKind } from '../../src/cli/demo/failover.ts';

/** Two shared cores start the new shadow's process; SPECIFICATION.md has what was seen. */
const reprotectedMsMax = 60_000;

export interface FailoversDocument extends FailoverDocument {
  readonly ok: boolean;
  /** What did not hold, in words. */
  readonly problems: readonly string[];
  /** From the first fault to the end of the last round. */
  readonly seconds: number;
  /** The share of that time in which no client waited for a failover (docs/availability.md). */
  readonly availability: number;
  readonly failovers: readonly FailoverReport[];
}

/** @returns what a document of such rounds may not have */
export function problemsOf(reports: readonly FailoverReport[], diverged: number): string[] {
  const found = diverged === 0 ? [] : [`${diverged} divergences`];
  for (const [index, report] of reports.entries()) {
    const { from, to, lost, repeated, connectionsReset, requestsAfter, reprotectedMs } = report;
    const say = (what: string) => found.push(`round ${index + 1}, ${from} to ${to}: ${what}`);
    if (lost > 0) say(`${lost} acknowledged requests lost`);
    if (repeated > 0) say(`${repeated} requests carried out twice`);
    if (connectionsReset > 0) say('the connection was reset');
    if (requestsAfter === 0) say('no reply after the fault');
    if (from === to) say('the VM did not move');
    if (reprotectedMs > reprotectedMsMax) say(`protected again only after ${reprotectedMs} ms`);
    const before = reports[index - 1];
    if (before !== undefined && before.to !== from) say(`it was live on ${before.to} before`);
  }
  return found;
}

function usage(problem: string): never {
  console.error(problem);
  console.error(
    'usage: node tests/system/failovers.ts [--rounds N] [--kind kill|silence] [--json]',
  );
  process.exit(2);
}

function parse(): { readonly rounds: number; readonly kind: FaultKind; readonly json: boolean } {
  const options = {
    rounds: { type: 'string', default: '20' },
    kind: { type: 'string', default: 'kill' },
    json: { type: 'boolean', default: false },
  } as const;
  let values: { rounds: string; kind: string; json: boolean };
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    return usage((error as Error).message);
  }
  const { kind, json } = values;
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    return usage(`--rounds takes a positive number, not "${values.rounds}".`);
  }
  if (kind !== 'kill' && kind !== 'silence') {
    return usage(`--kind is kill or silence, not "${kind}".`);
  }
  return { rounds, kind, json };
}

async function main(): Promise<void> {
  const { rounds, kind, json } = parse();
  const progress = (line: string): void => console.error(line);
  const { reports, diverged, seconds } = await failOverAgainAndAgain({ rounds, kind, progress });
  const problems = problemsOf(reports, diverged);
  const figures = documentOf(kind, reports, diverged);
  const waitedMs = reports.reduce((sum, { gapMs }) => sum + gapMs, 0);
  const document: FailoversDocument = {
    ok: problems.length === 0,
    problems,
    ...figures,
    seconds: Math.round(seconds * 10) / 10,
    availability: Math.round((1 - waitedMs / 1000 / seconds) * 1e5) / 1e5,
    failovers: reports,
  };
  console.log(json ? JSON.stringify(document) : JSON.stringify(document, undefined, 2));
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}

if (import.meta.main) await main();
