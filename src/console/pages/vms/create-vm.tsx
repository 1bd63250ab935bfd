/** A new VM, by the very schema that the center checks. */
import { Checkbox, Group, NumberInput, Select, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useLocation } from 'wouter';
import type { ImageView } from '../../../api/images.ts';
import { useCluster, useList } from '../../live/hooks.ts';
import { useImages } from '../../live/images.ts';
import { useApiForm } from '../../parts/form.tsx';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { toastDone } from '../../parts/toast.tsx';
import { mebibyte } from '../../parts/units.ts';

const labelOf = ({ name, summary }: ImageView): string =>
  summary === '' || summary === name ? name : `${name}: ${summary}`;

export function CreateVm({ onClose }: { readonly onClose: () => void }) {
  const { client } = useCluster();
  const [, go] = useLocation();
  const hosts = useList('hosts').filter(({ kind }) => kind === 'host');
  const [name, setName] = useState('');
  const [image, setImage] = useState('');
  const [cpus, setCpus] = useState<number | string>(1);
  const [memory, setMemory] = useState<number | string>('');
  const [host, setHost] = useState<string | null>(null);
  const [isProtected, setProtected] = useState(hosts.length > 1);
  const images = useImages();
  const chosen = images?.find((each) => each.name === image);
  const [idempotencyKey] = useState(() => crypto.randomUUID());

  const body = {
    ...{ name, image, ft: isProtected },
    ...(cpus !== '' && { cpus: Number(cpus) }),
    ...(memory !== '' && { memoryBytes: Number(memory) * mebibyte }),
    ...(host !== null && { host }),
  };
  const form = useApiForm('createVm', body, async (checked) => {
    await client.call('createVm', { body: checked }, { idempotencyKey });
    toastDone(`${name} was created. Power it on when you like.`);
    onClose();
    go(`/vms/${name}`);
  });
  return (
    <FormDialog title="Create VM" verb="Create" {...{ form, onClose }}>
      <TextInput
        label="Name"
        description="Lower-case letters, digits and inner hyphens"
        data-autofocus
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
        {...form.field('name')}
      />
      <Select
        label="Image"
        description={
          images?.length === 0
            ? "There are none yet. On the center's machine: umbra image build redis"
            : "In the store of the center's machine"
        }
        searchable
        data={images?.map((each) => ({ value: each.name, label: labelOf(each) })) ?? []}
        value={image === '' ? null : image}
        onChange={(chosen) => setImage(chosen ?? '')}
        {...form.field('image')}
      />
      <Group grow align="flex-start">
        <NumberInput
          label="CPUs"
          min={1}
          max={8}
          value={cpus}
          onChange={setCpus}
          {...form.field('cpus')}
        />
        <NumberInput
          label="Memory (MiB)"
          placeholder={
            chosen ? `${chosen.memoryBytes / mebibyte}, as it asks` : 'as the image says'
          }
          value={memory}
          onChange={setMemory}
          {...form.field('memoryBytes')}
        />
      </Group>
      <Select
        label="Host"
        placeholder="wherever there is room"
        clearable
        data={hosts.map((each) => each.name)}
        value={host}
        onChange={setHost}
        {...form.field('host')}
      />
      <Checkbox
        label="Protect it: a shadow on another host re-executes it and takes over"
        checked={isProtected}
        onChange={(event) => setProtected(event.currentTarget.checked)}
      />
    </FormDialog>
  );
}
