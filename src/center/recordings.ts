/**
 * Recordings of VMs that run (docs/decisions/recordings-in-a-cluster.md): begun, ended, listed,
 * deleted, and sent to whoever asks. Twin of vm-states.ts and exports.ts.
 *
 * That a VM is to be recorded is a wish of the store: the host on which it is live is told until it
 * does so. A recording is one process's; where the VM has gone live elsewhere the wish goes on as the
 * next part, a recording of its own. It ends with `umbra record stop`, with a power-off, or when the
 * host cannot write any more, which is an alarm.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CenterMessage, DaemonMessage } from '../api/agent.ts';
import type { Input } from '../api/endpoints.ts';
import type { RecordingView } from '../api/recording-endpoints.ts';
import type { TaskView } from '../api/tasks.ts';
import { UmbraError } from '../base/errors.ts';
import { passOn } from './archive-task.ts';
import type { Cluster } from './cluster.ts';
import { incidentsKept } from './incidents.ts';
import type { KeptRecording, RecordingWish, Vm } from './inventory.ts';
import { liveOf } from './protection.ts';
import { needProtocol } from './protocol-need.ts';
import { begin, notResponding } from './vm-states.ts';

const deleteMsMax = 30_000;
const lookMs = 20;
/** Room for the number of a part. */
const baseLengthMax = 58;

// --- what hosts say -----------------------------------------------------------------------------

export function keepRecordings(
  cluster: Cluster,
  host: string,
  { vm: id, recordings }: DaemonMessage & { kind: 'recordings' },
): void {
  const vm = cluster.inventory.vm(id);
  if (vm === undefined) return;
  const others = (vm.recordings ?? []).filter((one) => one.host !== host);
  const all = [...others, ...recordings.map((one): KeptRecording => ({ ...one, host }))];
  all.sort((a, b) => a.startedAtMs - b.startedAtMs);
  if (JSON.stringify(all) === JSON.stringify(vm.recordings ?? [])) return;
  cluster.inventory.putVm({ ...vm, recordings: all });
  const known = new Map(vm.recordings?.map((one) => [one.id, one.ended]));
  const fresh = all.filter((one) => one.host === host && known.get(one.id)?.incident === undefined);
  incidentsKept(cluster, id, host, fresh);
}

/** Of a recording that nobody waits for any more: it has ended, or its next part came to nothing. */
export function recordingReported(
  cluster: Cluster,
  daemonId: string,
  { vm: vmId, report }: DaemonMessage & { kind: 'report' },
): void {
  const vm = cluster.inventory.vm(vmId);
  const { kind, id, how, text } = report;
  if (vm === undefined) return;
  const { name } = vm.spec;
  const host = cluster.nameOf(daemonId);
  const isPresent = vm.recording?.id === id;
  if (kind === 'work-failed' && isPresent) {
    end(cluster, vm);
    // Whoever has asked for the first part is told by a task.
    if (vm.recording!.part > 1) complain(cluster, vm, host, `it could not go on there: ${text}`);
  }
  if (kind !== 'recording-ended') return;
  const recording = String(report['name']);
  const said = `recording ${recording} of ${name} has ended on ${host}`;
  const why = how === 'vm-ended' ? ': the VM is live there no more' : text ? `: ${text}` : '';
  const data = { vm: name, host, recording, how, code: report['code'] };
  cluster.events.add('vm-recording-ended', `${said}${why}`, data);
  if (how !== 'failed') return;
  if (isPresent) end(cluster, vm);
  complain(cluster, vm, host, `${text}`);
}

function end(cluster: Cluster, vm: Vm): void {
  cluster.inventory.putVm({ ...vm, recording: undefined });
}

function complain(cluster: Cluster, { spec: { id, name } }: Vm, host: string, why: string): void {
  const text = `${name} is not recorded any more on ${host}: ${why}`;
  const common = { kind: 'recording-failed', subject: id, severity: 'yellow' } as const;
  cluster.alarms.latch({ ...common, text, vm: name, host });
}

/** Tells the live copy what is wished, and begins the next part where it is another one. */
export function followRecording(cluster: Cluster, vm: Vm): void {
  const wish = vm.recording;
  if (wish === undefined) return;
  const { copy } = liveOf(cluster.situation(vm)) ?? {};
  if (copy?.status.role !== 'live') return;
  const { host, status } = copy;
  if (status.process === wish.process) {
    const isThere = status.recordings?.some(({ id }) => id === wish.id);
    if (!isThere) order(cluster, host, vm, wish);
    return;
  }
  const { name } = vm.spec;
  const where = cluster.nameOf(host);
  if ((cluster.agents.get(host)?.protocol ?? 0) < 4) {
    end(cluster, vm);
    return complain(cluster, vm, where, 'that host is of a release that does not record');
  }
  const part = wish.part + 1;
  const next = { ...wish, ...namesOf(wish.base, part), part, host, process: status.process };
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...vm, recording: next });
    const text = `the recording ${wish.name} of ${name} goes on as ${next.name} on ${where}`;
    const data = { vm: name, host: where, recording: next.name, before: wish.name };
    cluster.events.add('vm-recording-continues', text, data);
  });
  order(cluster, host, vm, next);
}

const namesOf = (base: string, part: number) => ({
  id: randomBytes(8).toString('hex'),
  name: part === 1 ? base : `${base.slice(0, baseLengthMax)}-${part}`,
});

function order(cluster: Cluster, host: string, vm: Vm, { id, name, bytesMax }: RecordingWish) {
  const limit = bytesMax !== undefined && { bytesMax };
  const message: CenterMessage = { kind: 'record', vm: vm.spec.id, id, name, ...limit };
  // Should the center be another one tomorrow, it knows of it.
  cluster.store.settled().then(
    () => cluster.agents.get(host)?.command(message),
    () => {},
  );
}

// --- what people ask for ------------------------------------------------------------------------

export function startRecording(
  cluster: Cluster,
  vm: Vm,
  { name, bytesMax }: Input<'startRecording'>['body'],
  by: string,
): TaskView {
  const { id: vmId, name: vmName } = vm.spec;
  refuseSecond(vm);
  refuseTakenRecording(vm, name);
  const { host, process, where, connection } = liveConnection(cluster, vm);
  needProtocol(connection, 4, `record ${vmName}`, where);
  const limit = bytesMax !== undefined && { bytesMax };
  const wish = { ...namesOf(name, 1), base: name, part: 1, host, process, ...limit };
  cluster.inventory.putVm({ ...vm, recording: wish });
  return begin(cluster, { kind: 'start-recording', vm: vmName, host: where, by }, async (task) => {
    const send = () => order(cluster, host, vm, wish);
    const work = { id: wish.id, command: 'record', vm: vmId, host, send } as const;
    try {
      const { pauseMicros } = await cluster.works.perform(work, task);
      task.result({ recording: name, id: wish.id, pauseMicros });
    } catch (error) {
      const now = cluster.inventory.vm(vmId);
      if (now?.recording?.id === wish.id) end(cluster, now);
      throw error;
    }
    cluster.events.add('vm-recording-started', `${vmName} is recorded as ${name} on ${where}`, {
      ...{ vm: vmName, host: where, recording: name },
    });
  });
}

export function refuseTakenRecording({ spec, recordings = [] }: Vm, name: string): void {
  if (recordings.some((one) => one.name === name)) throw nameTaken(spec.name, name);
}

/** Of the host on which it is live. @throws UmbraError `vm-not-running` */
export function liveConnection(cluster: Cluster, vm: Vm) {
  const live = liveOf(cluster.situation(vm));
  const connection = live?.copy && cluster.agents.get(live.member.host);
  if (live === undefined || connection === undefined) throw notRunning(vm.spec.name);
  return { ...live.member, where: cluster.nameOf(live.member.host), connection };
}

function refuseSecond({ spec, recording }: Vm): void {
  if (recording === undefined) return;
  throw new UmbraError(
    'recording-under-way',
    `${spec.name} is being recorded already, as ${recording.name}`,
    `End that one first: umbra record stop ${spec.name}.`,
  );
}

export function stopRecording(cluster: Cluster, vm: Vm, recording: string, by: string): TaskView {
  const { id: vmId, name: vmName } = vm.spec;
  const wish = vm.recording;
  const isWished = wish !== undefined && [wish.name, wish.id, wish.base].includes(recording);
  if (!isWished) {
    const { name } = find(vm, recording);
    throw new UmbraError(
      'recording-ended',
      `the recording ${name} of ${vmName} has ended already`,
      `See umbra record list ${vmName}.`,
    );
  }
  const { id, name, host } = wish;
  const where = cluster.nameOf(host);
  // From now on it is begun nowhere else; a host that is away ends it with its process.
  end(cluster, vm);
  return begin(cluster, { kind: 'stop-recording', vm: vmName, host: where, by }, async (task) => {
    const connection = cluster.agents.get(host);
    if (connection === undefined) throw notResponding(where, 'The recording ends with its VM.');
    const work = `${id}-stop`;
    const send = () => connection.send({ kind: 'stopRecording', vm: vmId, id, work });
    await cluster.works.perform({ id: work, command: 'stopRecording', vm: vmId, host, send }, task);
    task.result({ recording: name, id });
  });
}

export async function deleteRecording(cluster: Cluster, vm: Vm, recording: string): Promise<void> {
  const { id: vmId, name: vmName } = vm.spec;
  const { id, name, host } = endedRecording(cluster, vm, recording);
  const where = cluster.nameOf(host);
  const connection = cluster.agents.get(host);
  if (connection === undefined) throw notResponding(where, `The recording ${name} is there.`);
  connection.send({ kind: 'deleteRecording', vm: vmId, id });
  for (const until = performance.now() + deleteMsMax; performance.now() < until; ) {
    await sleep(lookMs);
    if (cluster.inventory.vm(vmId)?.recordings?.some((one) => one.id === id)) continue;
    const text = `recording ${name} of ${vmName} has been deleted on ${where}`;
    const data = { vm: vmName, host: where, recording: name };
    cluster.events.add('vm-recording-deleted', text, data);
    return;
  }
  throw new UmbraError(
    'recording-not-deleted',
    `${where} has not deleted ${name} within ${deleteMsMax / 1000} s`,
    `See umbra vm events ${vmName}.`,
  );
}

/** As an archive; twin of exports.ts `sendArchive`. */
export function sendRecording(cluster: Cluster, vm: Vm, recording: string, by: string) {
  const { id: vmId, name: vmName } = vm.spec;
  const { id, name, host } = endedRecording(cluster, vm, recording);
  const where = cluster.nameOf(host);
  const connection = cluster.agents.get(host);
  if (connection === undefined) throw notResponding(where, `The recording ${name} is there.`);
  const wish = { kind: 'export-recording', vm: vmName, host: where, by };
  const passed = passOn(cluster, wish, host, (work) => ({
    ...({ id: work, command: 'sendRecording', vm: vmId, host } as const),
    send: () => connection.send({ kind: 'sendRecording', vm: vmId, id, work }),
    sent: (sum) => {
      const text = `recording ${name} of ${vmName} has been exported, ${sum.bytes} bytes for ${by}`;
      const data = { vm: vmName, host: where, recording: name, by, ...sum };
      cluster.events.add('vm-recording-exported', text, data);
    },
  }));
  return { ...passed, name };
}

export function endedRecording(cluster: Cluster, vm: Vm, recording: string): KeptRecording {
  const found = find(vm, recording);
  if (statusOf(cluster, vm, found) === undefined) return found;
  throw new UmbraError(
    'recording-under-way',
    `the recording ${found.name} of ${vm.spec.name} is under way`,
    `End it first: umbra record stop ${vm.spec.name}.`,
  );
}

function find({ spec, recordings = [] }: Vm, name: string): KeptRecording {
  const found = recordings.find((one) => one.name === name || one.id === name);
  if (found !== undefined) return found;
  const names = recordings.map((one) => one.name).join(', ') || 'none';
  throw new UmbraError(
    'recording-unknown',
    `${spec.name} has no recording "${name}" (it has ${names})`,
    `See umbra record list ${spec.name}.`,
  );
}

const nameTaken = (vm: string, name: string): UmbraError =>
  new UmbraError(
    'name-taken',
    `${vm} has a recording "${name}" already`,
    `Choose another name, or delete that one: umbra record delete ${vm} ${name}.`,
  );

const notRunning = (name: string): UmbraError =>
  new UmbraError(
    'vm-not-running',
    `${name} is not running on any host that responds`,
    `See umbra vm show ${name}.`,
  );

// --- what people are shown ----------------------------------------------------------------------

/** What its process says of it now; undefined: nobody writes it. */
function statusOf(cluster: Cluster, vm: Vm, { id, host }: KeptRecording) {
  const { recordings } = cluster.agents.get(host)?.copies.get(vm.spec.id) ?? {};
  return recordings?.find((one) => one.id === id);
}

export function recordingViews(cluster: Cluster, vm: Vm): RecordingView[] {
  return (vm.recordings ?? []).map((recording): RecordingView => {
    const { id, name, host, count, startedAtMs, endedAtMs, ended: how } = recording;
    const now = statusOf(cluster, vm, recording);
    const hostConnected = cluster.agents.get(host) !== undefined;
    const isLost = now === undefined && endedAtMs === undefined;
    return {
      ...{ id, name, host: cluster.nameOf(host), hostConnected, count },
      state: now !== undefined ? 'recording' : isLost && !hostConnected ? 'unknown' : 'ended',
      startedAt: new Date(startedAtMs).toISOString(),
      endedAt: endedAtMs === undefined ? null : new Date(endedAtMs).toISOString(),
      end: now !== undefined ? null : isLost ? 'process-lost' : (how?.kind ?? null),
      endText: how?.text ?? null,
      seconds: now?.seconds ?? recording.seconds ?? null,
      bytes: now?.bytes ?? recording.bytes,
      bytesPerSecond: now?.bytesPerSecond ?? null,
    };
  });
}
