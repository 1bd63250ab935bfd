/**
 * A new epoch: the arbiter decides nothing about a VM before the hosts concerned have registered what
 * they know (docs/decisions/arbiter.md). A process of the VM hears of it by itself; where none is,
 * its host has to be asked.
 */
import { unheardOf } from '../lockstep/arbiter.ts';
import type { Cluster } from './cluster.ts';

/** Repeated until the arbiter has heard everybody; does nothing otherwise. */
export function askWhatIsKnown({ arbiter, agents }: Cluster, vm: string): void {
  const entry = arbiter.entry(vm);
  if (entry?.recovery === undefined) return;
  for (const host of unheardOf(entry)) {
    const connection = agents.get(host);
    if (connection === undefined || connection.copies.has(vm) || connection.protocol < 3) continue;
    connection.command({ kind: 'register', vm, epoch: entry.record.epoch });
  }
}
