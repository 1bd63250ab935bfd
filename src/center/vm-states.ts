/**
 * What people ask of the states of VMs: snapshots, going back to one, clones. Twin of
 * operations.ts: conditions, then a task with the order to the host that has what is needed. A
 * center that is started anew has given its tasks up; a snapshot or an archive that the host finishes
 * nevertheless is there, disks of a clone are removed again.
 *
 * Which snapshots there are is the hosts' knowledge; the center keeps what each host said last, so
 * that it can say where a snapshot is whose host is away.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DaemonMessage, VmSpec } from '../api/agent.ts';
import type { Input } from '../api/endpoints.ts';
import type { SnapshotView } from '../api/state-endpoints.ts';
import type { TaskView } from '../api/tasks.ts';
import { UmbraError } from '../base/errors.ts';
import { coldStartHosts, leaseOf, type VmRecord } from '../lockstep/arbiter.ts';
import type { Cluster } from './cluster.ts';
import { powerOnInputs } from './cluster.ts';
import { hostLost } from './host-works.ts';
import { beginsOff, type KeptSnapshot, type Vm } from './inventory.ts';
import { macOf } from './operations.ts';
import { liveOf } from './protection.ts';
import { needProtocol } from './protocol-need.ts';
import type { Task, TaskWish } from './tasks.ts';
import { vmView } from './views.ts';

/** As hosts name them (host/vm/shared-disks.ts). */
const cloneDisksName = '0-0-clone';
const stopMsMax = 60_000;
const deleteMsMax = 30_000;
const lookMs = 20;

// --- what hosts say -----------------------------------------------------------------------------

export function keepSnapshots(
  cluster: Cluster,
  host: string,
  { vm: id, snapshots }: DaemonMessage & { kind: 'snapshots' },
): void {
  const vm = cluster.inventory.vm(id);
  if (vm === undefined) return;
  // On a datastore every host sees the same.
  const isShared = vm.spec.datastore !== undefined;
  const others = (vm.snapshots ?? []).filter((one) => one.host !== host && !isShared);
  const all = [...others, ...snapshots.map((snapshot): KeptSnapshot => ({ ...snapshot, host }))];
  all.sort((a, b) => a.savedAtMs - b.savedAtMs);
  if (JSON.stringify(all) === JSON.stringify(vm.snapshots ?? [])) return;
  cluster.inventory.putVm({ ...vm, snapshots: all });
}

/** The snapshot of which a saved state is a copy: states of suspended VMs have names of their own. */
export function revertedTo(vm: Vm, saved: string | undefined): KeptSnapshot | undefined {
  return vm.snapshots?.find(({ id }) => id === saved?.split('-')[0]);
}

/** Within the transaction in which the arbiter's decision is taken up: from now on the VM is what it was then. */
export function reverted(cluster: Cluster, vm: Vm, record: VmRecord): void {
  const { host, id: saved } = record.saved!;
  const snapshot = revertedTo(vm, saved);
  const { name, number, mac } = vm.spec;
  const spec: VmSpec = { ...(snapshot?.vm ?? vm.spec), name, number, mac };
  const offState = snapshot?.isOff ? saved : undefined;
  cluster.inventory.putVm({
    ...{ ...vm, spec, wanted: 'off', host, shadowHost: undefined, offState },
    consoleSince: record.generation,
  });
  const [where, what] = [cluster.nameOf(host), snapshot?.name ?? saved];
  const text = `${name} is what it was at the snapshot ${what}, on ${where}`;
  cluster.events.add('vm-reverted', text, { vm: name, host: where, snapshot: what });
  cluster.console(spec.id).restart();
}

// --- what people ask for ------------------------------------------------------------------------

/** Refuses at once a start that would only wait. */
export function refuseStateAway(cluster: Cluster, vm: Vm, discardState: boolean): void {
  const record = cluster.arbiter.certain(vm.spec.id);
  if (discardState || record?.saved === undefined || record.state === 'live') return;
  if (vm.spec.datastore !== undefined) return;
  if (cluster.agents.get(record.saved.host) !== undefined) return;
  const { name } = vm.spec;
  const host = cluster.nameOf(record.saved.host);
  const what = beginsOff(vm, record) ? 'is as it was at a snapshot' : 'is suspended';
  throw new UmbraError(
    'saved-state-away',
    `${name} ${what}, and its saved state is on ${host}, which is not responding`,
    `Bring that host back, or give up what is saved: umbra vm start ${name} --discard-state.`,
  );
}

export function takeSnapshot(cluster: Cluster, vm: Vm, name: string, by: string): TaskView {
  const { id: vmId, name: vmName } = vm.spec;
  if (vm.snapshots?.some((snapshot) => snapshot.name === name)) {
    throw new UmbraError(
      'name-taken',
      `${vmName} has a snapshot "${name}" already`,
      `Choose another name, or delete that one: umbra vm snapshot delete ${vmName} ${name}.`,
    );
  }
  const { host, connection, isOff } = placeToSnapshot(cluster, vm);
  const where = cluster.nameOf(host);
  if (isOff) needProtocol(connection, 4, `take a snapshot of ${vmName} while it is off`, where);
  return begin(cluster, { kind: 'take-snapshot', vm: vmName, host: where, by }, async (task) => {
    const id = randomBytes(8).toString('hex');
    const order = isOff
      ? ({ kind: 'snapshotDisks', vm: vm.spec, id, name, ...sharedDisksOf(cluster, vm) } as const)
      : ({ kind: 'snapshot', vm: vmId, id, name } as const);
    const send = () => connection.send(order);
    await cluster.works.perform({ id, command: order.kind, vm: vmId, host, send }, task);
    if (cluster.inventory.vm(vmId) === undefined) throw deletedMeanwhile();
    task.result({ snapshot: name, id });
    cluster.events.add('vm-snapshot-taken', `snapshot ${name} of ${vmName} is on ${where}`, {
      ...{ vm: vmName, host: where, snapshot: name },
    });
  });
}

/** @throws UmbraError `vm-not-running` where it is neither live nor off on a host that responds */
function placeToSnapshot(cluster: Cluster, vm: Vm) {
  const { name } = vm.spec;
  const live = liveOf(cluster.situation(vm));
  const isOff = vmView(cluster, vm).state === 'poweredOff';
  const host = isOff ? hostWithDisks(cluster, vm) : live?.copy && live.member.host;
  const connection = host === undefined ? undefined : cluster.agents.get(host);
  if (host !== undefined && connection !== undefined) return { host, connection, isOff };
  if (host !== undefined && isOff) throw notResponding(cluster.nameOf(host));
  throw new UmbraError(
    'vm-not-running',
    `${name} is not running on any host that responds, nor is it powered off`,
    `See umbra vm show ${name}.`,
  );
}

/** Hosts finish what they have begun: none of these can be cancelled. */
export function begin(
  cluster: Cluster,
  wish: Omit<TaskWish, 'isCancellable'>,
  act: (task: Task) => Promise<void>,
): TaskView {
  return cluster.tasks.show(cluster.tasks.run({ ...wish, isCancellable: false }, act).id);
}

export async function deleteSnapshot(cluster: Cluster, vm: Vm, name: string): Promise<void> {
  const snapshot = findSnapshot(vm, name);
  const { id: vmId, name: vmName } = vm.spec;
  const connection = connectionTo(cluster, vm, snapshot);
  connection.send({ kind: 'deleteSnapshot', vm: vmId, snapshot: snapshot.id });
  for (const end = performance.now() + deleteMsMax; performance.now() < end; ) {
    await sleep(lookMs);
    const left = cluster.inventory.vm(vmId)?.snapshots ?? [];
    if (left.some(({ id }) => id === snapshot.id)) continue;
    const host = cluster.nameOf(snapshot.host);
    const text = `snapshot ${snapshot.name} of ${vmName} has been deleted on ${host}`;
    cluster.events.add('vm-snapshot-deleted', text, { vm: vmName, host, snapshot: snapshot.name });
    return;
  }
  throw new UmbraError(
    'snapshot-not-deleted',
    `${cluster.nameOf(snapshot.host)} has not deleted ${snapshot.name} within ${deleteMsMax / 1000} s`,
    `See umbra vm events ${vmName}.`,
  );
}

/** What a task of one of these kinds orders, its host may ask of the arbiter while it runs (start-orders.ts). */
export const revertKind = 'revert-to-snapshot';
export const rewindKind = 'rewind-vm';
export const goLiveKind = 'go-live';
export const revertKinds: readonly string[] = [revertKind, rewindKind, goLiveKind];

/** The saved state of a revert is named by its snapshot and its task. */
export const revertTaskOf = (saved: string): string => saved.slice(saved.indexOf('-') + 1);

export function revertToSnapshot(
  cluster: Cluster,
  vm: Vm,
  wish: { readonly snapshot: string; readonly start: boolean; readonly by: string },
): TaskView {
  const snapshot = findSnapshot(vm, wish.snapshot);
  const { id: vmId, name: vmName } = vm.spec;
  const { daemonId: host } = connectionTo(cluster, vm, snapshot);
  const shown = { kind: revertKind, vm: vmName, host: cluster.nameOf(host), by: wish.by };
  return begin(cluster, shown, async (task) => {
    task.progress(0, `${vmName} is powered off`);
    cluster.inventory.putVm({ ...vm, wanted: 'off' });
    cluster.evaluate(vmId);
    const fenced = await whenStopped(cluster, vmId, host, task.signal);
    // Another center that decides for the arbiter has to know of the task.
    await cluster.store.settled();
    const connection = cluster.agents.get(host);
    if (connection === undefined) throw hostLost();
    const saved = `${snapshot.id}-${task.id}`;
    const record = cluster.arbiter.certain(vmId);
    const lapsed = fenced && record !== undefined ? leaseOf(record) : undefined;
    const order = { kind: 'revert', vm: vmId, snapshot: snapshot.id, saved, fenced } as const;
    const send = () => connection.send({ ...order, ...(lapsed !== undefined && { lapsed }) });
    await cluster.works.perform({ id: saved, command: 'revert', vm: vmId, host, send }, task);
    task.result({ snapshot: snapshot.name });
    const now = cluster.inventory.vm(vmId);
    if (now === undefined || !wish.start) return;
    cluster.inventory.putVm({ ...now, wanted: 'on' });
    cluster.evaluate(vmId);
  });
}

/**
 * @param host has to be there when it is
 * @returns whether the record still calls a process live that has certainly ended
 */
export async function whenStopped(
  cluster: Cluster,
  id: string,
  host: string,
  signal: AbortSignal,
): Promise<boolean> {
  for (const end = performance.now() + stopMsMax; performance.now() < end; ) {
    const vm = cluster.inventory.vm(id);
    if (vm === undefined) throw deletedMeanwhile();
    if (cluster.agents.get(host) === undefined) throw hostLost();
    const situation = cluster.situation(vm);
    const { record } = situation;
    const live = liveOf(situation);
    const eligible = record?.eligibleShadow;
    if (record !== undefined && live === undefined) return false;
    const mayClaim = eligible !== undefined && !situation.hasEnded(eligible);
    const hasEnded = live && (situation.hasEnded(live.member) || situation.ha?.leaseEnded);
    if (record !== undefined && hasEnded && !mayClaim) return true;
    await sleep(lookMs, undefined, { signal });
  }
  throw new UmbraError(
    'vm-running',
    `it could not be powered off within ${stopMsMax / 1000} s`,
    'See umbra vm events.',
  );
}

const cloneKind = 'clone-vm';

export function cloneVm(
  cluster: Cluster,
  vm: Vm,
  body: Input<'cloneVm'>['body'],
  by: string,
): TaskView {
  const { id: vmId, name: vmName } = vm.spec;
  refuseTakenName(cluster, body.name);
  const snapshot = body.snapshot === undefined ? undefined : findSnapshot(vm, body.snapshot);
  const { state } = vmView(cluster, vm);
  if (snapshot === undefined && state !== 'poweredOff') {
    throw notOff(
      vmName,
      state,
      `, or clone a snapshot: umbra vm clone ${vmName} NAME --snapshot S`,
    );
  }
  const disks = snapshot === undefined ? sharedDisksOf(cluster, vm) : undefined;
  const host =
    snapshot === undefined
      ? hostWithDisks(cluster, vm)
      : connectionTo(cluster, vm, snapshot).daemonId;
  const connection = cluster.agents.get(host);
  if (connection === undefined) throw notResponding(cluster.nameOf(host));
  const newVm = randomUUID();
  const { name } = body;
  const source = snapshot?.vm ?? vm.spec;
  const shown = { kind: cloneKind, vm: vmName, host: cluster.nameOf(host), by };
  return begin(cluster, shown, async (task) => {
    const send = () =>
      connection.send({
        ...{ kind: 'clone', vm: vm.spec, newVm, work: task.id },
        ...(snapshot !== undefined && { snapshot: snapshot.id }),
        ...disks,
      });
    // First: should this come to nothing, it is known whose disks they are.
    task.result({ vm: name, id: newVm });
    await cluster.works.perform({ id: task.id, command: 'clone', vm: vmId, host, send }, task);
    try {
      await addClone(cluster, vm, source, { id: newVm, name, host });
    } catch (error) {
      forgetDisks(cluster, host, newVm);
      throw error;
    }
  });
}

/** What was copied for a clone that never became a VM; its host has come, or says that it is done. */
export function forgetLostClone(cluster: Cluster, host: string, task: TaskView | undefined): void {
  const id = task?.result?.['id'];
  const makes = task?.kind === cloneKind || task?.kind === goLiveKind;
  const isLost = makes && task.state === 'failed';
  if (!isLost || task.host !== cluster.nameOf(host) || typeof id !== 'string') return;
  forgetDisks(cluster, host, id);
}

function forgetDisks(cluster: Cluster, host: string, id: string): void {
  if (cluster.inventory.vm(id) !== undefined) return;
  cluster.agents.get(host)?.send({ kind: 'forget', vm: id });
}

/** The disks are there: a VM of its own, with an identity of its own. */
async function addClone(
  cluster: Cluster,
  vm: Vm,
  source: VmSpec,
  { id, name, host }: { readonly id: string; readonly name: string; readonly host: string },
): Promise<void> {
  const { inventory, store, events, arbiter } = cluster;
  if (inventory.vm(vm.spec.id) === undefined) throw deletedMeanwhile();
  refuseTakenName(cluster, name);
  const shared = source.datastore && { disks: cloneDisksName, renewals: 0 };
  await arbiter.create(id, shared === undefined ? [host] : [], shared);
  store.transaction(() => {
    const number = store.next('vm-number');
    const spec: VmSpec = { ...source, ...powerOnInputs(), id, name, number, mac: macOf(number) };
    inventory.putVm({
      ...{ spec, ports: [], wanted: 'off', ftWanted: vm.ftWanted, preferredHost: undefined },
      ...{ host, shadowHost: undefined, acceptStale: false, seedGeneration: -1 },
    });
    const where = cluster.nameOf(host);
    const text = `${name} has been cloned from ${vm.spec.name}, on ${where}`;
    events.add('vm-cloned', text, { vm: name, host: where, from: vm.spec.name });
  });
  cluster.publish();
}

/** The name of a VM's disks on its datastore, for orders. */
export function sharedDisksOf(cluster: Cluster, { spec }: Vm): { readonly disks?: string } {
  if (spec.datastore === undefined) return {};
  const disks = cluster.arbiter.certain(spec.id)?.shared?.disks;
  if (disks === undefined) throw neverOn(spec.name);
  return { disks };
}

/** Any that responds and has the datastore. */
function hostWithDatastore(cluster: Cluster, vm: Vm): string | undefined {
  const { datastore } = vm.spec;
  return cluster
    .hostStates()
    .find(({ connected, datastores = [] }) =>
      datastores.some(({ id }) => connected && id === datastore?.id),
    )?.id;
}

export function hostWithDisks(cluster: Cluster, vm: Vm): string {
  const { name, datastore } = vm.spec;
  if (datastore !== undefined) {
    const host = hostWithDatastore(cluster, vm);
    if (host !== undefined) return host;
    throw notResponding(`no host with the datastore ${datastore.name}`);
  }
  const record = cluster.arbiter.certain(vm.spec.id);
  const names = record === undefined ? [] : coldStartHosts(record);
  const host = names.find((id) => cluster.agents.get(id) !== undefined) ?? names[0];
  if (host !== undefined) return host;
  throw neverOn(name);
}

const neverOn = (name: string): UmbraError =>
  new UmbraError(
    'vm-without-disks',
    `${name} was never powered on: there is nothing to copy yet`,
    'Create another VM from the same image: umbra vm create.',
  );

/** From the next power-on. A suspended VM is what it was saved as. */
export function resizeVm(cluster: Cluster, vm: Vm, body: Input<'resizeVm'>['body']): void {
  const { spec } = vm;
  const { name } = spec;
  const { state } = vmView(cluster, vm);
  if (state !== 'poweredOff') throw notOff(name, state);
  const disks = [...spec.disks];
  for (const { disk, bytes } of body.disks ?? []) {
    const present = disks[disk];
    if (present === undefined || bytes < present.bytes) {
      const has = present === undefined ? 'does not exist' : `has ${present.bytes} bytes already`;
      const text = `disk ${disk} of ${name} ${has}: it cannot get ${bytes}`;
      throw new UmbraError('disk-shrinks', text, 'Disks only grow; see umbra vm show.');
    }
    if (bytes === present.bytes) continue;
    const formerBytes = [...(present.formerBytes ?? []), present.bytes];
    disks[disk] = { ...present, bytes, formerBytes };
  }
  const { cpus = spec.cpus, memoryBytes = spec.memoryBytes } = body;
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...vm, spec: { ...spec, cpus, memoryBytes, disks } });
    const what = `${cpus} CPUs, ${memoryBytes} bytes of memory`;
    const sizes = disks.map(({ bytes }) => bytes);
    cluster.events.add('vm-resized', `${name} has ${what}`, { vm: name, cpus, memoryBytes, sizes });
  });
}

export function notOff(name: string, state: string, otherwise = ''): UmbraError {
  return new UmbraError(
    'vm-running',
    `${name} is not powered off (${state})`,
    `Power it off first: umbra vm stop ${name}${otherwise}.`,
  );
}

const deletedMeanwhile = (): UmbraError =>
  new UmbraError('vm-unknown', 'the VM has been deleted meanwhile', 'See umbra vm list.');

function refuseTakenName(cluster: Cluster, name: string): void {
  if (!cluster.inventory.vms.some((vm) => vm.spec.name === name)) return;
  throw new UmbraError('name-taken', `there is a VM "${name}" already`, 'Choose another name.');
}

function findSnapshot({ spec, snapshots = [] }: Vm, name: string): KeptSnapshot {
  const found =
    snapshots.find((snapshot) => snapshot.name === name) ?? snapshots.find(({ id }) => id === name);
  if (found !== undefined) return found;
  const names = snapshots.map((snapshot) => snapshot.name).join(', ') || 'none';
  throw new UmbraError(
    'snapshot-unknown',
    `${spec.name} has no snapshot "${name}" (it has ${names})`,
    `See umbra vm snapshot list ${spec.name}.`,
  );
}

/** Of the host that has the snapshot; on a datastore, of any that reaches it. */
function connectionTo(cluster: Cluster, vm: Vm, { host, name }: KeptSnapshot) {
  const other = vm.spec.datastore && hostWithDatastore(cluster, vm);
  const connection =
    cluster.agents.get(host) ?? (other === undefined ? undefined : cluster.agents.get(other));
  if (connection !== undefined) return connection;
  throw notResponding(cluster.nameOf(host), `The snapshot ${name} is there and nowhere else.`);
}

export function notResponding(host: string, why = ''): UmbraError {
  return new UmbraError(
    'host-not-responding',
    `${host} is not responding. ${why}`.trim(),
    'Bring that host back: umbra host list.',
  );
}

// --- what people are shown ----------------------------------------------------------------------

export function snapshotViews(cluster: Cluster, vm: Vm): SnapshotView[] {
  return (vm.snapshots ?? []).map(
    ({ id, name, host, savedAtMs, bytes, count, vm: spec, isOff }: KeptSnapshot) => ({
      ...{ id, name, bytes, count, host: cluster.nameOf(host) },
      state: isOff ? 'poweredOff' : 'poweredOn',
      hostConnected: cluster.agents.get(host) !== undefined,
      createdAt: new Date(savedAtMs).toISOString(),
      memoryBytes: spec.memoryBytes,
    }),
  );
}
