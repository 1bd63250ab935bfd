/**
 * Who leads: with the embedded store this center, always; with etcd whichever takes the lease first.
 *
 * From: the store, which says when nobody leads or this center no more. To: the cluster, which
 * leads and resigns. A leader that has died is followed within its lease, three seconds, and a
 * little; failovers do not wait for that, since every center answers for the arbiter.
 */
import type { Cluster } from './cluster.ts';
import { EtcdStore } from './store/etcd-store.ts';
import type { Store } from './store/store.ts';

/** In case that nobody says anything: etcd was away when the lead was free. */
const tryAgainMs = 1_000;

/**
 * The first attempt is over when this returns.
 * @param url where this center is reached
 * @param isFirstStart of an embedded store: nobody can know better
 * @returns how to stop taking part
 */
export async function takePart(
  store: Store,
  cluster: Cluster,
  url: string,
  isFirstStart: boolean,
): Promise<() => void> {
  if (!(store instanceof EtcdStore)) {
    await cluster.arbiter.open(isFirstStart);
    cluster.lead();
    return () => {};
  }
  await store.announce(url);
  const part = new Part(store, cluster, url);
  await part.campaign();
  return () => part.stop();
}

class Part {
  readonly #store: EtcdStore;
  readonly #cluster: Cluster;
  readonly #url: string;
  readonly #again: NodeJS.Timeout;
  #busy = false;

  constructor(store: EtcdStore, cluster: Cluster, url: string) {
    this.#store = store;
    this.#cluster = cluster;
    this.#url = url;
    store.onLeader = () => void this.campaign();
    store.onLost = () => cluster.resign();
    this.#again = setInterval(() => void this.campaign(), tryAgainMs);
  }

  async campaign(): Promise<void> {
    if (this.#busy || this.#store.leads) return;
    this.#busy = true;
    try {
      if (!(await this.#store.campaign())) return;
      await this.#cluster.arbiter.open(this.#store.epoch === 0);
      this.#cluster.events.add('center-leads', `the center at ${this.#url} leads`);
      this.#cluster.lead();
    } catch {
      // The lead is lost again, or etcd is away: the lease sees to the rest.
    } finally {
      this.#busy = false;
    }
  }

  stop(): void {
    clearInterval(this.#again);
    this.#store.onLeader = () => {};
  }
}
