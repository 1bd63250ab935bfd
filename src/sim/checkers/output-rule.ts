/**
 * The output rule: while the arbiter has a shadow as eligible, nothing leaves the live copy that this
 * shadow could not repeat from what it has received.
 */
import type { Output } from '../../machine/effects.ts';
import type { Cluster } from '../cluster.ts';
import type { Process } from '../process.ts';
import { Checker } from './checker.ts';

export class OutputRule extends Checker {
  override released(cluster: Cluster, from: Process, output: Output): void {
    // A recovering arbiter knows nothing yet and grants nothing either.
    if (cluster.entry.recovery !== undefined) return;
    const { live, eligibleShadow } = cluster.entry.record;
    if (eligibleShadow === undefined || live?.process !== from.member.process) return;
    const shadow = cluster.processes.find(
      ({ member }) => member.process === eligibleShadow.process,
    );
    if (shadow?.frontier !== undefined && shadow.frontier >= output.count) return;
    const text = `${from.name} released a ${output.kind} of count ${output.count}`;
    cluster.violation('output-rule', `${text}; ${shadow?.name} has ${shadow?.frontier}`);
  }
}
