/** The events of one VM, oldest first: what was before this page, and each as it comes. */
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import type { EventView } from '../../../api/views.ts';
import { useCluster, useEvents } from '../../live/hooks.ts';

const past = 500;

export function useVmEvents(vm: string): {
  readonly events: readonly EventView[];
  readonly error: unknown;
} {
  const { client } = useCluster();
  const live = useEvents();
  const { data, error } = useQuery({
    queryKey: ['events', vm],
    queryFn: ({ signal }) =>
      client.call('listEvents', { query: { vm, last: true, limit: past } }, { signal }),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const events = useMemo(() => {
    const last = data?.at(-1)?.sequence ?? 0;
    const fresh = live.filter((event) => event.data['vm'] === vm && event.sequence > last);
    return [...(data ?? []), ...fresh];
  }, [data, live, vm]);
  return { events, error };
}
