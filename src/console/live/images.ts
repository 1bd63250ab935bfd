/** What VMs can be created from, read when somebody asks: images are built beside the cluster. */
import { useQuery } from '@tanstack/react-query';
import type { ImageView } from '../../api/images.ts';
import { useCluster } from './hooks.ts';

/** undefined: not known yet. */
export function useImages(): readonly ImageView[] | undefined {
  const { client } = useCluster();
  const { data } = useQuery({
    queryKey: ['images'],
    queryFn: ({ signal }) => client.call('listImages', undefined, { signal }),
  });
  return data;
}
