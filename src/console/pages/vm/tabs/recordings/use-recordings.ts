/** The recordings of one VM: read again when something happens, and while one is under way. */
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import type { RecordingView } from '../../../../../api/recording-endpoints.ts';
import type { VmView } from '../../../../../api/views.ts';
import { useCluster, useList } from '../../../../live/hooks.ts';
import { useVmEvents } from '../../use-vm-events.ts';

const changing = /^(vm-(recording|incident|rewound|powered|ended|flight)|task-ended|ft-went-live)/;
/** Its size and rate are in no live view: they are asked for while somebody looks. */
const underWayMs = 2_000;

export function useRecordings({ id, name }: Pick<VmView, 'id' | 'name'>) {
  const { client } = useCluster();
  const { events } = useVmEvents(name);
  const last = useMemo(
    () => events.findLast(({ kind }) => changing.test(kind))?.sequence,
    [events],
  );
  const hosts = useList('hosts')
    .map(({ name: host, state }) => `${host}=${state}`)
    .join();
  return useQuery({
    queryKey: ['recordings', id, last, hosts],
    queryFn: ({ signal }) => client.call('listRecordings', { params: { vm: name } }, { signal }),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (state.data?.some(isUnderWay) ? underWayMs : false),
  });
}

export const isUnderWay = ({ state }: Pick<RecordingView, 'state'>): boolean =>
  state === 'recording';
