/** What is asked before a snapshot is taken, gone back to, or made into another VM. */
import { Checkbox, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useLocation } from 'wouter';
import type { SnapshotView } from '../../../../../api/state-endpoints.ts';
import type { VmView } from '../../../../../api/views.ts';
import { useCluster } from '../../../../live/hooks.ts';
import { useApiForm } from '../../../../parts/form.tsx';
import { FormDialog } from '../../../../parts/form-dialog.tsx';
import { Time } from '../../../../parts/time.tsx';
import { toastDone } from '../../../../parts/toast.tsx';

interface OfVm {
  readonly vm: VmView;
  readonly onClose: () => void;
}

interface OfSnapshot extends OfVm {
  readonly snapshot: SnapshotView;
}

export function TakeSnapshot({ vm, onClose }: OfVm) {
  const { client } = useCluster();
  const [name, setName] = useState('');
  const form = useApiForm('takeSnapshot', { name }, async (body) => {
    await client.call('takeSnapshot', { params: { vm: vm.name }, body });
    onClose();
  });
  return (
    <FormDialog title="Take a snapshot" verb="Take it" {...{ form, onClose }}>
      <p>
        {vm.state === 'poweredOff'
          ? `The disks of ${vm.name} are copied on a host that has them.`
          : `${vm.name} runs on meanwhile. Its memory and disks of one moment are written by its host ${vm.host}, and its shadow is not touched.`}
      </p>
      <TextInput
        label="Name"
        description="Lower-case letters, digits and inner hyphens"
        data-autofocus
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
        {...form.field('name')}
      />
    </FormDialog>
  );
}

export function RevertToSnapshot({ vm, snapshot, onClose }: OfSnapshot) {
  const { client } = useCluster();
  const isOn = vm.state !== 'poweredOff' && vm.state !== 'suspended';
  const [start, setStart] = useState(isOn && snapshot.state === 'poweredOn');
  const form = useApiForm('revertToSnapshot', { start }, async (body) => {
    const params = { vm: vm.name, snapshot: snapshot.name };
    await client.call('revertToSnapshot', { params, body });
    onClose();
  });
  return (
    <FormDialog
      title={`Revert to ${snapshot.name}`}
      verb="Revert"
      {...{ form, onClose }}
      isDangerous
    >
      <p>
        {vm.name} becomes what it was <Time at={snapshot.createdAt} />, on {snapshot.host}.
        {isOn && ' It is powered off at once, both copies.'} What its memory and disks have now is
        given up; take a snapshot first if that may be needed.
      </p>
      <Checkbox
        label={snapshot.state === 'poweredOn' ? 'And let it go on from there' : 'And power it on'}
        checked={start}
        onChange={(event) => setStart(event.currentTarget.checked)}
      />
    </FormDialog>
  );
}

export function CloneSnapshot({ vm, snapshot, onClose }: OfSnapshot) {
  const { client } = useCluster();
  const [, go] = useLocation();
  const [name, setName] = useState('');
  const form = useApiForm('cloneVm', { name, snapshot: snapshot.name }, async (body) => {
    await client.call('cloneVm', { params: { vm: vm.name }, body });
    toastDone(`${name} is being made from ${snapshot.name}.`);
    onClose();
    go('/vms');
  });
  return (
    <FormDialog title={`Clone ${snapshot.name}`} verb="Clone" {...{ form, onClose }}>
      <p>
        A new VM with copies of the disks of {vm.name} as they were then. It is powered off, has an
        address of its own, and publishes no ports.
      </p>
      <TextInput
        label="Name of the new VM"
        data-autofocus
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
        {...form.field('name')}
      />
    </FormDialog>
  );
}
