/**
 * Maintenance: a host is emptied, and stays so until it is said to be ready again.
 *
 * The wish is in the store with the host; whoever looks (every tick of the cluster, after a restart
 * of the center, too) sees what is still there and moves it: live copies by migration (migration.ts),
 * shadows by moving them. One copy at a time, so that a small cluster is not swamped. What cannot be
 * moved says why, and is tried again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { UmbraError } from '../base/errors.ts';
import type { Cluster } from './cluster.ts';
import type { Daemon, Vm } from './inventory.ts';
import { migrateVm } from './migration.ts';
import { choose } from './placement.ts';
import { liveOf, needOf } from './protection.ts';
import { isProtected } from './wishes.ts';

export interface Remaining {
  readonly vm: string;
  readonly copy: 'live' | 'shadow';
  /** Why it could not be moved; null: on its way. */
  readonly why: string | null;
}

/** Between attempts at what could not be moved. */
const againMs = 1_000;
const lookMs = 20;
/** Hosts report a take-over at once; where there is no room for a shadow nobody waits for one. */
const placedMsMax = 1_000;
const shadowMsMax = 10 * 60_000;

export function setMaintenance(cluster: Cluster, name: string, on: boolean): Daemon {
  const daemon = cluster.inventory.daemon(cluster.hostNamed(name))!;
  if (daemon.maintenance === on) return daemon;
  const next = { ...daemon, maintenance: on, evacuated: false };
  cluster.store.transaction(() => {
    cluster.inventory.putDaemon(next);
    const kind = on ? 'host-maintenance-started' : 'host-maintenance-left';
    const text = on
      ? `${daemon.name} goes into maintenance: its VMs are moved away`
      : `${daemon.name} has left maintenance and takes VMs again`;
    cluster.events.add(kind, text, { host: daemon.name });
  });
  if (on) cluster.maintenance.look();
  else cluster.maintenance.stop(daemon.id);
  cluster.evaluateAll();
  return next;
}

export class Maintenance {
  readonly #cluster: Cluster;
  /** Evacuations that run, by host. */
  readonly #running = new Map<string, AbortController>();
  /** `HOST VM` -> why it could not be moved. */
  readonly #why = new Map<string, string>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Begins what is to be done; called again and again. */
  look(): void {
    for (const { id, maintenance } of this.#cluster.inventory.daemons) {
      if (!maintenance || this.#running.has(id)) continue;
      if (this.copiesOn(id).length === 0) this.#noteEmpty(id);
      else this.#run(id);
    }
  }

  stop(host: string): void {
    this.#running.get(host)?.abort();
    for (const key of this.#why.keys()) if (key.startsWith(`${host} `)) this.#why.delete(key);
  }

  /** This center leads no more: the next one begins anew. */
  close(): void {
    for (const controller of this.#running.values()) controller.abort();
    this.#running.clear();
    this.#why.clear();
  }

  remaining(host: string): Remaining[] {
    return this.copiesOn(host).map(({ vm, copy }) => {
      return { vm: vm.spec.name, copy, why: this.#why.get(`${host} ${vm.spec.id}`) ?? null };
    });
  }

  /** Copies that run there or are about to, as far as is known. */
  copiesOn(host: string): { readonly vm: Vm; readonly copy: 'live' | 'shadow' }[] {
    const { inventory, arbiter, agents } = this.#cluster;
    return inventory.vms.flatMap((vm): { vm: Vm; copy: 'live' | 'shadow' }[] => {
      const record = arbiter.entry(vm.spec.id)?.record;
      if (record?.live?.host === host) return [{ vm, copy: 'live' }];
      const isShadow = record?.eligibleShadow?.host === host;
      if (isShadow || agents.get(host)?.copies.has(vm.spec.id)) return [{ vm, copy: 'shadow' }];
      return [];
    });
  }

  #noteEmpty(host: string): void {
    const { inventory, store, events } = this.#cluster;
    const daemon = inventory.daemon(host);
    if (daemon === undefined || daemon.evacuated) return;
    store.transaction(() => {
      inventory.putDaemon({ ...daemon, evacuated: true });
      const text = `${daemon.name} is empty: maintenance may begin`;
      events.add('host-maintenance-entered', text, { host: daemon.name });
    });
  }

  #run(host: string): void {
    const controller = new AbortController();
    this.#running.set(host, controller);
    const name = this.#cluster.nameOf(host);
    const wish = { kind: 'evacuate-host', host: name, by: 'center', isCancellable: false };
    this.#cluster.tasks
      .run(wish, ({ signal, progress }) =>
        this.#evacuate(host, AbortSignal.any([signal, controller.signal]), progress),
      )
      .done.catch(() => {
        // Its host was removed, or the center is about to end; the next look finds out.
      })
      .finally(() => {
        if (this.#running.get(host) === controller) this.#running.delete(host);
      });
  }

  async #evacuate(
    host: string,
    signal: AbortSignal,
    progress: (fraction: number, message: string) => void,
  ): Promise<void> {
    const all = this.copiesOn(host).length;
    while (!signal.aborted && this.#cluster.inventory.daemon(host)?.maintenance) {
      const copies = this.copiesOn(host);
      if (copies.length === 0) return this.#noteEmpty(host);
      progress(Math.max(0, 1 - copies.length / all), `${copies.length} copies are still there`);
      let stuck = 0;
      for (const { vm, copy } of copies) {
        if (signal.aborted) return;
        const key = `${host} ${vm.spec.id}`;
        try {
          if (copy === 'live') {
            await migrateVm(this.#cluster, this.#now(vm), { signal });
            await this.#untilShadowPlaced(vm, signal);
          } else await this.#moveShadow(this.#now(vm), host, signal);
          this.#why.delete(key);
        } catch (error) {
          if (!(error instanceof UmbraError)) throw error;
          if (signal.aborted) return;
          stuck += 1;
          this.#why.set(key, error.message);
        }
      }
      if (stuck > 0) await sleep(againMs);
      else await sleep(lookMs);
    }
  }

  /** Its next shadow has a place before the next copy takes one: as a preview says (evacuation.ts). */
  async #untilShadowPlaced({ spec: { id } }: Vm, signal: AbortSignal): Promise<void> {
    const { inventory, arbiter } = this.#cluster;
    const isMissing = (): boolean => {
      const vm = inventory.vm(id);
      if (vm === undefined || !isProtected(vm)) return false;
      const { shadowHost } = vm;
      return shadowHost === undefined || shadowHost === arbiter.entry(id)?.record.live?.host;
    };
    for (const end = performance.now() + placedMsMax; isMissing() && !signal.aborted; ) {
      if (performance.now() > end) return;
      await sleep(lookMs);
    }
  }

  #now(vm: Vm): Vm {
    return this.#cluster.findVm(vm.spec.id);
  }

  /** To any host that can take it; without one it stays, since protection is worth more. */
  async #moveShadow(vm: Vm, host: string, signal: AbortSignal): Promise<void> {
    const cluster = this.#cluster;
    const { id, name } = vm.spec;
    const live = liveOf(cluster.situation(vm));
    const record = cluster.arbiter.certain(id);
    if (
      live !== undefined &&
      record?.eligibleShadow?.host === host &&
      vm.moveShadowTo === undefined
    ) {
      const others = cluster
        .hostStates(id)
        .filter((each) => each.id !== host && each.id !== live.member.host);
      const chosen = choose(others, needOf(vm), cluster.limits);
      if (chosen.host === undefined) {
        throw new UmbraError(
          'shadow-cannot-move',
          `no other host can take the shadow of ${name}: ${chosen.why}`,
          `Add a host, or suspend its protection: umbra ft suspend ${name}.`,
        );
      }
      const { id: target, name: to } = chosen.host;
      cluster.store.transaction(() => {
        cluster.inventory.putVm({ ...vm, moveShadowTo: target });
        const from = cluster.nameOf(host);
        const text = `the shadow of ${name} is taken from ${from}, which goes into maintenance, to ${to}`;
        cluster.events.add('ft-disabled-by-system', text, { vm: name, host: to, from });
      });
    }
    cluster.evaluate(id);
    const isThere = () => this.copiesOn(host).some((each) => each.vm.spec.id === id);
    const isGivenUp = () =>
      cluster.arbiter.certain(id)?.eligibleShadow?.host === host &&
      cluster.inventory.vm(id)?.moveShadowTo === undefined;
    for (const end = performance.now() + shadowMsMax; isThere() && !signal.aborted; ) {
      // Where it was to go has been lost; another look finds another place.
      if (isGivenUp()) return;
      if (performance.now() > end) {
        throw new UmbraError(
          'shadow-cannot-move',
          `the copy of ${name} has not left ${cluster.nameOf(host)}`,
          `See umbra vm events ${name}.`,
        );
      }
      await sleep(lookMs);
    }
  }
}
