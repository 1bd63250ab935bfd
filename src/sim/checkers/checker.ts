/**
 * What a checker sees. Each watches one rule and names it; none knows how lockstep works inside,
 * only what leaves and what the arbiter has recorded.
 */
import type { Report } from '../../lockstep/status.ts';
import type { Output } from '../../machine/effects.ts';
import type { Cluster } from '../cluster.ts';
import type { Process } from '../process.ts';

export abstract class Checker {
  /** An output has left a process for good. */
  released(_cluster: Cluster, _from: Process, _output: Output): void {}
  /** A shadow has become live. */
  wentLive(_cluster: Cluster, _process: Process): void {}
  /** A lease has ended, and the machine has been started elsewhere. */
  restarted(_cluster: Cluster, _process: Process): void {}
  reported(_cluster: Cluster, _from: Process, _report: Report): void {}
  /** The world is quiet: faults healed, clients stopped. */
  atEnd(_cluster: Cluster): void {}
}
