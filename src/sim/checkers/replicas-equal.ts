/** Once the world is quiet, both replicas of a protected machine are the same, byte for byte. */
import type { Cluster } from '../cluster.ts';
import { Checker } from './checker.ts';

export class ReplicasEqual extends Checker {
  override atEnd(cluster: Cluster): void {
    const { live, eligibleShadow } = cluster.entry.record;
    const [primary, shadow] = [cluster.byMember(live), cluster.byMember(eligibleShadow)];
    if (primary === undefined || shadow === undefined) return;
    for (const [disk, shape] of cluster.options.disks.entries()) {
      if (shape.shared) continue;
      const [a, b] = [cluster.diskOf(primary, disk), cluster.diskOf(shadow, disk)];
      const differs = a.bytes.findIndex((byte, at) => byte !== b.bytes[at]);
      if (differs >= 0) {
        const text = `${primary.name} and ${shadow.name}, disk ${disk}, byte ${differs}`;
        cluster.violation('replicas-equal', text);
      }
    }
  }
}
