/**
 * What the endpoints do, one handler a row of api/endpoints.ts; the compiler sees that none is
 * missing. Handlers get validated input and give what the row promises.
 */
import { randomBytes } from 'node:crypto';
import type { Input, Output } from '../api/endpoints.ts';
import { openApiDocument } from '../api/openapi.ts';
import { assert } from '../base/assert.ts';
import { UmbraError } from '../base/errors.ts';
import type { Ask } from '../lockstep/arbiter.ts';
import { type Caller, nameOf } from './callers.ts';
import type { Authority } from './certificates.ts';
import type { Cluster } from './cluster.ts';
import { exportVm } from './exports.ts';
import { keepFlight, setFlight } from './flights.ts';
import { goLive } from './go-live.ts';
import type { Call, Context, Handlers } from './handler.ts';
import type { Vm } from './inventory.ts';
import { lifecycleHandlers } from './lifecycle-handlers.ts';
import {
  createVm,
  deleteVm,
  resetVm,
  startVm,
  stopVm,
  testFailover,
  turnFtOff,
  turnFtOn,
} from './operations.ts';
import { adminWish } from './people/api-tokens.ts';
import { peopleHandlers } from './people/handlers.ts';
import { checkJoinToken, useJoinToken } from './people/join-tokens.ts';
import { recordingConsole, recordingTimeline, replayRecording } from './recording-looks.ts';
import { deleteRecording, recordingViews, startRecording, stopRecording } from './recordings.ts';
import { removeHost, revokeHost } from './revocation.ts';
import { rewindVm } from './rewinds.ts';
import { refuseUnordered, refuseUnorderedRevert } from './start-orders.ts';
import { hostView, vmView } from './views.ts';
import {
  cloneVm,
  deleteSnapshot,
  resizeVm,
  revertToSnapshot,
  snapshotViews,
  takeSnapshot,
} from './vm-states.ts';

const readyMsMax = 2_000;

export const handlers: Handlers = {
  ...peopleHandlers,
  health: ({ cluster, version }) => ({ version, epoch: cluster.arbiter.epoch, pid: process.pid }),
  healthLive: () => ({ live: true }),
  healthReady: ({ cluster }) => ready(cluster),
  openApi: ({ version }) => openApiDocument(version),
  join,
  renewCertificate: async ({ authority }, { body }, { caller }) => ({
    certificate: await renew(authority, body.certificateRequest, caller),
  }),
  joinCenter: ({ cluster: { store, events }, authority, people }, { body }) =>
    store.transaction(() => {
      useJoinToken(store, body.token, { id: 'center', kind: 'center' });
      events.add('center-joined', 'another center has joined and has the certificate authority');
      return { ...authority.secrets, adminToken: people.tokens.make(adminWish).secret };
    }),
  askArbiter,
  listHosts: ({ cluster }) => cluster.inventory.daemons.map((daemon) => hostView(cluster, daemon)),
  showHost: ({ cluster }, { params }) =>
    hostView(cluster, cluster.inventory.findDaemon(params.host)),
  removeHost: async ({ cluster }, { params }) => {
    await removeHost(cluster, params.host);
    return null;
  },
  revokeHost: async ({ cluster }, { params }) => {
    await revokeHost(cluster, params.host);
    return null;
  },
  listVms: ({ cluster }) => cluster.inventory.vms.map((vm) => vmView(cluster, vm)),
  createVm: async ({ cluster }, { body }) => vmView(cluster, await createVm(cluster, body)),
  showVm: ({ cluster }, { params }) => vmView(cluster, cluster.findVm(params.vm)),
  deleteVm: async ({ cluster }, { params }) => {
    await deleteVm(cluster, cluster.findVm(params.vm));
    return null;
  },
  startVm: ({ cluster }, { params, body }) =>
    act(cluster, params.vm, (vm) =>
      startVm(cluster, vm, body.acceptStale ?? false, body.discardState ?? false),
    ),
  stopVm: ({ cluster }, { params, body }) =>
    act(cluster, params.vm, (vm) => stopVm(cluster, vm, body.how)),
  resetVm: ({ cluster }, { params }) => act(cluster, params.vm, (vm) => resetVm(cluster, vm)),
  turnFtOn: ({ cluster }, { params }) => act(cluster, params.vm, (vm) => turnFtOn(cluster, vm)).ft,
  turnFtOff: ({ cluster }, { params }) =>
    act(cluster, params.vm, (vm) => turnFtOff(cluster, vm)).ft,
  ftStatus: ({ cluster }, { params }) => cluster.ftStatus(cluster.findVm(params.vm)),
  testFailover: async ({ cluster }, { params }, call) => {
    const vm = cluster.findVm(params.vm);
    await testFailover(cluster, vm, nameOf(call.caller));
    return cluster.ftStatus(cluster.findVm(vm.spec.id));
  },
  ...lifecycleHandlers,
  listMeasurements: ({ cluster }, { params, query }) => {
    const { id, name } = cluster.findVm(params.vm).spec;
    return { vm: name, ...cluster.measurements.of(id, query.seconds) };
  },
  listImages: ({ cluster }) => cluster.images.list(),
  listEvents: ({ cluster }, { query }) => [
    ...cluster.events.query({ ...query, after: query.after ?? 0, limit: query.limit ?? 1000 }),
  ],
  listTasks: ({ cluster }, { query }) => cluster.tasks.list(query),
  showTask: ({ cluster }, { params }) => cluster.tasks.show(params.task),
  cancelTask: ({ cluster }, { params }, call) =>
    cluster.tasks.cancel(params.task, nameOf(call.caller)),
  takeSnapshot: ({ cluster }, { params, body }, { caller }) =>
    takeSnapshot(cluster, cluster.findVm(params.vm), body.name, nameOf(caller)),
  listSnapshots: ({ cluster }, { params }) => snapshotViews(cluster, cluster.findVm(params.vm)),
  deleteSnapshot: async ({ cluster }, { params }) => {
    await deleteSnapshot(cluster, cluster.findVm(params.vm), params.snapshot);
    return null;
  },
  revertToSnapshot: ({ cluster }, { params, body }, { caller }) => {
    const wish = { snapshot: params.snapshot, start: body.start ?? false, by: nameOf(caller) };
    return revertToSnapshot(cluster, cluster.findVm(params.vm), wish);
  },
  cloneVm: ({ cluster }, { params, body }, { caller }) =>
    cloneVm(cluster, cluster.findVm(params.vm), body, nameOf(caller)),
  exportVm: ({ cluster }, { params }, { caller }) =>
    exportVm(cluster, cluster.findVm(params.vm), nameOf(caller)),
  startRecording: ({ cluster }, { params, body }, { caller }) =>
    startRecording(cluster, cluster.findVm(params.vm), body, nameOf(caller)),
  listRecordings: ({ cluster }, { params }) => recordingViews(cluster, cluster.findVm(params.vm)),
  stopRecording: ({ cluster }, { params }, { caller }) =>
    stopRecording(cluster, cluster.findVm(params.vm), params.recording, nameOf(caller)),
  deleteRecording: async ({ cluster }, { params }) => {
    await deleteRecording(cluster, cluster.findVm(params.vm), params.recording);
    return null;
  },
  showRecordingTimeline: ({ cluster }, { params }) =>
    recordingTimeline(cluster, cluster.findVm(params.vm), params.recording),
  replayRecording: ({ cluster }, { params }, { caller }) =>
    replayRecording(cluster, cluster.findVm(params.vm), params.recording, nameOf(caller)),
  goLive: ({ cluster }, { params, body }, { caller }) =>
    goLive(cluster, cluster.findVm(params.vm), params.recording, body, nameOf(caller)),
  readRecordingConsole: ({ cluster }, { params, query }) =>
    recordingConsole(cluster, cluster.findVm(params.vm), params.recording, query.from ?? 0),
  setFlight: ({ cluster }, { params, body }) =>
    act(cluster, params.vm, (vm) => setFlight(cluster, vm, body)),
  keepFlight: ({ cluster }, { params, body }, { caller }) =>
    keepFlight(cluster, cluster.findVm(params.vm), body.name, nameOf(caller)),
  rewindVm: ({ cluster }, { params, body }, { caller }) =>
    rewindVm(cluster, cluster.findVm(params.vm), body, nameOf(caller)),
  resizeVm: ({ cluster }, { params, body }) =>
    act(cluster, params.vm, (vm) => resizeVm(cluster, vm, body)),
};

/** A write that has become durable, within a time in which a probe still waits. */
async function ready({ store, arbiter }: Cluster): Promise<Output<'healthReady'>> {
  // A center that follows passes on what it is asked, and decides for the arbiter.
  if (!store.leads && store.leaderUrl !== undefined) return { ready: true, epoch: arbiter.epoch };
  const impatience = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error('its store does not answer')), readyMsMax).unref();
  });
  try {
    store.put('meta', 'probed', 'yes');
    await Promise.race([store.settled(), impatience]);
  } catch (cause) {
    const why = `the center cannot decide anything now: ${(cause as Error).message}`;
    throw new UmbraError('center-not-ready', why, "See the center's log.", { cause });
  }
  return { ready: true, epoch: arbiter.epoch };
}

function act(cluster: Cluster, name: string, change: (vm: Vm) => void): Output<'showVm'> {
  const vm = cluster.findVm(name);
  change(vm);
  return vmView(cluster, cluster.inventory.vm(vm.spec.id)!);
}

async function join(
  { cluster, authority }: Context,
  { body }: Input<'join'>,
): Promise<Output<'join'>> {
  const { kind, name, addresses } = body;
  const { inventory, store, events } = cluster;
  const id = `${kind}-${randomBytes(6).toString('hex')}`;
  // Strangers cost no signature, and a request that is refused costs no token.
  checkJoinToken(store, body.token, { kind });
  const certificate = await authority.sign(body.certificateRequest, {
    commonName: id,
    unit: kind,
    names: [name, id],
    addresses,
  });
  store.transaction(() => {
    if (inventory.daemons.some((daemon) => daemon.name === name)) {
      throw new UmbraError(
        'name-taken',
        `there is a host or gateway "${name}" already`,
        'Choose another with --name, or remove that one: umbra host remove NAME.',
      );
    }
    useJoinToken(store, body.token, { id, kind });
    inventory.putDaemon({
      ...{ id, name, kind, addresses },
      maintenance: false,
      trunkAddress: addresses[0] ?? '',
      trunkPort: 0,
      cpus: 0,
      memoryBytes: 0,
      version: '',
    });
    events.add('host-joined', `${name} has joined as a ${kind}`, { host: name });
  });
  return { daemonId: id, certificate, ca: authority.certificatePem };
}

/** With the identity that it has had since it joined. */
async function renew(authority: Authority, request: string, caller: Caller): Promise<string> {
  assert(caller.kind === 'daemon', 'a daemon was admitted');
  const { id, name, kind, addresses } = caller.daemon;
  return authority.sign(request, {
    ...{ commonName: id, unit: kind, names: [name, id], addresses },
  });
}

async function askArbiter(
  { cluster }: Context,
  { body }: Input<'askArbiter'>,
  { caller }: Call,
): Promise<Output<'askArbiter'>> {
  const own = caller.kind === 'daemon' ? caller.daemon : undefined;
  if (own?.kind !== 'host' || body.member.host !== own.id) {
    throw new UmbraError(
      'access-denied',
      `${own?.name ?? 'this caller'} may not ask for a process of ${body.member.host}`,
      'Every host asks for its own processes only.',
    );
  }
  // JSON leaves out what is undefined; the arbiter reads both alike.
  const ask = body as Ask;
  refuseUnordered(cluster, own, ask);
  const refusal = refuseUnorderedRevert(cluster, own, ask);
  if (refusal !== undefined) return refusal as Output<'askArbiter'>;
  return (await cluster.arbiter.ask(ask)) as Output<'askArbiter'>;
}
