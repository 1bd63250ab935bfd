/**
 * Where the copies on a host would go now. Asked again when something has changed that placement
 * looks at: which copies are where, which hosts are there, how much room they have.
 */
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import type { EvacuationView } from '../../../api/lifecycle-views.ts';
import { useCluster, useList } from '../../live/hooks.ts';

export function usePreview(host: string): {
  readonly preview: EvacuationView | undefined;
  readonly error: unknown;
} {
  const { client } = useCluster();
  const hosts = useList('hosts');
  const vms = useList('vms');
  const depends = useMemo(() => {
    const rooms = hosts.map(({ name, state, memoryFreeBytes }) => [name, state, memoryFreeBytes]);
    const own = vms
      .filter(({ ft, host: last }) => [ft.primary?.host, ft.shadow?.host, last].includes(host))
      .map(({ name, state, ft }) => [name, state, ft.state, ft.primary?.host, ft.shadow?.host]);
    return JSON.stringify([rooms, own]);
  }, [hosts, vms, host]);
  const { data, error } = useQuery({
    queryKey: ['maintenance', host, depends],
    queryFn: ({ signal }) => client.call('previewMaintenance', { params: { host } }, { signal }),
    placeholderData: keepPreviousData,
    gcTime: 0,
  });
  return { preview: data, error };
}
