/**
 * The center's API: one row per endpoint. From this table come validation (center/server.ts), the
 * typed client (client.ts) and the command line's types; nothing about an endpoint is told twice.
 *
 * To add one: a row here, a handler of the same name in center/handlers.ts (the compiler asks for
 * it), a test. Paths are below `/api/v1`. Beside the table there are two WebSockets, `/agent` for
 * daemons (agent.ts) and `/vms/:vm/console` for people (console.ts), and `/images/:image/files/*`,
 * which gives bytes.
 */
import Type, { type Static, type TObject, type TSchema } from 'typebox';
import { ArbiterAsk, ArbiterReply } from './arbiter-schema.ts';
import {
  EventList,
  FtStatusView,
  HostView,
  JoinReply,
  JoinRequest,
  RenewalReply,
  RenewalRequest,
  VmView,
} from './views.ts';

/** Who may call: anyone, people with a token, or daemons with a certificate of the cluster. */
export type Access = 'anyone' | 'person' | 'daemon';

export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly access: Access;
  readonly summary: string;
  readonly params?: TObject;
  readonly query?: TObject;
  readonly body?: TSchema;
  readonly reply: TSchema;
}

const strict = { additionalProperties: false } as const;
const VmName = Type.String({
  pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
  description: 'lower-case letters, digits and inner hyphens, at most 63',
});
const Vm = Type.Object({ vm: Type.String({ minLength: 1 }) });
const Host = Type.Object({ host: Type.String({ minLength: 1 }) });
const Port = Type.Integer({ minimum: 1, maximum: 65535 });

export const PublishedPortView = Type.Object({
  protocol: Type.Enum(['tcp', 'udp']),
  gatewayPort: Port,
  guestPort: Port,
});

export const endpoints = {
  health: {
    method: 'GET',
    path: '/health',
    access: 'anyone',
    summary: 'Whether the center answers, and what it is.',
    reply: Type.Object({ version: Type.String(), epoch: Type.Integer(), pid: Type.Integer() }),
  },
  join: {
    method: 'POST',
    path: '/join',
    access: 'anyone',
    summary: 'A daemon trades a join token and a certificate request for its identity.',
    body: JoinRequest,
    reply: JoinReply,
  },
  createJoinToken: {
    method: 'POST',
    path: '/join-tokens',
    access: 'person',
    summary: 'Makes a token with which one daemon may join.',
    reply: Type.Object({ token: Type.String() }),
  },
  renewCertificate: {
    method: 'POST',
    path: '/certificate',
    access: 'daemon',
    summary: 'A daemon trades a request with a new key for a new certificate of its identity.',
    body: RenewalRequest,
    reply: RenewalReply,
  },
  askArbiter: {
    method: 'POST',
    path: '/arbiter',
    access: 'daemon',
    summary: 'Asks who is live, or to change it. Only for processes of the calling host.',
    body: ArbiterAsk,
    reply: ArbiterReply,
  },
  listHosts: {
    method: 'GET',
    path: '/hosts',
    access: 'person',
    summary: 'Hosts and gateways with their VM processes.',
    reply: Type.Array(HostView),
  },
  showHost: {
    method: 'GET',
    path: '/hosts/:host',
    access: 'person',
    summary: 'One host or gateway.',
    params: Host,
    reply: HostView,
  },
  removeHost: {
    method: 'DELETE',
    path: '/hosts/:host',
    access: 'person',
    summary: 'Forgets a host that is gone for good: the word that nothing of it runs any more.',
    params: Host,
    reply: Type.Null(),
  },
  revokeHost: {
    method: 'POST',
    path: '/hosts/:host/revoke',
    access: 'person',
    summary: 'Refuses a host or gateway from now on, whatever runs there: it is not trusted.',
    params: Host,
    reply: Type.Null(),
  },
  listVms: {
    method: 'GET',
    path: '/vms',
    access: 'person',
    summary: 'Virtual machines.',
    reply: Type.Array(VmView),
  },
  createVm: {
    method: 'POST',
    path: '/vms',
    access: 'person',
    summary: 'Creates a VM from an image; it is powered off.',
    body: Type.Object(
      {
        name: VmName,
        image: Type.String({ minLength: 1 }),
        cpus: Type.Optional(Type.Integer({ minimum: 1, maximum: 8 })),
        memoryBytes: Type.Optional(
          Type.Integer({ minimum: 2 ** 24, maximum: 3 * 2 ** 30, multipleOf: 4096 }),
        ),
        append: Type.Optional(Type.String({ maxLength: 1024 })),
        ports: Type.Optional(Type.Array(PublishedPortView)),
        host: Type.Optional(Type.String({ description: 'where to power it on' })),
        ft: Type.Optional(Type.Boolean()),
      },
      strict,
    ),
    reply: VmView,
  },
  showVm: {
    method: 'GET',
    path: '/vms/:vm',
    access: 'person',
    summary: 'One VM.',
    params: Vm,
    reply: VmView,
  },
  deleteVm: {
    method: 'DELETE',
    path: '/vms/:vm',
    access: 'person',
    summary: 'Deletes a powered-off VM with its disks.',
    params: Vm,
    reply: Type.Null(),
  },
  startVm: {
    method: 'POST',
    path: '/vms/:vm/start',
    access: 'person',
    summary: 'Powers a VM on.',
    params: Vm,
    body: Type.Object(
      {
        acceptStale: Type.Optional(
          Type.Boolean({
            description: 'start on a disk replica that may lack acknowledged writes',
          }),
        ),
      },
      strict,
    ),
    reply: VmView,
  },
  stopVm: {
    method: 'POST',
    path: '/vms/:vm/stop',
    access: 'person',
    summary: 'Powers a VM off, or presses its power button.',
    params: Vm,
    body: Type.Object({ how: Type.Enum(['power-button', 'power-off', 'suspend']) }, strict),
    reply: VmView,
  },
  resetVm: {
    method: 'POST',
    path: '/vms/:vm/reset',
    access: 'person',
    summary: 'Resets a powered-on VM.',
    params: Vm,
    reply: VmView,
  },
  turnFtOn: {
    method: 'POST',
    path: '/vms/:vm/ft/on',
    access: 'person',
    summary: 'Turns fault tolerance on, after prechecks.',
    params: Vm,
    reply: FtStatusView,
  },
  turnFtOff: {
    method: 'POST',
    path: '/vms/:vm/ft/off',
    access: 'person',
    summary: 'Turns fault tolerance off and ends the shadow.',
    params: Vm,
    reply: FtStatusView,
  },
  ftStatus: {
    method: 'GET',
    path: '/vms/:vm/ft',
    access: 'person',
    summary: 'State of protection, where both copies are, and the lag.',
    params: Vm,
    reply: FtStatusView,
  },
  testFailover: {
    method: 'POST',
    path: '/vms/:vm/ft/test-failover',
    access: 'person',
    summary: 'Hands over to the shadow as in a failure; a new shadow is started.',
    params: Vm,
    reply: FtStatusView,
  },
  listEvents: {
    method: 'GET',
    path: '/events',
    access: 'person',
    summary: 'What has happened, oldest first.',
    query: Type.Object(
      {
        after: Type.Optional(Type.Integer({ minimum: 0, description: 'a sequence number' })),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
        vm: Type.Optional(Type.String()),
      },
      strict,
    ),
    reply: EventList,
  },
} as const satisfies Record<string, Endpoint>;

export type Endpoints = typeof endpoints;
export type EndpointName = keyof Endpoints;

type Part<E, K extends string> = E extends { readonly [P in K]: infer S extends TSchema }
  ? { readonly [P in K]: Static<S> }
  : unknown;

/** Path parameters, query and body of an endpoint. */
export type Input<N extends EndpointName> = Part<Endpoints[N], 'params'> &
  Part<Endpoints[N], 'query'> &
  Part<Endpoints[N], 'body'>;

export type Output<N extends EndpointName> = Static<Endpoints[N]['reply']>;
