/** Two executions of one log are equal: a divergence is always a mistake in lockstep or machine. */
import type { Report } from '../../lockstep/status.ts';
import type { Cluster } from '../cluster.ts';
import type { Process } from '../process.ts';
import { Checker } from './checker.ts';

export class NoDivergence extends Checker {
  override reported(cluster: Cluster, from: Process, report: Report): void {
    if (report.kind !== 'divergence') return;
    const { position, expected, actual } = report.divergence;
    const text = `${from.name} at entry ${position}: ${expected}, but ${actual}`;
    cluster.violation('no-divergence', text);
  }
}
