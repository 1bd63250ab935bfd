/**
 * Flight recorders (host/vm/flight-recorder.ts): a wish for each VM, told to whichever copy is live.
 * What they have kept of incidents, and what is done about those, is in incidents.ts.
 */
import type { Input } from '../api/endpoints.ts';
import type { TaskView } from '../api/tasks.ts';
import { UmbraError } from '../base/errors.ts';
import type { Connection } from './agents.ts';
import type { Cluster } from './cluster.ts';
import type { Vm } from './inventory.ts';
import { liveOf } from './protection.ts';
import { needProtocol } from './protocol-need.ts';
import { liveConnection, refuseTakenRecording } from './recordings.ts';
import { onDatastore } from './rewind-words.ts';
import type { Task } from './tasks.ts';
import { begin } from './vm-states.ts';

export const defaultFlightBytes = 2 ** 30;

/**
 * `minutes` null: off, and what it holds is given up. What is not said stays as it is.
 * @throws UmbraError `rewind-beyond-flight`, `rewind-on-datastore`
 */
export function setFlight(cluster: Cluster, vm: Vm, wish: Input<'setFlight'>['body']): void {
  const { id, name } = vm.spec;
  const before = vm.flight;
  const { minutes, bytesMax = before?.bytesMax ?? defaultFlightBytes } = wish;
  const { rewindSeconds = before?.rewindSeconds ?? null } = wish;
  if (minutes !== null && rewindSeconds !== null) refuseRewind(vm, rewindSeconds, minutes);
  const policy = rewindSeconds !== null && { rewindSeconds };
  const flight = minutes === null ? undefined : { minutes, bytesMax, ...policy };
  if (JSON.stringify(flight) === JSON.stringify(vm.flight)) return;
  const live = liveOf(cluster.situation(vm));
  const connection = live === undefined ? undefined : cluster.agents.get(live.member.host);
  if (connection !== undefined && flight !== undefined) {
    needProtocol(connection, 4, `record ${name}`, cluster.nameOf(connection.daemonId));
  }
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...vm, flight });
    const holds = `holds the last ${minutes} minutes, ${bytesMax} bytes at most`;
    const then =
      rewindSeconds === null
        ? 'what led to an incident is kept'
        : `after an incident ${name} is put back by itself, to ${rewindSeconds} s before it`;
    const is = flight === undefined ? 'is off' : `${holds}; ${then}`;
    const data = { vm: name, minutes, bytesMax, rewindSeconds };
    cluster.events.add('vm-flight-set', `the flight recorder of ${name} ${is}`, data);
  });
  cluster.evaluate(id);
}

function refuseRewind(
  { spec: { name, disks, datastore } }: Vm,
  seconds: number,
  minutes: number,
): void {
  if (disks.length > 0 && datastore !== undefined) throw onDatastore(name);
  if (seconds <= minutes * 60) return;
  throw new UmbraError(
    'rewind-beyond-flight',
    `${name} cannot be put back ${seconds} s where its flight recorder holds ${minutes} minutes`,
    `Hold more: umbra record flight ${name} --minutes ${Math.ceil(seconds / 60)}.`,
  );
}

/** Tells the live copy what is wished. One of an older release has none: there the wish waits. */
export function followFlight(cluster: Cluster, { spec: { id }, flight }: Vm): void {
  const { copy } =
    liveOf({ record: cluster.arbiter.certain(id), copies: cluster.agents.copiesOf(id) }) ?? {};
  if (copy?.status.role !== 'live') return;
  const connection = cluster.agents.get(copy.host);
  if (connection === undefined || connection.protocol < 4) return;
  const is = copy.status.flight;
  const seconds = flight && flight.minutes * 60;
  if (is?.seconds === seconds && is?.bytesMax === flight?.bytesMax) return;
  const wish = flight && { seconds: flight.minutes * 60, bytesMax: flight.bytesMax };
  cluster.store.settled().then(
    () => connection.command({ kind: 'flight', vm: id, ...wish }),
    () => {},
  );
}

/** What it holds now becomes a recording; it goes on with the next minutes. */
export function keepFlight(cluster: Cluster, vm: Vm, name: string, by: string): TaskView {
  const { id: vmId, name: vmName } = vm.spec;
  if (vm.flight === undefined) {
    throw new UmbraError(
      'flight-off',
      `${vmName} has no flight recorder`,
      `Turn it on: umbra record flight ${vmName} --minutes 10.`,
    );
  }
  refuseTakenRecording(vm, name);
  const { where, connection } = liveConnection(cluster, vm);
  return begin(cluster, { kind: 'keep-flight', vm: vmName, host: where, by }, async (task) => {
    const id = await flightKept(cluster, connection, { vm: vmId, name, work: task.id }, task);
    task.result({ recording: name, id });
  });
}

/** Within a task. @returns the recording's id */
export async function flightKept(
  cluster: Cluster,
  connection: Connection,
  wanted: { readonly vm: string; readonly name: string; readonly work: string },
  task: Task,
): Promise<string> {
  const { vm, work: id } = wanted;
  const send = () => connection.send({ kind: 'keepFlight', ...wanted });
  const work = { id, command: 'keepFlight', vm, host: connection.daemonId, send } as const;
  return String((await cluster.works.perform(work, task))['recording']);
}
