/** How a host is connected with others: trunks of the switches, and log channels of pairs. Pure. */
import type { HostView, VmView } from '../../../api/views.ts';

export interface HostLink {
  /** By name. */
  readonly peer: string;
  /** null: it is down. */
  readonly trunk: { readonly roundTripMs: number | null } | null;
  /** VMs whose log goes there, and whose log comes from there; ids. */
  readonly out: readonly string[];
  readonly in: readonly string[];
}

/** In the order of the hosts. @returns a row for each other host and gateway */
export function linksOf(
  host: HostView,
  hosts: readonly HostView[],
  vms: readonly VmView[],
): readonly HostLink[] {
  const logs = (from: string, to: string) =>
    vms.filter(({ ft }) => ft.primary?.host === from && ft.shadow?.host === to).map(({ id }) => id);
  return hosts
    .filter(({ name }) => name !== host.name)
    .map(({ name: peer, trunks }) => {
      // Both ends tell of it; one may not have been heard for a while.
      const own = host.trunks.find((trunk) => trunk.peer === peer);
      const theirs = trunks.find((trunk) => trunk.peer === host.name);
      return {
        peer,
        trunk: own ?? theirs ?? null,
        ...{ out: logs(host.name, peer), in: logs(peer, host.name) },
      };
    });
}
