/**
 * Flight recorders (host/vm/flight-recorder.ts): a wish for each VM, told to whichever copy is live,
 * and the incidents that hosts have kept.
 */
import type { DaemonMessage } from '../api/agent.ts';
import type { Input } from '../api/endpoints.ts';
import type { TaskView } from '../api/tasks.ts';
import { UmbraError } from '../base/errors.ts';
import type { Connection } from './agents.ts';
import type { Cluster } from './cluster.ts';
import type { Vm } from './inventory.ts';
import { liveOf } from './protection.ts';
import { needProtocol } from './protocol-need.ts';
import { liveConnection, refuseTakenRecording } from './recordings.ts';
import type { Task } from './tasks.ts';
import { begin } from './vm-states.ts';

export const defaultFlightBytes = 2 ** 30;

/** `minutes` null: off, and what it holds is given up. */
export function setFlight(
  cluster: Cluster,
  vm: Vm,
  { minutes, bytesMax = vm.flight?.bytesMax ?? defaultFlightBytes }: Input<'setFlight'>['body'],
): void {
  const { id, name } = vm.spec;
  const flight = minutes === null ? undefined : { minutes, bytesMax };
  if (JSON.stringify(flight) === JSON.stringify(vm.flight)) return;
  const live = liveOf(cluster.situation(vm));
  const connection = live === undefined ? undefined : cluster.agents.get(live.member.host);
  if (connection !== undefined && flight !== undefined) {
    needProtocol(connection, 4, `record ${name}`, cluster.nameOf(connection.daemonId));
  }
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...vm, flight });
    const text =
      flight === undefined
        ? `the flight recorder of ${name} is off`
        : `the flight recorder of ${name} holds the last ${minutes} minutes, ${bytesMax} bytes at most`;
    cluster.events.add('vm-flight-set', text, { vm: name, minutes, bytesMax });
  });
  cluster.evaluate(id);
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

/** @returns whether the report is of an incident */
export function incidentReported(
  cluster: Cluster,
  daemonId: string,
  { vm: vmId, report }: DaemonMessage & { kind: 'report' },
): boolean {
  if (report['kind'] !== 'incident') return false;
  const vm = cluster.inventory.vm(vmId);
  if (vm === undefined) return true;
  const { name } = vm.spec;
  const host = cluster.nameOf(daemonId);
  const { incident, text: what, name: recording } = report;
  const kept =
    recording === undefined
      ? 'nothing of it is kept'
      : `what led to it is kept as ${recording}: umbra record export ${name} ${recording}`;
  const text = `the guest of ${name} has failed on ${host} (${what}); ${kept}`;
  const data = { vm: name, host, incident, recording: recording ?? null, what };
  cluster.events.add('vm-incident', text, data);
  const common = { kind: 'guest-incident', subject: vmId, severity: 'red' } as const;
  cluster.alarms.latch({ ...common, text, vm: name, host });
  return true;
}
