/**
 * Events newest first: the last ones, earlier ones on demand, and each new one as it comes.
 *
 * The live log keeps a limited number (live/events.ts). If more than that happens between the
 * reading and now, there would be a hole; then all is read again.
 */
import { useInfiniteQuery } from '@tanstack/react-query';
import { useEffect, useMemo } from 'react';
import type { EventView } from '../../../api/views.ts';
import { useCluster, useEvents } from '../../live/hooks.ts';
import { withLive } from './with-live.ts';

const pageSize = 1000;

export interface History {
  readonly events: readonly EventView[];
  readonly error: unknown;
  readonly isRead: boolean;
  /** Reads earlier ones; undefined: there are none. */
  readonly earlier: (() => void) | undefined;
  readonly isReading: boolean;
}

/** @param vm by name; null: of all */
export function useHistory(vm: string | null): History {
  const { client, events: log } = useCluster();
  const live = useEvents();
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetching } = useInfiniteQuery({
    queryKey: ['history', vm],
    queryFn: async ({ pageParam, signal }) => {
      // Whatever the log has now, the center has, too.
      const seen = log.last;
      const before = pageParam === 0 ? {} : { before: pageParam };
      const query = { last: true, limit: pageSize, ...before, ...(vm !== null && { vm }) };
      return { seen, events: await client.call('listEvents', { query }, { signal }) };
    },
    initialPageParam: 0,
    getNextPageParam: ({ events }) => (events.length < pageSize ? undefined : events[0]!.sequence),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
  const { events, hasHole } = useMemo(
    () => withLive(data?.pages ?? [], live, vm),
    [data, live, vm],
  );
  useEffect(() => {
    if (hasHole && !isFetching) void refetch();
  }, [hasHole, isFetching, refetch]);
  return {
    ...{ events, error, isRead: data !== undefined, isReading: isFetching },
    earlier: hasNextPage ? () => void fetchNextPage() : undefined,
  };
}
