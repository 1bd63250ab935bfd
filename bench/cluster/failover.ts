/**
 * `failover`: the host of a protected VM is taken away, round after round, while a client counts over
 * one connection through the published port (src/cli/demo/failover.ts); the host comes back after
 * each round.
 *
 * Three hosts, so that the VM is protected again before the lost one is back. `gapMs` is the longest
 * interval between replies that touches the five seconds after the fault, `interruptionMs` the one in
 * which the other copy went live; `detectMs` from the fault to the arbiter's decision,
 * `reprotectedMs` from the fault to the next shadow's eligibility, both by the center's events.
 */
import type { EventView } from '../../src/api/views.ts';
import { CounterClient } from '../../src/cli/demo/counter-client.ts';
import { type FailoverReport, type FaultKind, failOver } from '../../src/cli/demo/failover.ts';
import type { Bench, BenchOptions } from '../bench.ts';
import { type Distribution, distribution, percentile } from '../statistics.ts';
import { onStage, type RedisVm, type Stage } from './stage.ts';

const roundsDefault = 5;
/** A wait is one between two replies. */
const repliesFirst = 100;

export interface WithTail extends Distribution {
  readonly p99: number;
}

export interface FailoverDocument {
  readonly kind: FaultKind;
  readonly rounds: number;
  readonly lost: number;
  readonly repeated: number;
  readonly connectionsReset: number;
  readonly gapMs: WithTail;
  /** The interval between replies in which the other copy went live: `gapMs` less what follows. */
  readonly interruptionMs: WithTail;
  readonly detectMs: WithTail;
  readonly reprotectedMs: WithTail;
  readonly divergences: number;
}

async function measure(options: BenchOptions): Promise<FailoverDocument> {
  const { kind = 'kill' } = options;
  const { reports, diverged } = await failOverAgainAndAgain(options);
  return documentOf(kind, reports, diverged);
}

/**
 * Round after round on one cluster, under one client.
 *
 * @throws when a round does not come to its end, or the client is cut off
 */
export async function failOverAgainAndAgain({
  rounds = roundsDefault,
  kind = 'kill',
  progress,
}: Pick<BenchOptions, 'rounds' | 'kind' | 'progress'>): Promise<{
  readonly reports: readonly FailoverReport[];
  /** How many divergences there have been. */
  readonly diverged: number;
  /** From the first fault to the end of the last round. */
  readonly seconds: number;
}> {
  return onStage({ hosts: 3, images: ['redis'] }, async (stage) => {
    const vm = await stage.startRedis({ ft: true });
    await vm.protected();
    progress('Redis answers and is protected');
    const client = await CounterClient.connect(vm.port);
    await stage.cluster.until('the client to count', () => client.replies >= repliesFirst);
    const reports: FailoverReport[] = [];
    const began = performance.now();
    for (let round = 1; round <= rounds; round++) {
      const report = await oneRound(stage, vm, client, kind);
      reports.push(report);
      const { from, to, gapMs, detectMs } = report;
      const what = `gap ${gapMs.toFixed(0)} ms, live elsewhere after ${detectMs.toFixed(0)} ms`;
      progress(`round ${round} of ${rounds}, ${from} to ${to}: ${what}`);
      if (client.problem !== undefined)
        throw new Error(`the client was cut off: ${client.problem}`);
    }
    const seconds = (performance.now() - began) / 1000;
    await client.stop();
    return { reports, diverged: await divergences(vm), seconds };
  });
}

async function oneRound(
  stage: Stage,
  vm: RedisVm,
  client: CounterClient,
  kind: FaultKind,
): Promise<FailoverReport> {
  return failOver(kind, {
    cluster: stage.cluster,
    vm: vm.name,
    client,
    status: () => vm.status(),
    restart: stage.startHost,
    say: () => {},
    by: String,
  });
}

/** By the center's events: statuses of copies that have gone are forgotten. */
async function divergences(vm: RedisVm): Promise<number> {
  let found = 0;
  let page: EventView[] = [];
  for (let after = 0; ; after = page.at(-1)!.sequence) {
    page = await vm.events(after);
    if (page.length === 0) return found;
    found += page.filter(({ kind }) => kind === 'ft-divergence').length;
  }
}

export function documentOf(
  kind: FaultKind,
  reports: readonly FailoverReport[],
  diverged: number,
): FailoverDocument {
  const sum = (of: (report: FailoverReport) => number): number =>
    reports.reduce((total, report) => total + of(report), 0);
  const spread = (values: readonly number[]): WithTail => ({
    ...distribution(values),
    p99: percentile(values, 0.99),
  });
  return {
    kind,
    rounds: reports.length,
    lost: sum(({ lost }) => lost),
    repeated: sum(({ repeated }) => repeated),
    connectionsReset: sum(({ connectionsReset }) => connectionsReset),
    gapMs: spread(reports.map(({ gapMs }) => gapMs)),
    interruptionMs: spread(reports.map(({ interruptionMs }) => interruptionMs)),
    detectMs: spread(reports.map(({ detectMs }) => detectMs)),
    reprotectedMs: spread(reports.map(({ reprotectedMs }) => reprotectedMs)),
    divergences: diverged,
  };
}

function show({ kind, rounds, lost, repeated, connectionsReset, ...figures }: FailoverDocument) {
  const line = (name: string, { median, p99, min, max }: WithTail): string =>
    name.padEnd(24) + [median, p99, min, max].map((ms) => ms.toFixed(0).padStart(10)).join('');
  return [
    `${rounds} rounds of ${kind}: ${lost} lost, ${repeated} repeated, ${connectionsReset} connections reset, ${figures.divergences} divergences`,
    `${'milliseconds'.padEnd(24)}    median       99 %       min       max`,
    line('client waits', figures.gapMs),
    line('of it the failover', figures.interruptionMs),
    line('live elsewhere', figures.detectMs),
    line('protected again', figures.reprotectedMs),
  ].join('\n');
}

export const failover: Bench = { rows: [], measure, show };
