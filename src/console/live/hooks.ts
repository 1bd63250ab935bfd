/** What pages read: each hook gives what is known now and shows again when just that has changed. */
import { createContext, use, useCallback, useSyncExternalStore } from 'react';
import type { EndpointName } from '../../api/endpoints.ts';
import { endpoints } from '../../api/endpoints.ts';
import type { CapacityView, HostFigures, LiveTable, VmFigures } from '../../api/live.ts';
import type { SessionView } from '../../api/people.ts';
import { mayAct, type Role } from '../../api/roles.ts';
import type { EventView, HostView, VmView } from '../../api/views.ts';
import type { ClusterLink } from './cluster.ts';
import type { Observed } from './observed.ts';
import type { Center, Rows } from './store.ts';

const Context = createContext<ClusterLink | undefined>(undefined);
export const ClusterProvider = Context.Provider;

export function useCluster(): ClusterLink {
  const link = use(Context);
  if (link === undefined) throw new Error('outside of ClusterProvider');
  return link;
}

export function useObserved<T>(observed: Observed<T>): T {
  return useSyncExternalStore(observed.watch, () => observed.value);
}

function useTopic<T>(topic: string, read: () => T): T {
  const { store } = useCluster();
  const watch = useCallback((watcher: () => void) => store.watch(topic, watcher), [store, topic]);
  return useSyncExternalStore(watch, read);
}

export function useList<T extends LiveTable>(table: T): readonly Rows[T][] {
  const { store } = useCluster();
  return useTopic(table, () => store.list(table));
}

/** By name, as it is in paths. */
export function useVm(name: string): VmView | undefined {
  return useList('vms').find((vm) => vm.name === name);
}

export function useHost(name: string): HostView | undefined {
  return useList('hosts').find((host) => host.name === name);
}

/** @param id of the VM */
export function useVmFigures(id: string): VmFigures | undefined {
  const { store } = useCluster();
  return useTopic(`vmFigures/${id}`, () => store.vmFigures(id));
}

/** The least of these VMs' log channels, in milliseconds; null: not known. @param ids of VMs */
export function useLogRoundTrip(ids: readonly string[]): number | null {
  const { store } = useCluster();
  return useTopic('beat', () => {
    const known = ids
      .map((id) => store.vmFigures(id)?.logRoundTripMs ?? null)
      .filter((value) => value !== null);
    return known.length === 0 ? null : Math.min(...known);
  });
}

/** @param id of the host */
export function useHostFigures(id: string): HostFigures | undefined {
  const { store } = useCluster();
  return useTopic(`hostFigures/${id}`, () => store.hostFigures(id));
}

export const useCapacity = (): CapacityView => useObserved(useCluster().store.capacity);
export const useCenter = (): Center | undefined => useObserved(useCluster().store.center);

/** The last events, oldest first. */
export const useEvents = (): readonly EventView[] => useObserved(useCluster().events);

/** Whoever is logged in; also while the session is interrupted. */
export function useSession(): SessionView {
  const state = useObserved(useCluster().session);
  if (!('session' in state)) throw new Error('nobody is logged in');
  return state.session;
}

export const useMay = (needed: Role): boolean => mayAct(useSession().role, needed);

/** The least role that may call this endpoint, if it is not the caller's. */
export function useMissingRole(name: EndpointName): Role | undefined {
  const { access } = endpoints[name];
  const { role } = useSession();
  if (access === 'anyone' || access === 'daemon') return undefined;
  return mayAct(role, access) ? undefined : access;
}
