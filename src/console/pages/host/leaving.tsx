/** The two ways out of the cluster: gone, and not to be trusted. */
import { useLocation } from 'wouter';
import type { HostView } from '../../../api/views.ts';
import { useCluster } from '../../live/hooks.ts';
import { Action } from '../../parts/action.tsx';
import { plural } from '../../parts/units.ts';

export function Leaving({ host: { name, vmPids } }: { readonly host: HostView }) {
  const { client } = useCluster();
  const [, go] = useLocation();
  const params = { host: name };
  return (
    <div className="u-operations">
      <div className="u-operation">
        <Action
          label="Remove"
          endpoint="removeHost"
          unless={
            vmPids.length > 0 &&
            `It runs ${plural(vmPids.length, 'VM copy', 'VM copies')}. Put it into maintenance first.`
          }
          confirm={`Say so only if nothing of ${name} runs any more: its VMs may be powered on elsewhere from then on. ${name} is forgotten and can join again.`}
          run={async () => {
            await client.call('removeHost', { params });
            go('/hosts');
          }}
          done={`${name} was removed.`}
        />
        <p className="u-dim">Forgets a machine that is gone for good.</p>
      </div>
      <div className="u-operation">
        <Action
          label="Revoke"
          endpoint="revokeHost"
          confirm={`${name} is refused from now on, for good, whatever runs there. Switch the machine off: nothing else stops what it does.`}
          run={async () => {
            await client.call('revokeHost', { params });
            go('/hosts');
          }}
          done={`${name} is refused from now on.`}
        />
        <p className="u-dim">Refuses a machine that is not to be trusted any more.</p>
      </div>
    </div>
  );
}
