/**
 * What happens to guests, and what is done about it by itself where the operator has chosen so.
 *
 *   kept by its host -> event, alarm -> (the policy) due -> rewind-vm -> live as it was before
 *                                                      `-> withheld, or failed: an alarm; it stays
 *
 * From: the report of an incident, and the host's list of recordings, which says of each what it was
 * kept for: a report is sent once, so that of an incident which no center has heard is learnt by the
 * list. What is due is in the store: whichever center leads begins it, again if the one that had
 * begun it has gone.
 *
 * Invariant: without the operator's word (`rewindSeconds` of the flight recorder) nothing is ever put
 * back by itself; with it, not more than a few times within an hour. A guest that does the same again
 * would otherwise do so for ever, and nobody would know.
 */
import type { DaemonMessage, Incident } from '../api/agent.ts';
import { UmbraError } from '../base/errors.ts';
import type { Cluster } from './cluster.ts';
import type { KeptRecording, Vm } from './inventory.ts';
import { policyName, type VmIncident } from './rewind-words.ts';
import { rewind } from './rewinds.ts';
import { rewindKind } from './vm-states.ts';

/** Tried so often within so long; then it stays as it is. */
const rewindsMax = 3;
const rewindsWithinMs = 3_600_000;
/** What is older when it becomes known is history: the VM has gone on since. */
const dueMsMax = 600_000;
/** A center that has just begun waits so long for the host that has the recording. */
const hostMsMax = 60_000;

// --- what hosts say -----------------------------------------------------------------------------

/** @returns whether the report is of an incident */
export function incidentReported(
  cluster: Cluster,
  daemonId: string,
  { vm: vmId, report }: DaemonMessage & { kind: 'report' },
): boolean {
  if (report['kind'] !== 'incident') return false;
  const vm = cluster.inventory.vm(vmId);
  const kept = report['recording'] as string | null;
  if (vm === undefined || (kept !== null && vm.incident?.recording === kept)) return true;
  const { incident, text: what, name } = report;
  tell(cluster, vm, daemonId, { incident, what: String(what), name: name as string | undefined });
  // The list in which the recording is comes next.
  if (kept !== null) note(cluster, vmId, { recording: kept, what: String(what), stage: 'told' });
  return true;
}

/** @param fresh recordings of this host that were not known of */
export function incidentsKept(
  cluster: Cluster,
  vmId: string,
  host: string,
  fresh: readonly KeptRecording[],
): void {
  const latest = fresh.findLast(({ ended }) => ended?.incident !== undefined);
  const vm = cluster.inventory.vm(vmId);
  const incident = latest?.ended?.incident;
  if (vm === undefined || latest === undefined || incident === undefined) return;
  const { id: recording, name, endedAtMs = 0 } = latest;
  const what = latest.ended?.text ?? incident.kind;
  if (Date.now() - endedAtMs > dueMsMax) return;
  if (vm.incident?.recording !== recording) {
    tell(cluster, vm, host, { incident: incident.kind, what, name });
  }
  const isDue = vm.flight?.rewindSeconds !== undefined;
  const due = isDue && { stage: 'due' as const, dueAtMs: Date.now() };
  note(cluster, vmId, { recording, what, stage: 'told', ...due });
}

function tell(
  cluster: Cluster,
  { spec: { id, name } }: Vm,
  daemonId: string,
  said: { incident: unknown; what: string; name: string | undefined },
): void {
  const { incident, what, name: recording } = said;
  const host = cluster.nameOf(daemonId);
  const kept =
    recording === undefined
      ? 'nothing of it is kept'
      : `what led to it is kept as ${recording}: umbra record export ${name} ${recording}`;
  const text = `the guest of ${name} has failed on ${host} (${what}); ${kept}`;
  const data = { vm: name, host, incident, recording: recording ?? null, what };
  cluster.events.add('vm-incident', text, data);
  const common = { kind: 'guest-incident', subject: id, severity: 'red' } as const;
  cluster.alarms.latch({ ...common, text, vm: name, host });
}

function note(cluster: Cluster, vmId: string, incident: VmIncident | undefined): void {
  const vm = cluster.inventory.vm(vmId);
  if (vm !== undefined) cluster.inventory.putVm({ ...vm, incident });
}

// --- the policy ---------------------------------------------------------------------------------

/** Begins what is due, and ends what a center that has gone had begun. Called again and again. */
export function followIncident(cluster: Cluster, vm: Vm): void {
  const { incident, flight, recordings = [] } = vm;
  const { id, name } = vm.spec;
  if (incident === undefined || incident.stage === 'told') return;
  if (cluster.tasks.running(rewindKind, name) !== undefined) return;
  if (incident.stage === 'back') {
    cluster.inventory.putVm({ ...vm, wanted: 'on', incident: undefined });
    return cluster.evaluate(id);
  }
  const { recording: wanted, dueAtMs = 0, isBegun = false } = incident;
  const recording = recordings.find((each) => each.id === wanted);
  const kept = recording?.ended?.incident;
  const wished = flight?.rewindSeconds;
  if (recording === undefined || kept === undefined || wished === undefined) {
    return note(cluster, id, undefined);
  }
  if (cluster.arbiter.certain(id) === undefined) return;
  const since = Date.now() - rewindsWithinMs;
  const lately = (vm.rewoundAtMs ?? []).filter((at) => at > since);
  const where = cluster.nameOf(recording.host);
  if (!isBegun && lately.length >= rewindsMax) {
    const why = `that has been tried ${lately.length} times within an hour already`;
    return withheld(cluster, vm, why);
  }
  if (cluster.agents.get(recording.host) === undefined) {
    if (Date.now() - dueAtMs < hostMsMax) return;
    return withheld(cluster, vm, `${where}, where the recording is, does not respond`);
  }
  const rewoundAtMs = isBegun ? lately : [...lately, Date.now()];
  const begun: Vm = { ...vm, rewoundAtMs, incident: { ...incident, isBegun: true } };
  cluster.inventory.putVm(begun);
  putBack(cluster, begun, recording, kept, wished);
}

function putBack(
  cluster: Cluster,
  vm: Vm,
  recording: KeptRecording,
  { at, forSeconds }: Incident,
  wished: number,
): void {
  const { id, name } = vm.spec;
  const wish = {
    ...{ recording: recording.id, to: `time:${at.toFixed(7)}` },
    ...{ secondsBefore: forSeconds + wished, orBegin: true },
  };
  const input = { vm: name, recording: recording.name, rewindSeconds: wished };
  const audit = (outcome: string): void => {
    const who = { who: policyName, role: null, address: '' };
    cluster.audit.add({ ...who, action: 'rewindVm', input, outcome, milliseconds: 0 }, false);
  };
  const failed = (error: unknown): void => {
    const { code = 'bug', message } = error as UmbraError;
    // The next center that leads begins it again.
    if (code === 'center-stopping') return;
    audit(code);
    const now = cluster.inventory.vm(id);
    // Without it somebody has decided otherwise meanwhile.
    if (now?.incident !== undefined) withheld(cluster, now, message, vm.wanted);
  };
  const made = (secondsBefore: number): void => {
    const now = cluster.inventory.vm(id);
    // Nothing is undone yet.
    if (now?.incident === undefined) throw superseded();
    const seconds = Math.max(0, secondsBefore - forSeconds);
    cluster.inventory.putVm({ ...now, incident: { ...now.incident, seconds } });
  };
  try {
    const { done } = rewind(cluster, vm, wish, policyName, made);
    done.then(() => {
      audit('done');
      note(cluster, id, undefined);
    }, failed);
  } catch (error) {
    failed(error);
  }
}

const superseded = (): UmbraError =>
  new UmbraError('task-cancelled', 'somebody has decided otherwise meanwhile', '');

/** It stays as it is. @param wanted what was wished before the attempt, should that have changed it */
function withheld(cluster: Cluster, vm: Vm, why: string, wanted = vm.wanted): void {
  const { id, name } = vm.spec;
  const { what = 'its guest has failed' } = vm.incident ?? {};
  const isRestarted = wanted === 'on' && vm.wanted === 'off';
  const stays = isRestarted ? 'it is powered on again instead' : 'it stays as it is';
  const text = `${name} was not put back after its incident (${what}): ${why}; ${stays}`;
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...vm, wanted, incident: undefined });
    cluster.events.add('vm-rewind-failed', text, { vm: name, why });
    const common = { kind: 'rewind-failed', subject: id, severity: 'red' } as const;
    cluster.alarms.latch({ ...common, text, vm: name });
  });
}
