/**
 * What the endpoints do, one handler a row of api/endpoints.ts; the compiler sees that none is
 * missing. Handlers get validated input and give what the row promises.
 */
import { randomBytes } from 'node:crypto';
import type { EndpointName, Input, Output } from '../api/endpoints.ts';
import { assert } from '../base/assert.ts';
import { UmbraError } from '../base/errors.ts';
import type { Ask } from '../lockstep/arbiter.ts';
import type { Authority } from './certificates.ts';
import type { Cluster } from './cluster.ts';
import type { Daemon, Vm } from './inventory.ts';
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
import { removeHost, revokeHost } from './revocation.ts';
import { refuseUnordered } from './start-orders.ts';
import { makeJoinToken, useJoinToken } from './tokens.ts';
import { hostView, vmView } from './views.ts';

export interface Context {
  readonly cluster: Cluster;
  readonly authority: Authority;
  readonly version: string;
}

/** Who calls; of a daemon, which. */
export type Caller =
  | { readonly kind: 'anyone' }
  | { readonly kind: 'person'; readonly role: string }
  | { readonly kind: 'daemon'; readonly daemon: Daemon };

type Handler<N extends EndpointName> = (
  context: Context,
  input: Input<N>,
  caller: Caller,
) => Output<N> | Promise<Output<N>>;

export const handlers: { readonly [N in EndpointName]: Handler<N> } = {
  health: ({ cluster, version }) => ({ version, epoch: cluster.arbiter.epoch, pid: process.pid }),
  join,
  createJoinToken: ({ cluster, authority }) => ({ token: newJoinToken(cluster, authority) }),
  renewCertificate: async ({ authority }, { body }, caller) => ({
    certificate: await renew(authority, body.certificateRequest, caller),
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
    act(cluster, params.vm, (vm) => startVm(cluster, vm, body.acceptStale ?? false)),
  stopVm: ({ cluster }, { params, body }) =>
    act(cluster, params.vm, (vm) => stopVm(cluster, vm, body.how)),
  resetVm: ({ cluster }, { params }) => act(cluster, params.vm, (vm) => resetVm(cluster, vm)),
  turnFtOn: ({ cluster }, { params }) => act(cluster, params.vm, (vm) => turnFtOn(cluster, vm)).ft,
  turnFtOff: ({ cluster }, { params }) =>
    act(cluster, params.vm, (vm) => turnFtOff(cluster, vm)).ft,
  ftStatus: ({ cluster }, { params }) => cluster.ftStatus(cluster.findVm(params.vm)),
  testFailover: async ({ cluster }, { params }) => {
    const { id } = cluster.findVm(params.vm).spec;
    await testFailover(cluster, cluster.inventory.vm(id)!);
    return cluster.ftStatus(cluster.findVm(id));
  },
  listEvents: ({ cluster }, { query }) => [
    ...cluster.events.list(query.after ?? 0, query.limit ?? 1000, query.vm),
  ],
};

function act(cluster: Cluster, name: string, change: (vm: Vm) => void): Output<'showVm'> {
  const vm = cluster.findVm(name);
  change(vm);
  return vmView(cluster, cluster.inventory.vm(vm.spec.id)!);
}

/** The secret, and what the center is to be recognised by. */
export function newJoinToken(cluster: Cluster, authority: Authority): string {
  return `${makeJoinToken(cluster.store)}.${authority.fingerprint}`;
}

async function join(
  { cluster, authority }: Context,
  { body }: Input<'join'>,
): Promise<Output<'join'>> {
  const { kind, name, addresses } = body;
  const { inventory, store, events } = cluster;
  const id = `${kind}-${randomBytes(6).toString('hex')}`;
  // Signed before the token is used up: a request that is refused costs no token.
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
    useJoinToken(store, body.token, id);
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
  caller: Caller,
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
  return (await cluster.arbiter.ask(ask)) as Output<'askArbiter'>;
}
