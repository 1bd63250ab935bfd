/**
 * Putting a VM back to a place of one of its recordings, and live there. Twin of vm-states.ts
 * `revertToSnapshot`, with a state that the host makes by replaying. What the VM has done since that
 * place is undone, acknowledged or not: only ever by somebody's word.
 *
 *   flight kept, if that is meant -> machine made -> powered off -> the arbiter asked -> powered on
 *
 * Protection, if it was on, is restored by itself.
 */
import type { Input } from '../api/endpoints.ts';
import type { TaskView } from '../api/tasks.ts';
import { UmbraError } from '../base/errors.ts';
import { leaseOf, type VmRecord } from '../lockstep/arbiter.ts';
import type { Cluster } from './cluster.ts';
import { flightKept } from './flights.ts';
import { hostLost } from './host-works.ts';
import type { KeptRecording, Vm } from './inventory.ts';
import { needProtocol } from './protocol-need.ts';
import { endedRecording, liveConnection } from './recordings.ts';
import { begin, notResponding, rewindKind, whenStopped } from './vm-states.ts';

/** The recording of which a saved state has been made. */
export function rewoundTo(vm: Vm, saved: string | undefined): KeptRecording | undefined {
  return vm.recordings?.find(({ id }) => id === saved?.split('-')[0]);
}

/** Within the transaction in which the arbiter's decision is taken up. */
export function rewound(cluster: Cluster, vm: Vm, record: VmRecord): void {
  const { host, id: saved } = record.saved!;
  const { name } = vm.spec;
  const recording = rewoundTo(vm, saved)?.name ?? saved;
  const present = { wanted: 'off', host, shadowHost: undefined, offState: undefined } as const;
  const consoleSince = record.generation;
  cluster.inventory.putVm({ ...vm, ...present, recording: undefined, consoleSince });
  const where = cluster.nameOf(host);
  const text =
    `${name} has been put back to an earlier place, of the recording ${recording} on ${where}: ` +
    'what it has done since then is undone, acknowledged or not';
  cluster.events.add('vm-rewound', text, { vm: name, host: where, recording });
  cluster.console(vm.spec.id).restart();
}

export function rewindVm(
  cluster: Cluster,
  vm: Vm,
  { recording, to = 'end', secondsBefore = 0 }: Input<'rewindVm'>['body'],
  by: string,
): TaskView {
  const { id: vmId, name: vmName, disks, datastore } = vm.spec;
  if (disks.length > 0 && datastore !== undefined) throw onDatastore(vmName);
  if (recording === undefined && vm.flight === undefined) {
    throw new UmbraError(
      'flight-off',
      `${vmName} has no flight recorder, and no recording was named`,
      `Name one of umbra record list ${vmName}, or turn it on: umbra record flight.`,
    );
  }
  const source =
    recording === undefined ? liveConnection(cluster, vm) : endedRecording(cluster, vm, recording);
  const { host } = source;
  const where = cluster.nameOf(host);
  const connection = cluster.agents.get(host);
  if (connection === undefined) throw notResponding(where, 'The recording is there.');
  needProtocol(connection, 4, `rewind ${vmName}`, where);
  const shown = { kind: rewindKind, vm: vmName, host: where, by };
  return begin(cluster, shown, async (task) => {
    const keep = { vm: vmId, name: keptName(), work: `${task.id}-keep` };
    const id = 'id' in source ? source.id : await flightKept(cluster, connection, keep, task);
    const saved = `${id}-${task.id}`;
    // While the VM runs: a place that is not there costs it nothing.
    const place = { recording: id, to, secondsBefore, saved, work: `${saved}-made` } as const;
    const { count } = await cluster.works.perform(
      {
        ...({ id: place.work, command: 'prepareRewind', vm: vmId, host } as const),
        send: () => connection.send({ kind: 'prepareRewind', vm: vm.spec, ...place }),
      },
      task,
    );
    const now = cluster.inventory.vm(vmId);
    if (now === undefined) throw deletedMeanwhile();
    task.progress(0.5, `${vmName} is powered off`);
    cluster.inventory.putVm({ ...now, wanted: 'off' });
    cluster.evaluate(vmId);
    const fenced = await whenStopped(cluster, vmId, host, task.signal);
    // Another center that decides for the arbiter has to know of the task.
    await cluster.store.settled();
    const record = cluster.arbiter.certain(vmId);
    const lapsed = fenced && record !== undefined ? leaseOf(record) : undefined;
    const order = { kind: 'rewind', vm: vmId, saved, fenced } as const;
    const send = () => {
      const present = cluster.agents.get(host);
      if (present === undefined) throw hostLost();
      present.send({ ...order, ...(lapsed !== undefined && { lapsed }) });
    };
    await cluster.works.perform({ id: saved, command: 'rewind', vm: vmId, host, send }, task);
    task.result({ recording: id, count });
    const after = cluster.inventory.vm(vmId);
    if (after === undefined) throw deletedMeanwhile();
    cluster.inventory.putVm({ ...after, wanted: 'on' });
    cluster.evaluate(vmId);
  });
}

const keptName = (): string =>
  `rewind-${new Date().toISOString().slice(0, 19).replace('T', '-').replaceAll(':', '')}`;

const deletedMeanwhile = (): UmbraError =>
  new UmbraError('vm-unknown', 'the VM has been deleted meanwhile', 'See umbra vm list.');

const onDatastore = (name: string): UmbraError =>
  new UmbraError(
    'rewind-on-datastore',
    `the disks of ${name} are on a datastore, where what they held at an earlier place is not kept`,
    `Go back to a snapshot, which does: umbra vm snapshot revert ${name} SNAPSHOT.`,
  );
