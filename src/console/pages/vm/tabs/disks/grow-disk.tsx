import { NumberInput } from '@mantine/core';
import { useState } from 'react';
import type { VmView } from '../../../../../api/views.ts';
import { useCluster } from '../../../../live/hooks.ts';
import { useApiForm } from '../../../../parts/form.tsx';
import { FormDialog } from '../../../../parts/form-dialog.tsx';
import { toastDone } from '../../../../parts/toast.tsx';
import { bytes, mebibyte } from '../../../../parts/units.ts';

/** Never smaller than it is: the center refuses that, too. */
export function GrowDisk(props: {
  readonly vm: VmView;
  readonly number: number;
  readonly bytesNow: number;
  readonly onClose: () => void;
}) {
  const { vm, number, bytesNow, onClose } = props;
  const { client } = useCluster();
  const [size, setSize] = useState<number | string>(Math.ceil(bytesNow / mebibyte) * 2);
  const wanted = Number(size) * mebibyte;
  const error = wanted > bytesNow ? undefined : `More than the ${bytes(bytesNow)} that it has.`;
  const body = { disks: [{ disk: number, bytes: wanted }] };
  const form = useApiForm(
    'resizeVm',
    body,
    async (checked) => {
      // Somebody else may change the VM meanwhile: then this was decided on what is no more.
      await client.call(
        'resizeVm',
        { params: { vm: vm.name }, body: checked },
        { ifVersion: vm.version },
      );
      toastDone(`Disk ${number} of ${vm.name} has ${bytes(wanted)}.`);
      onClose();
    },
    { size: error },
  );
  return (
    <FormDialog title={`Grow disk ${number}`} verb="Grow" {...{ form, onClose }}>
      <p>
        The files grow on each host when they are opened next. The guest sees a larger disk; its
        partitions and file systems are its own to grow.
      </p>
      <NumberInput
        label="New size (MiB)"
        data-autofocus
        value={size}
        onChange={setSize}
        {...form.field('size')}
      />
    </FormDialog>
  );
}
