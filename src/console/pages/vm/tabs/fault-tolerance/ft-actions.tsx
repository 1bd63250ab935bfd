/**
 * The reference's operations. Each says what it will do before it does it, and why it cannot be done
 * where it cannot; the center refuses for the same reasons, so nothing here is a rule of its own.
 */
import { Select } from '@mantine/core';
import { useState } from 'react';
import type { EndpointName } from '../../../../../api/endpoints.ts';
import type { VmView } from '../../../../../api/views.ts';
import { useCluster, useList } from '../../../../live/hooks.ts';
import { Action } from '../../../../parts/action.tsx';
import { TasksUnderWay } from '../../tasks-under-way.tsx';
import { usePrechecks } from './prechecks.tsx';

interface Operation {
  readonly label: string;
  readonly endpoint: EndpointName;
  readonly what: string;
  readonly unless: string | false | undefined;
  readonly run: () => Promise<unknown>;
  readonly done?: string;
}

export function FtActions({ vm }: { readonly vm: VmView }) {
  const isOn = vm.ft.state !== 'notConfigured';
  return (
    <>
      <TasksUnderWay vm={vm.name} />
      {isOn ? <Configured vm={vm} /> : <TurnOn vm={vm} />}
    </>
  );
}

function TurnOn({ vm }: { readonly vm: VmView }) {
  const { client } = useCluster();
  const { data } = usePrechecks(vm);
  const failed = data?.checks.filter(({ ok }) => !ok).map(({ text }) => text) ?? [];
  return (
    <Row
      operation={{
        label: 'Turn On',
        endpoint: 'turnFtOn',
        what: 'Starts a shadow on another host from a checkpoint; the VM runs on meanwhile. From then on its outputs wait for the shadow to have what led to them.',
        unless: failed.length > 0 && `Not now: ${failed.join('; ')}.`,
        run: () => client.call('turnFtOn', { params: { vm: vm.name } }),
      }}
      isFirst
    />
  );
}

function Configured({ vm }: { readonly vm: VmView }) {
  const { client } = useCluster();
  const { name, ft, state } = vm;
  const params = { vm: name };
  const shadow = ft.shadow?.host ?? 'its host';
  const isSuspended = ft.state === 'disabled';
  const starts = ft.state === 'starting' && 'While the shadow starts this is refused.';
  const unlessProtected =
    ft.state !== 'running' &&
    (state === 'poweredOn'
      ? 'The VM is not protected at this moment.'
      : 'The VM is not powered on.');
  const operations: readonly Operation[] = [
    isSuspended
      ? {
          label: 'Resume',
          endpoint: 'resumeFt',
          what: 'Protects again. The disks that were kept are compared, and only what differs is sent.',
          unless: undefined,
          run: () => client.call('resumeFt', { params }),
        }
      : {
          label: 'Suspend',
          endpoint: 'suspendFt',
          what: `Ends the shadow on ${shadow} and keeps its disks for a resume. The VM runs on, unprotected.`,
          unless: starts,
          run: () => client.call('suspendFt', { params }),
        },
    {
      label: 'Test Failover',
      endpoint: 'testFailover',
      what: `Hands over to the shadow on ${shadow} as in a failure, by consent: nothing is lost or repeated. Then a new shadow starts; until it has caught up the VM is not protected.`,
      unless: unlessProtected,
      run: () => client.call('testFailover', { params }),
      done: `${name} has failed over to ${shadow}.`,
    },
    {
      label: 'Test Restart Shadow',
      endpoint: 'restartShadow',
      what: `Ends the shadow on ${shadow} as if it were lost. A new one starts; until it has caught up the VM is not protected.`,
      unless: unlessProtected,
      run: () => client.call('restartShadow', { params }),
    },
    {
      label: 'Turn Off',
      endpoint: 'turnFtOff',
      what: `Ends the shadow on ${shadow} and removes its disks there. The VM runs on, unprotected.`,
      unless: starts,
      run: () => client.call('turnFtOff', { params }),
    },
  ];
  return (
    <div className="u-operations">
      <MigrateShadow vm={vm} unless={unlessProtected} />
      {operations.map((operation) => (
        <Row key={operation.label} operation={operation} />
      ))}
    </div>
  );
}

function MigrateShadow({ vm, unless }: { readonly vm: VmView; readonly unless: string | false }) {
  const { client } = useCluster();
  const [to, setTo] = useState<string | null>(null);
  const { name, ft } = vm;
  const taken = [ft.primary?.host, ft.shadow?.host];
  const targets = useList('hosts')
    .filter(({ kind, state }) => kind === 'host' && state === 'connected')
    .map((host) => host.name)
    .filter((host) => !taken.includes(host));
  const operation: Operation = {
    label: 'Migrate Shadow',
    endpoint: 'migrateShadow',
    what: `Moves the shadow from ${ft.shadow?.host ?? 'its host'} to another host. The old one ends first: until the new one has caught up the VM is not protected.`,
    unless: unless || (targets.length === 0 && 'There is no third host that could take it.'),
    run: () =>
      client.call('migrateShadow', { params: { vm: name }, body: to === null ? {} : { host: to } }),
  };
  return (
    <Row operation={operation}>
      <Select
        size="xs"
        w={150}
        aria-label="Where to"
        placeholder="any host"
        clearable
        data={targets}
        value={to}
        onChange={setTo}
      />
    </Row>
  );
}

function Row({
  operation: { label, endpoint, what, unless, run, done },
  children,
  isFirst = false,
}: {
  readonly operation: Operation;
  readonly children?: React.ReactNode;
  readonly isFirst?: boolean;
}) {
  return (
    <div className="u-operation">
      <div className="u-operation-act">
        <Action
          label={label}
          endpoint={endpoint}
          unless={unless}
          confirm={what}
          run={run}
          {...(done !== undefined && { done })}
          variant={isFirst ? 'filled' : 'default'}
          fullWidth
        />
        {children}
      </div>
      <p className="u-dim">{what}</p>
    </div>
  );
}
