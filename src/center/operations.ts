/**
 * What people ask for: each act checks its conditions, writes the wish into the store with its
 * event, and lets the cluster make a new plan. Refusals say why and what to do.
 */
import { randomUUID } from 'node:crypto';
import type { PublishedPort, VmSpec } from '../api/agent.ts';
import type { Input } from '../api/endpoints.ts';
import { UmbraError } from '../base/errors.ts';
import { type Cluster, powerOnInputs } from './cluster.ts';
import { refuseWhileExported } from './exports.ts';
import { protectedNow, refuseUnlessSettled, refuseWhileMoving } from './ft-operations.ts';
import { handOver } from './hand-over.ts';
import type { PinnedImage } from './images.ts';
import type { Vm } from './inventory.ts';
import { choose, type DatastoreId } from './placement.ts';
import { prechecks } from './prechecks.ts';
import { liveOf, needOf } from './protection.ts';
import { vmView } from './views.ts';
import { refuseStateAway } from './vm-states.ts';

export async function createVm(cluster: Cluster, body: Input<'createVm'>['body']): Promise<Vm> {
  refuseTakenName(cluster, body.name);
  const preferredHost = body.host === undefined ? undefined : cluster.hostNamed(body.host);
  const ports = body.ports ?? [];
  refuseTakenPorts(cluster, ports);
  const datastore =
    body.datastore === undefined ? undefined : findDatastore(cluster, body.datastore);
  const image = await cluster.images.pin(body.image, body.imageDigest);
  try {
    return await createPinned(cluster, body, image, { preferredHost, ports, datastore });
  } finally {
    cluster.images.release(image.digest);
    forgetUnusedImage(cluster, image.digest);
  }
}

async function createPinned(
  cluster: Cluster,
  body: Input<'createVm'>['body'],
  image: PinnedImage,
  {
    preferredHost,
    ports,
    datastore,
  }: Pick<Vm, 'preferredHost' | 'ports'> & { readonly datastore: DatastoreId | undefined },
): Promise<Vm> {
  const { inventory, store } = cluster;
  const id = randomUUID();
  // First: whoever knows of the VM finds it at the arbiter.
  await cluster.arbiter.create(id, [], datastore && { renewals: 0 });
  try {
    const vm = store.transaction(() => {
      refuseTakenName(cluster, body.name);
      refuseTakenPorts(cluster, ports);
      const number = store.next('vm-number');
      const spec: VmSpec = {
        id,
        name: body.name,
        number,
        image: body.image,
        imageDigest: image.digest,
        cpus: body.cpus ?? 1,
        memoryBytes: body.memoryBytes ?? image.memory,
        mac: macOf(number),
        ...(body.vlan !== undefined && { vlan: body.vlan }),
        ...(body.append !== undefined && { append: body.append }),
        ...(datastore !== undefined && { datastore }),
        disks: image.disks.map(({ path, bytes }) => ({ bytes, template: path })),
        ...powerOnInputs(),
      };
      const created: Vm = {
        spec,
        ports,
        wanted: 'off',
        ftWanted: body.ft ?? false,
        preferredHost,
        host: undefined,
        shadowHost: undefined,
        acceptStale: false,
        seedGeneration: -1,
      };
      inventory.putVm(created);
      cluster.events.add('vm-created', `${spec.name} has been created`, { vm: spec.name });
      return created;
    });
    cluster.publish();
    return vm;
  } catch (error) {
    await cluster.arbiter.remove(id);
    throw error;
  }
}

export async function deleteVm(cluster: Cluster, vm: Vm): Promise<void> {
  const { id, name, imageDigest } = vm.spec;
  refuseWhileExported(cluster, vm);
  const { state } = vmView(cluster, vm);
  const isOff = state === 'poweredOff' || state === 'suspended';
  if (!isOff || !(await cluster.arbiter.remove(id))) {
    throw new UmbraError(
      'vm-running',
      `${name} is not powered off (${state})`,
      `Power it off first: umbra vm stop ${name}.`,
    );
  }
  cluster.store.transaction(() => {
    cluster.inventory.removeVm(id);
    cluster.store.remove('arbiterSeen', id);
    cluster.alarms.forget(id);
    cluster.events.add('vm-deleted', `${name} has been deleted`, { vm: name });
  });
  cluster.forgetConsole(id);
  cluster.agents.broadcast({ kind: 'dismiss', vm: id }, 'host');
  cluster.agents.broadcast({ kind: 'forget', vm: id }, 'host');
  forgetUnusedImage(cluster, imageDigest);
  cluster.publish();
}

function forgetUnusedImage({ inventory, images }: Cluster, digest: string): void {
  if (!inventory.vms.some(({ spec }) => spec.imageDigest === digest)) images.unpin(digest);
}

export function startVm(
  cluster: Cluster,
  vm: Vm,
  acceptStale: boolean,
  discardState = false,
): void {
  const { id, name } = vm.spec;
  refuseWhileExported(cluster, vm);
  refuseStateAway(cluster, vm, discardState);
  const hosts = cluster.hostStates(id);
  if (hosts.length === 0) {
    throw new UmbraError(
      'no-host',
      `no host can run ${name}: none has joined the cluster`,
      'Start one: umbra host start --join URL --token T --data DIR.',
    );
  }
  if (vm.wanted === 'off') {
    const chosen = choose(hosts, needOf(vm, false), cluster.limits);
    if (chosen.host === undefined) throw noRoom(name, chosen.why);
  }
  cluster.inventory.putVm({ ...vm, wanted: 'on', acceptStale, discardState });
  cluster.evaluate(id);
}

export function stopVm(
  cluster: Cluster,
  vm: Vm,
  how: 'power-button' | 'power-off' | 'suspend',
): void {
  const { id, name } = vm.spec;
  const live = liveOf(cluster.situation(vm));
  // Somebody has decided what becomes of it: the policy has nothing to add.
  if (vm.incident !== undefined) cluster.inventory.putVm({ ...vm, incident: undefined });
  if (how !== 'power-off') {
    // A request to the guest or to its host, once; what comes of it is told by the arbiter.
    if (live?.copy === undefined) throw notRunning(name);
    cluster.agents.get(live.member.host)?.send({ kind: 'stop', vm: id, how });
    return;
  }
  cluster.inventory.putVm({ ...vm, incident: undefined, wanted: 'off' });
  cluster.evaluate(id);
}

export function resetVm(cluster: Cluster, vm: Vm): void {
  const live = liveOf(cluster.situation(vm));
  const connection = live?.copy && cluster.agents.get(live.member.host);
  if (connection === undefined) throw notRunning(vm.spec.name);
  connection.send({ kind: 'reset', vm: vm.spec.id });
  const { name } = vm.spec;
  cluster.events.add('vm-reset', `${name} is reset`, { vm: name });
}

/** The reference's prechecks, then the wish. */
export function turnFtOn(cluster: Cluster, vm: Vm): void {
  const { id, name } = vm.spec;
  if (vm.ftWanted) return;
  const failures = prechecks(cluster, vm).filter(({ ok }) => !ok);
  if (failures.length > 0) {
    throw new UmbraError(
      'ft-precheck-failed',
      `fault tolerance of ${name} cannot be turned on: ${failures.map(({ text }) => text).join('; ')}`,
      'Add a host, or make room: umbra host list.',
    );
  }
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...vm, ftWanted: true, ftSuspended: false });
    cluster.events.add('ft-enabled', `fault tolerance of ${name} is turned on`, { vm: name });
  });
  cluster.evaluate(id);
}

/** The shadow ends, and its replica is removed. */
export function turnFtOff(cluster: Cluster, vm: Vm): void {
  const { id, name } = vm.spec;
  if (!vm.ftWanted) return;
  refuseWhileMoving(vm);
  refuseUnlessSettled(cluster, vm, 'turned off');
  const eligible = cluster.arbiter.certain(id)?.eligibleShadow?.host;
  const replicas = [eligible, vm.shadowHost, vm.replicaHost].filter((host) => host !== undefined);
  const discard = [...new Set([...(vm.discard ?? []), ...replicas])];
  const off = { ftWanted: false, ftSuspended: false, replicaHost: undefined, discard };
  cluster.store.transaction(() => {
    cluster.inventory.putVm({ ...vm, ...off });
    cluster.events.add('ft-turned-off', `fault tolerance of ${name} is turned off`, { vm: name });
  });
  cluster.evaluate(id);
}

/** Hands over to the shadow, as a task, and returns when it is live. */
export async function testFailover(cluster: Cluster, vm: Vm, by: string): Promise<void> {
  const wish = { kind: 'test-failover', vm: vm.spec.name, by, isCancellable: false };
  await cluster.tasks.run(wish, () => tryFailover(cluster, vm)).done;
}

async function tryFailover(cluster: Cluster, vm: Vm): Promise<void> {
  const { name } = vm.spec;
  refuseWhileMoving(vm);
  const { live } = protectedNow(cluster, vm);
  const from = cluster.nameOf(live.member.host);
  cluster.events.add('ft-test-failover', `${name} is handed over from ${from}`, { vm: name, from });
  await handOver(cluster, vm);
}

/** The storage that hosts have by this name. */
function findDatastore({ inventory }: Cluster, name: string): DatastoreId {
  const found = inventory.daemons.flatMap(({ name: host, datastores = [] }) =>
    datastores.filter((each) => each.name === name).map(({ id }) => ({ host, id })),
  );
  const [first] = found;
  if (first === undefined) {
    const names = new Set(inventory.daemons.flatMap(({ datastores = [] }) => datastores));
    const known = [...new Set([...names].map((each) => each.name))].join(', ') || 'none';
    throw new UmbraError(
      'datastore-unknown',
      `no host has a datastore "${name}" (there are: ${known})`,
      'Start hosts with --datastore NAME=PATH; see umbra host list --json.',
    );
  }
  const other = found.find(({ id }) => id !== first.id);
  if (other === undefined) return { name, id: first.id };
  throw new UmbraError(
    'datastore-ambiguous',
    `${first.host} and ${other.host} have different storage by the name "${name}"`,
    'Mount the same file system on both, or give one of them another name.',
  );
}

export function refuseTakenName(cluster: Cluster, name: string): void {
  if (!cluster.inventory.vms.some((vm) => vm.spec.name === name)) return;
  throw new UmbraError(
    'name-taken',
    `there is a VM "${name}" already`,
    'Choose another name, or delete that one: umbra vm delete NAME.',
  );
}

function refuseTakenPorts(cluster: Cluster, ports: readonly PublishedPort[]): void {
  const key = ({ protocol, gatewayPort }: PublishedPort) => `${protocol} ${gatewayPort}`;
  const taken = new Map<string, string>();
  for (const { spec, ports: theirs } of cluster.inventory.vms) {
    for (const port of theirs) taken.set(key(port), spec.name);
  }
  for (const port of ports) {
    const by = taken.get(key(port));
    if (by !== undefined) {
      throw new UmbraError(
        'port-taken',
        `the gateway's ${port.protocol} port ${port.gatewayPort} is published for ${by} already`,
        'Publish another port.',
      );
    }
    taken.set(key(port), 'this VM');
  }
}

/** Locally administered, and unique in the cluster as the VM's number is. */
export function macOf(number: number): string {
  const bytes = [0x52, 0x54, 0x00, (number >> 16) & 0xff, (number >> 8) & 0xff, number & 0xff];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function notRunning(name: string): UmbraError {
  return new UmbraError(
    'vm-not-running',
    `${name} is not running on any host that responds`,
    `See umbra vm show ${name}.`,
  );
}

function noRoom(name: string, why: string): UmbraError {
  return new UmbraError('no-room', `no host can run ${name}: ${why}`, 'See umbra host list.');
}
