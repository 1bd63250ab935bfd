/** What is asked before a VM is recorded, its last minutes are kept, or a place is gone on from. */
import { Alert, Code, NumberInput, TextInput } from '@mantine/core';
import { TriangleAlert } from 'lucide-react';
import { useState } from 'react';
import { useLocation } from 'wouter';
import type { RecordingView } from '../../../../../api/recording-endpoints.ts';
import type { VmView } from '../../../../../api/views.ts';
import { useCluster } from '../../../../live/hooks.ts';
import { type CommandText, CopyCommand } from '../../../../parts/commands.tsx';
import { type ApiForm, useApiForm } from '../../../../parts/form.tsx';
import { FormDialog } from '../../../../parts/form-dialog.tsx';
import { toastDone } from '../../../../parts/toast.tsx';
import { mebibyte } from '../../../../parts/units.ts';

interface OfVm {
  readonly vm: VmView;
  readonly onClose: () => void;
}

/** As the API wants it; nothing typed: not given. */
const bytesOf = (mebibytes: number | string) =>
  mebibytes === '' ? {} : { bytesMax: Math.round(Number(mebibytes) * mebibyte) };

interface NameFieldProps {
  readonly label: string;
  readonly name: string;
  readonly setName: (name: string) => void;
  readonly form: ApiForm;
}

function NameField({ label, name, setName, form }: NameFieldProps) {
  return (
    <TextInput
      label={label}
      description="Lower-case letters, digits and inner hyphens"
      data-autofocus
      value={name}
      onChange={(event) => setName(event.currentTarget.value)}
      {...form.field('name')}
    />
  );
}

export function StartRecording({ vm, onClose }: OfVm) {
  const { client } = useCluster();
  const [name, setName] = useState('');
  const [limit, setLimit] = useState<number | string>('');
  const form = useApiForm('startRecording', { name, ...bytesOf(limit) }, async (body) => {
    await client.call('startRecording', { params: { vm: vm.name }, body });
    onClose();
  });
  return (
    <FormDialog title={`Record ${vm.name}`} verb="Record" {...{ form, onClose }}>
      <p>
        From now on, on the disk of {vm.ft.primary?.host ?? 'its host'}. {vm.name} runs on; if it
        goes live on another host, the recording goes on there.
      </p>
      <NameField label="Name" {...{ name, setName, form }} />
      <NumberInput
        label="Size limit (MiB)"
        description="About; the newest part is kept. Without one it grows until it is ended."
        placeholder="none"
        min={16}
        value={limit}
        onChange={setLimit}
        {...form.field('bytesMax')}
      />
    </FormDialog>
  );
}

export function KeepFlight({ vm, onClose }: OfVm) {
  const { client } = useCluster();
  const [name, setName] = useState('');
  const form = useApiForm('keepFlight', { name }, async (body) => {
    await client.call('keepFlight', { params: { vm: vm.name }, body });
    onClose();
  });
  return (
    <FormDialog title="Keep the last minutes" verb="Keep them" {...{ form, onClose }}>
      <p>
        What the flight recorder of {vm.name} holds now becomes a recording. It goes on with the
        next minutes.
      </p>
      <NameField label="Name" {...{ name, setName, form }} />
    </FormDialog>
  );
}

export function SetFlight({ vm, onClose }: OfVm) {
  const { client } = useCluster();
  const [minutes, setMinutes] = useState<number | string>(vm.flight?.minutes ?? 10);
  const [limit, setLimit] = useState<number | string>((vm.flight?.bytesMax ?? 2 ** 30) / mebibyte);
  const [back, setBack] = useState<number | string>(vm.flight?.rewindSeconds ?? '');
  const rewindSeconds = back === '' ? null : Number(back);
  const body = { minutes: Number(minutes), ...bytesOf(limit), rewindSeconds };
  const form = useApiForm('setFlight', body, async (asked) => {
    await client.call('setFlight', { params: { vm: vm.name }, body: asked });
    toastDone(`The last ${minutes} minutes of ${vm.name} are at hand while it runs.`);
    onClose();
  });
  return (
    <FormDialog title={`Flight recorder of ${vm.name}`} verb="Set" {...{ form, onClose }}>
      <p>
        The last minutes of {vm.name} in a ring on the disk of its host. They are kept as a
        recording when its guest panics, fails, or is reset by the watchdog.
      </p>
      <NumberInput
        label="Minutes"
        data-autofocus
        min={1}
        max={1440}
        value={minutes}
        onChange={setMinutes}
        {...form.field('minutes')}
      />
      <NumberInput
        label="Size limit (MiB)"
        min={64}
        value={limit}
        onChange={setLimit}
        {...form.field('bytesMax')}
      />
      <NumberInput
        label="Put back by itself after that, to so many seconds before"
        description={`Empty: never. What ${vm.name} has done since is undone, acknowledged or not; three times an hour at most.`}
        min={0.1}
        max={86_400}
        value={back}
        onChange={setBack}
        {...form.field('rewindSeconds')}
      />
    </FormDialog>
  );
}

/** @param commands of the same in a terminal */
export function GoLive({
  vm,
  recording,
  place,
  command,
  onClose,
}: OfVm & {
  readonly recording: RecordingView;
  readonly place: { readonly to: string; readonly words: string };
  readonly command: CommandText;
}) {
  const { client } = useCluster();
  const [, go] = useLocation();
  const [name, setName] = useState('');
  const form = useApiForm('goLive', { name, to: place.to }, async (body) => {
    const params = { vm: vm.name, recording: recording.name };
    await client.call('goLive', { params, body });
    toastDone(`${name} is being made from ${recording.name}.`);
    onClose();
    go('/vms');
  });
  return (
    <FormDialog title="Go live as a new VM" verb="Go live" size="lg" {...{ form, onClose }}>
      <p>
        A new VM goes on from {place.words}, on {recording.host}. {vm.name} is not touched. The new
        one has its memory and its addresses of then, so its network card has no cable: nobody hears
        it.
      </p>
      <NameField label="Name of the new VM" {...{ name, setName, form }} />
      <section aria-label="In a terminal">
        <div className="u-panel-head">
          <h2>Or in a terminal, of this machine alone</h2>
          <CopyCommand label="Copy the command" {...command} />
        </div>
        <Code block className="u-command" tabIndex={0} aria-label="Command">
          {command.command}
        </Code>
      </section>
    </FormDialog>
  );
}

/**
 * Work that somebody has been told is done is undone: what is undone is said, and the VM's name typed.
 * @param place as recording/place.ts has it; undefined: it is asked for
 */
export function RewindVm({
  vm,
  recording,
  place,
  onClose,
}: OfVm & {
  /** Without one what the flight recorder holds now. */
  readonly recording?: RecordingView | undefined;
  readonly place?: { readonly to: string; readonly words: string } | undefined;
}) {
  const { client } = useCluster();
  const [to, setTo] = useState(place?.to ?? 'end');
  const [before, setBefore] = useState<number | string>(recording === undefined ? 10 : 0);
  const [typed, setTyped] = useState('');
  const body = {
    ...(recording !== undefined && { recording: recording.name }),
    ...{ to, secondsBefore: Number(before) },
  };
  const confirm = typed === vm.name ? undefined : `Type ${vm.name} to go on.`;
  const form = useApiForm(
    'rewindVm',
    body,
    async (asked) => {
      await client.call('rewindVm', { params: { vm: vm.name }, body: asked });
      onClose();
    },
    { confirm },
  );
  return (
    <FormDialog title={`Rewind ${vm.name}`} verb="Rewind it" {...{ form, onClose }} isDangerous>
      <Alert color="red" variant="light" icon={<TriangleAlert size={16} aria-hidden />}>
        {vm.name} becomes what it was{' '}
        {place === undefined ? 'at that place' : <strong>{place.words}</strong>}.{' '}
        <strong>Everything that it has done since is undone, acknowledged or not</strong>: what
        others were told is stored, sent or paid, it will know nothing of. It is powered off for it,
        both copies, and protected anew.
      </Alert>
      {place === undefined && (
        <TextInput
          label="Place"
          description="end, begin, time:SECONDS, text:TEXT, event:N or a count of instructions"
          value={to}
          onChange={(event) => setTo(event.currentTarget.value)}
          {...form.field('to')}
        />
      )}
      {place === undefined && (
        <NumberInput
          label="Seconds before that"
          description="Of the guest's time"
          min={0}
          value={before}
          onChange={setBefore}
          {...form.field('secondsBefore')}
        />
      )}
      <TextInput
        label={`The name of the VM, ${vm.name}`}
        description="So that nobody does it by mistake"
        autoComplete="off"
        data-autofocus
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
        {...form.field('confirm')}
      />
    </FormDialog>
  );
}
