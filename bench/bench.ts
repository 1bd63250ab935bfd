/** What a bench is to the command that runs it. */
import type { FaultKind } from '../src/cli/demo/failover.ts';

export interface BenchOptions {
  /** How often each side runs; without it each bench has its own number. */
  readonly rounds: number | undefined;
  /** Only the rows of these names; empty: all. */
  readonly only: readonly string[];
  /** Which fault; only `failover` has a choice. */
  readonly kind?: FaultKind | undefined;
  /** How many VMs; only `scale` has a choice. */
  readonly vms?: number | undefined;
  /** Where progress goes; never standard output. */
  readonly progress: (line: string) => void;
}

export interface Bench {
  /** Names of its rows. */
  readonly rows: readonly string[];
  measure(options: BenchOptions): Promise<unknown>;
  /** The document for people. */
  show(document: never): string;
}

/** The rows that were asked for, in their own order. */
export const chosen = <Row extends { readonly name: string }>(
  rows: readonly Row[],
  { only }: BenchOptions,
): readonly Row[] => rows.filter(({ name }) => only.length === 0 || only.includes(name));
