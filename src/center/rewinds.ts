/**
 * Putting a VM back to a place of one of its recordings, and live there. Twin of vm-states.ts
 * `revertToSnapshot`, with a state that the host makes by replaying. What the VM has done since that
 * place is undone, acknowledged or not: only ever by somebody's word, or by the policy that somebody
 * has chosen (incidents.ts).
 *
 *   flight kept, if that is meant -> machine made -> powered off -> the arbiter asked -> powered on
 *
 * Protection, if it was on, is restored by itself.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Input } from '../api/endpoints.ts';
import type { TaskView } from '../api/tasks.ts';
import { UmbraError } from '../base/errors.ts';
import { leaseOf, type VmRecord } from '../lockstep/arbiter.ts';
import type { Cluster } from './cluster.ts';
import { flightKept } from './flights.ts';
import { hostLost } from './host-works.ts';
import type { KeptRecording, Vm } from './inventory.ts';
import type { Command } from './protection.ts';
import { needProtocol } from './protocol-need.ts';
import { endedRecording, liveConnection } from './recordings.ts';
import { onDatastore, policyInWords, policyName } from './rewind-words.ts';
import type { RunningTask } from './tasks.ts';
import { notResponding, rewindKind, whenStopped } from './vm-states.ts';

const lookMs = 20;
const startMsMax = 20_000;

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
  const how = policyInWords(vm, saved?.split('-')[0] ?? '');
  const incident = how === undefined ? undefined : { ...vm.incident!, stage: 'back' as const };
  cluster.inventory.putVm({ ...vm, ...present, recording: undefined, incident, consoleSince });
  const where = cluster.nameOf(host);
  const text =
    `${name} has been put back ${how ?? 'to an earlier place'}, of the recording ${recording} ` +
    `on ${where}: what it has done since then is undone, acknowledged or not`;
  const by = how === undefined ? 'request' : policyName;
  cluster.events.add('vm-rewound', text, { vm: name, host: where, recording, by });
  if (how !== undefined) {
    const common = { kind: 'guest-incident', subject: vm.spec.id, severity: 'red' } as const;
    cluster.alarms.latch({ ...common, text, vm: name, host: where });
  }
  cluster.console(vm.spec.id).restart();
}

export interface RewindWish extends Rewind {
  /** Where the recording does not reach so far: to its beginning. */
  readonly orBegin?: boolean;
}

type Rewind = Input<'rewindVm'>['body'];

export function rewindVm(cluster: Cluster, vm: Vm, wish: Rewind, by: string): TaskView {
  const { id } = rewind(cluster, vm, wish, by);
  // Somebody has decided: the policy has nothing to add.
  const now = cluster.inventory.vm(vm.spec.id)!;
  if (now.incident !== undefined) cluster.inventory.putVm({ ...now, incident: undefined });
  return cluster.tasks.show(id);
}

/**
 * A VM that is about to be powered off gets no new shadow: what a shadow finds at its start in the
 * VM's folder that is not its own it removes, and with it what is being made for the rewind.
 */
export function withoutShadows(
  cluster: Cluster,
  { spec: { name } }: Vm,
  commands: readonly Command[],
): readonly Command[] {
  const isShadow = ({ message }: Command): boolean => message.kind === 'startShadow';
  if (!commands.some(isShadow) || cluster.tasks.running(rewindKind, name) === undefined) {
    return commands;
  }
  return commands.filter((command) => !isShadow(command));
}

/** One that has been ordered before. */
async function whenStarted(cluster: Cluster, vm: string, host: string, signal: AbortSignal) {
  for (const end = performance.now() + startMsMax; performance.now() < end; ) {
    if (cluster.agents.get(host)?.copies.get(vm)?.role !== 'starting') return;
    await sleep(lookMs, undefined, { signal });
  }
}

/** @param made told how many seconds before the place it goes, before anything is undone */
export function rewind(
  cluster: Cluster,
  vm: Vm,
  wish: RewindWish,
  by: string,
  made: (secondsBefore: number) => void = () => {},
): RunningTask<void> {
  const { recording, to = 'end', secondsBefore = 0, orBegin } = wish;
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
  const shown = { kind: rewindKind, vm: vmName, host: where, by, isCancellable: false };
  return cluster.tasks.run(shown, async (task) => {
    await whenStarted(cluster, vmId, host, task.signal);
    const keep = { vm: vmId, name: keptName(), work: `${task.id}-keep` };
    const id = 'id' in source ? source.id : await flightKept(cluster, connection, keep, task);
    const saved = `${id}-${task.id}`;
    // While the VM runs: a place that is not there costs it nothing.
    const limit = orBegin === true && { orBegin };
    const place = { recording: id, to, secondsBefore, ...limit, saved, work: `${saved}-made` };
    const { count, secondsBefore: before } = await cluster.works.perform(
      {
        ...({ id: place.work, command: 'prepareRewind', vm: vmId, host } as const),
        send: () => connection.send({ kind: 'prepareRewind', vm: vm.spec, ...place }),
      },
      task,
    );
    made(Number(before ?? 0));
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
