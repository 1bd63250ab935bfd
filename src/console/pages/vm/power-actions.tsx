import { Group } from '@mantine/core';
import type { VmView } from '../../../api/views.ts';
import { useCluster } from '../../live/hooks.ts';
import { Action } from '../../parts/action.tsx';

/** Only what can be done now: a VM that is off can be powered on, and so forth. */
export function PowerActions({ vm }: { readonly vm: VmView }) {
  const { client } = useCluster();
  const { name, state } = vm;
  const params = { vm: name };
  const isOff = state === 'poweredOff' || state === 'suspended';
  const stop = (how: 'power-button' | 'power-off' | 'suspend') =>
    client.call('stopVm', { params, body: { how } });
  if (isOff) {
    return (
      <Action
        label={state === 'suspended' ? 'Resume' : 'Power on'}
        variant="filled"
        endpoint="startVm"
        run={() => client.call('startVm', { params, body: {} })}
      />
    );
  }
  return (
    <Group gap={6}>
      <Action
        label="Shut down"
        endpoint="stopVm"
        confirm={`Presses the power button of ${name}: its guest shuts itself down.`}
        run={() => stop('power-button')}
      />
      <Action
        label="Reset"
        endpoint="resetVm"
        confirm={`Resets ${name} at once, as its reset button would. What its guest has not written is lost. A shadow follows.`}
        run={() => client.call('resetVm', { params })}
      />
      <Action
        label="Suspend"
        endpoint="stopVm"
        confirm={`Saves the memory of ${name} on its host and stops it there. Resume goes on from that moment.`}
        run={() => stop('suspend')}
      />
      <Action
        label="Power off"
        endpoint="stopVm"
        confirm={`Powers ${name} off at once, both copies. What its guest has not written is lost.`}
        run={() => stop('power-off')}
      />
    </Group>
  );
}
