/**
 * Two VMs in turns, where a machine's speed drifts within a minute by more than is to be seen: one
 * that is measured with protection and without, and one beside it that is never protected. What the
 * first one takes in proportion to the other is the first one's own.
 */
import { mean, meanOfLeast } from '../statistics.ts';

export interface Turns<T> {
  readonly own: readonly T[];
  readonly beside: readonly T[];
}

/** One after the other, and the other way round. */
export async function inTurns<T>(
  turns: number,
  own: () => Promise<T>,
  beside: () => Promise<T>,
): Promise<Turns<T>> {
  const seen: { own: T[]; beside: T[] } = { own: [], beside: [] };
  for (let turn = 0; turn < turns; turn++) {
    if (turn % 2 === 0) seen.own.push(await own());
    seen.beside.push(await beside());
    if (turn % 2 === 1) seen.own.push(await own());
  }
  return seen;
}

/** The mean of the one over that of the VM beside. */
export const overBeside = <T>({ own, beside }: Turns<T>, of: (one: T) => number): number =>
  mean(own.map(of)) / mean(beside.map(of));

/** What is left of a side's turns where a machine has stretches in which all of it is slow. */
const quietShare = 1 / 4;

/** The same of the fastest quarter of either one's turns. */
export const quietOverBeside = <T>({ own, beside }: Turns<T>, of: (one: T) => number): number =>
  meanOfLeast(own.map(of), quietShare) / meanOfLeast(beside.map(of), quietShare);
