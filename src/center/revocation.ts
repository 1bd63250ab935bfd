/**
 * How a daemon stops being a member, for good. Removed: the operator's word that nothing of it runs
 * any more. Revoked: whatever runs there, nobody believes it any more.
 *
 * From that moment on its certificate is refused at the center; every connected host is told its id,
 * closes trunks and log channels with it and accepts no new ones. A shadow of its VMs goes live, a
 * primary that had its shadow there goes on alone; what only ran there counts as ended. A host that
 * is not connected itself hears of it when it is back.
 */
import { UmbraError } from '../base/errors.ts';
import type { Cluster } from './cluster.ts';
import type { Daemon } from './inventory.ts';

export async function removeHost(cluster: Cluster, name: string): Promise<void> {
  const daemon = cluster.inventory.findDaemon(name);
  const runs = cluster.agents.get(daemon.id)?.copies.size ?? 0;
  if (runs > 0) {
    throw new UmbraError(
      'host-busy',
      `${daemon.name} is connected and runs ${runs} VM ${runs === 1 ? 'copy' : 'copies'}`,
      'Stop its daemon, or power its VMs off, then remove it; if it is not to be trusted: umbra host revoke.',
    );
  }
  await leave(cluster, daemon, 'removed', 'it has been removed from the cluster');
}

export async function revokeHost(cluster: Cluster, name: string): Promise<void> {
  const daemon = cluster.inventory.findDaemon(name);
  await leave(cluster, daemon, 'revoked', 'its certificate has been revoked');
}

async function leave(
  cluster: Cluster,
  { id, name }: Daemon,
  how: 'removed' | 'revoked',
  why: string,
): Promise<void> {
  const { store, inventory, events, alarms, agents, arbiter } = cluster;
  store.transaction(() => {
    inventory.revokeDaemon(id, name, how);
    alarms.forget(id);
    events.add(`host-${how}`, `${name} has been ${how}`, { host: name });
  });
  agents.expel(id, `host-${how}`, why);
  cluster.daemonConnections.close(id);
  cluster.announcePeers();
  await arbiter.forgetHost(id);
  cluster.evaluateAll();
}
