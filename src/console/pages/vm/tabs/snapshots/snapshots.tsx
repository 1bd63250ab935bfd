/**
 * Snapshots of one VM: memory and disks at one moment, on the host where it was live. Taken while it
 * runs; gone back to; or the beginning of another VM.
 */
import { Button } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { Link } from 'wouter';
import type { SnapshotView } from '../../../../../api/state-endpoints.ts';
import type { VmView } from '../../../../../api/views.ts';
import { useCluster, useList, useMissingRole } from '../../../../live/hooks.ts';
import { Action, Dimmed } from '../../../../parts/action.tsx';
import { Empty } from '../../../../parts/empty.tsx';
import { Panel } from '../../../../parts/page.tsx';
import { Problem } from '../../../../parts/problem.tsx';
import { Status } from '../../../../parts/status.tsx';
import { Time } from '../../../../parts/time.tsx';
import { bytes, count } from '../../../../parts/units.ts';
import type { TabProps } from '../../define-tab.ts';
import { TasksUnderWayPanel } from '../../tasks-under-way.tsx';
import { useVmEvents } from '../../use-vm-events.ts';
import { CloneSnapshot, RevertToSnapshot, TakeSnapshot } from './snapshot-forms.tsx';
import '../vm-tabs.css';

const changing = new Set(['vm-snapshot-taken', 'vm-snapshot-deleted', 'vm-reverted']);

/** Read again when the VM's events tell that they have changed, or a host comes or goes. */
function useSnapshots({ id, name }: VmView) {
  const { client } = useCluster();
  const { events } = useVmEvents(name);
  const last = useMemo(() => events.findLast(({ kind }) => changing.has(kind))?.sequence, [events]);
  const hosts = useList('hosts')
    .map(({ name: host, state }) => `${host}=${state}`)
    .join();
  return useQuery({
    queryKey: ['snapshots', id, last, hosts],
    queryFn: ({ signal }) => client.call('listSnapshots', { params: { vm: name } }, { signal }),
    placeholderData: keepPreviousData,
  });
}

export default function Snapshots({ vm }: TabProps) {
  const { data, error } = useSnapshots(vm);
  const [isTaking, setTaking] = useState(false);
  const missing = useMissingRole('takeSnapshot');
  const why =
    missing !== undefined
      ? `For people of the role ${missing}.`
      : vm.state === 'poweredOn' || vm.state === 'poweredOff'
        ? undefined
        : 'It is taken of a VM that is powered on, or off.';
  const take = (
    <Dimmed why={why}>
      {(dim) => (
        <Button size="xs" onClick={() => setTaking(true)} {...dim}>
          Take a snapshot
        </Button>
      )}
    </Dimmed>
  );
  return (
    <div className="u-columns">
      <TasksUnderWayPanel vm={vm.name} />
      {error !== null && <Problem error={error} />}
      {data?.length === 0 && (
        <div className="u-wide">
          <Empty title="No snapshots yet" action={take}>
            A snapshot is the VM at one moment: memory and disks while it runs, or the disks of one
            that is off. The VM can go back to it, or another VM can be made of its disks.
          </Empty>
        </div>
      )}
      {data !== undefined && data.length > 0 && (
        <Panel title="Snapshots" className="u-wide" aside={take}>
          <ul className="u-snapshots">
            {[...data].reverse().map((snapshot) => (
              <Snapshot key={snapshot.id} vm={vm} snapshot={snapshot} />
            ))}
          </ul>
        </Panel>
      )}
      {isTaking && <TakeSnapshot vm={vm} onClose={() => setTaking(false)} />}
    </div>
  );
}

function Snapshot({ vm, snapshot }: { readonly vm: VmView; readonly snapshot: SnapshotView }) {
  const { client } = useCluster();
  const { name, host, hostConnected, createdAt, memoryBytes, state } = snapshot;
  const [asks, setAsks] = useState<'revert' | 'clone' | undefined>();
  const away = hostConnected ? undefined : `${host} is not responding, and it is there alone.`;
  const close = () => setAsks(undefined);
  const params = { vm: vm.name, snapshot: name };
  return (
    <li>
      <div className="u-snapshot-what">
        <strong>{name}</strong>
        <Time at={createdAt} />
        <span className="u-dim">
          {bytes(snapshot.bytes)} on <Link href={`/hosts/${host}`}>{host}</Link>
          {state === 'poweredOn'
            ? `, with ${bytes(memoryBytes)} of memory, at count ${count(snapshot.count)}`
            : ', powered off: disks alone'}
        </span>
        {!hostConnected && <Status tone="warn" text={`${host} is not responding`} />}
      </div>
      <div className="u-snapshot-actions">
        <Asking label="Revert" what="revert" {...{ name, away }} ask={setAsks} />
        <Asking label="Clone" what="clone" {...{ name, away }} ask={setAsks} />
        <Action
          label="Delete"
          aria-label={`Delete ${name}`}
          endpoint="deleteSnapshot"
          unless={away}
          confirm={`Deletes the snapshot ${name} on ${host}, for good. ${vm.name} itself is not touched.`}
          run={() => client.call('deleteSnapshot', { params })}
          done={`The snapshot ${name} has been deleted.`}
        />
      </div>
      {asks === 'revert' && <RevertToSnapshot {...{ vm, snapshot }} onClose={close} />}
      {asks === 'clone' && <CloneSnapshot {...{ vm, snapshot }} onClose={close} />}
    </li>
  );
}

/** A button that opens a form. */
function Asking(props: {
  readonly label: string;
  readonly name: string;
  readonly what: 'revert' | 'clone';
  readonly away: string | undefined;
  readonly ask: (what: 'revert' | 'clone') => void;
}) {
  const { label, name, what, away, ask } = props;
  const missing = useMissingRole(what === 'revert' ? 'revertToSnapshot' : 'cloneVm');
  const why = missing !== undefined ? `For people of the role ${missing}.` : away;
  return (
    <Dimmed why={why}>
      {(dim) => (
        <Button
          size="xs"
          variant="default"
          aria-label={`${label} ${name}`}
          onClick={() => ask(what)}
          {...dim}
        >
          {label}
        </Button>
      )}
    </Dimmed>
  );
}
