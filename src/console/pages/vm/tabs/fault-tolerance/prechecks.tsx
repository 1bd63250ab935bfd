/** Everything that would keep the VM from being protected, each with its reason in words. */
import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { RotateCw } from 'lucide-react';
import type { VmView } from '../../../../../api/views.ts';
import { useCluster } from '../../../../live/hooks.ts';
import { Panel } from '../../../../parts/page.tsx';
import { Problem, sentence } from '../../../../parts/problem.tsx';
import { Status } from '../../../../parts/status.tsx';

export function usePrechecks({ name, version, state }: VmView) {
  const { client } = useCluster();
  return useQuery({
    // Another wish or another state is another question.
    queryKey: ['checkFt', name, version, state],
    queryFn: ({ signal }) => client.call('checkFt', { params: { vm: name } }, { signal }),
  });
}

export function Prechecks({ vm }: { readonly vm: VmView }) {
  const { data, error, refetch, isFetching } = usePrechecks(vm);
  return (
    <Panel
      title="Prechecks"
      aside={
        <Button
          size="compact-xs"
          variant="subtle"
          leftSection={<RotateCw size={12} aria-hidden />}
          loading={isFetching}
          onClick={() => refetch()}
        >
          Check again
        </Button>
      }
    >
      {error !== null && <Problem error={error} />}
      <ul className="u-checks">
        {data?.checks.map(({ check, ok, text }) => (
          <li key={`${check} ${text}`}>
            <Status tone={ok ? 'good' : 'bad'} text={sentence(text)} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}
