/**
 * Recordings as timelines: asked of the host that has them (host/recording-looks.ts). Twin of
 * recordings.ts, which begins and ends them.
 */
import { randomUUID } from 'node:crypto';
import type { TaskView } from '../api/tasks.ts';
import type {
  RecordingActivity,
  RecordingConsolePage,
  RecordingTimelineView,
} from '../api/timeline-endpoints.ts';
import { UmbraError } from '../base/errors.ts';
import type { Connection } from './agents.ts';
import type { Cluster } from './cluster.ts';
import type { WorkOrder } from './host-works.ts';
import type { Vm } from './inventory.ts';
import { needProtocol } from './protocol-need.ts';
import { endedRecording } from './recordings.ts';
import { notResponding } from './vm-states.ts';

const replayKind = 'replay-recording';
/** The log of a long recording is read once. */
const answerMsMax = 120_000;
const eventsMax = 1_000;
/** An event is told a moment after what it tells of. */
const behindMs = 1_000;

interface Asked {
  readonly id: string;
  readonly name: string;
  readonly host: string;
  readonly where: string;
  readonly connection: Connection;
}

/** One that has ended, at its host. @throws UmbraError why it cannot be asked about it */
export function askedRecording(cluster: Cluster, vm: Vm, recording: string): Asked {
  const { id, name, host } = endedRecording(cluster, vm, recording);
  const where = cluster.nameOf(host);
  const connection = cluster.agents.get(host);
  if (connection === undefined) throw notResponding(where, `The recording ${name} is there.`);
  needProtocol(connection, 4, `show the recording ${name}`, where);
  return { id, name, host, where, connection };
}

export async function recordingTimeline(
  cluster: Cluster,
  vm: Vm,
  recording: string,
): Promise<RecordingTimelineView> {
  const { id, name, host, where, connection } = askedRecording(cluster, vm, recording);
  const { id: vmId, name: vmName } = vm.spec;
  const { activity } = await answer(cluster, where, (work) => ({
    ...({ id: work, command: 'lookAtRecording', vm: vmId, host } as const),
    send: () => connection.send({ kind: 'lookAtRecording', vm: vmId, id, work }),
  }));
  const found = activity as RecordingActivity;
  return {
    ...{ vm: vmName, recording: name, host: where, ...found },
    events: eventsWithin(cluster, vmName, found),
  };
}

/** By the host's clock, which the guest's follows. */
function eventsWithin(
  cluster: Cluster,
  vm: string,
  { from, to, epochMs }: RecordingActivity,
): RecordingTimelineView['events'] {
  const secondsOf = (time: string): number => (Date.parse(time) - epochMs) / 1_000;
  return cluster.events
    .query({ after: 0, last: true, limit: eventsMax, vm })
    .filter(({ time }) => {
      const seconds = secondsOf(time);
      return seconds >= from.seconds && seconds <= to.seconds + behindMs / 1_000;
    })
    .map(({ sequence, kind, text, time }) => ({
      ...{ sequence, kind, text, time },
      seconds: Math.min(to.seconds, secondsOf(time)),
    }));
}

/** Once: whoever asks while it is under way gets the same task. */
export function replayRecording(cluster: Cluster, vm: Vm, recording: string, by: string): TaskView {
  const { id, name, host, where, connection } = askedRecording(cluster, vm, recording);
  const { id: vmId, name: vmName } = vm.spec;
  const present = cluster.tasks.running(replayKind, vmName);
  if (present?.result?.['id'] === id) return present;
  const wish = { kind: replayKind, vm: vmName, host: where, by };
  const running = cluster.tasks.run(wish, async (task) => {
    task.result({ recording: name, id });
    const work = task.id;
    const send = () => connection.send({ kind: 'replayRecording', vm: vmId, id, work });
    const giveUp = () => connection.send({ kind: 'endReplay', vm: vmId, work });
    task.signal.addEventListener('abort', giveUp, { once: true });
    const order = { id: work, command: 'replayRecording', vm: vmId, host, send } as const;
    try {
      await cluster.works.perform(order, task);
    } finally {
      task.signal.removeEventListener('abort', giveUp);
    }
  });
  return cluster.tasks.show(running.id);
}

export async function recordingConsole(
  cluster: Cluster,
  vm: Vm,
  recording: string,
  from: number,
): Promise<RecordingConsolePage> {
  const { id, host, where, connection } = askedRecording(cluster, vm, recording);
  const { id: vmId } = vm.spec;
  const { page } = await answer(cluster, where, (work) => ({
    ...({ id: work, command: 'readRecordingConsole', vm: vmId, host } as const),
    send: () => connection.send({ kind: 'readRecordingConsole', vm: vmId, id, from, work }),
  }));
  return page as RecordingConsolePage;
}

/** What is over in a moment is no task. */
function answer(cluster: Cluster, where: string, order: (work: string) => WorkOrder) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(notAnswered(where)), answerMsMax);
  timer.unref();
  const asker = { signal: late.signal, progress: () => {} };
  return cluster.works
    .perform(order(`look-${randomUUID()}`), asker)
    .finally(() => clearTimeout(timer));
}

const notAnswered = (host: string): UmbraError =>
  new UmbraError(
    'recording-not-read',
    `${host} has not read the recording within ${answerMsMax / 1000} s`,
    'See the load of that host, and ask again: what it has found meanwhile stays there.',
  );
