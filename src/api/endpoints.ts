/**
 * The center's API: one row per endpoint. From this table come validation (center/server.ts), the
 * typed client (client.ts) and the command line's types; nothing about an endpoint is told twice.
 *
 * To add one: a row here, a handler of the same name in center/handlers.ts (the compiler asks for
 * it), a test that calls it (another test asks for it). `access` is the least role. Paths are below
 * `/api/v1`. What changes something is written into the audit trail; what changes a VM heeds
 * `If-Match`. Beside the table there are five WebSockets, `/agent` (agent.ts) and `/archives/:work`
 * (archive.ts) for daemons, `/vms/:vm/console` (console-messages.ts), `/events/stream`
 * (event-stream.ts) and `/live` (live.ts) for people; and what gives bytes:
 * `/images/:image/files/*`, `/vms/:vm/archive` and `/vms/:vm/recordings/:recording/archive`
 * (archive.ts), `/backup`.
 */
import Type, { type Static, type TObject, type TSchema } from 'typebox';
import { ArbiterAsk, ArbiterReply } from './arbiter-schema.ts';
import { imageEndpoints } from './images.ts';
import { lifecycleEndpoints } from './lifecycle-endpoints.ts';
import { measurementEndpoints } from './measurements.ts';
import {
  ApiTokenView,
  AuditView,
  GivenPassword,
  JoinerKind,
  JoinTokenView,
  Label,
  Lifetime,
  LoginReply,
  LoginRequest,
  NewPassword,
  RoleName,
  SessionView,
  UserName,
  UserView,
} from './people.ts';
import { recordingEndpoints } from './recording-endpoints.ts';
import type { Role } from './roles.ts';
import { stateEndpoints } from './state-endpoints.ts';
import { TaskView, taskStates } from './tasks.ts';
import { timelineEndpoints } from './timeline-endpoints.ts';
import {
  EventList,
  FtStatusView,
  HostView,
  JoinCenterReply,
  JoinCenterRequest,
  JoinReply,
  JoinRequest,
  RenewalReply,
  RenewalRequest,
  VmView,
} from './views.ts';

/** Who may call: anyone, daemons with a certificate of the cluster, or people of at least a role. */
export type Access = 'anyone' | 'daemon' | Role;

export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly access: Access;
  readonly summary: string;
  readonly params?: TObject;
  readonly query?: TObject;
  readonly body?: TSchema;
  readonly reply: TSchema;
  /** Makes something anew each time: an `Idempotency-Key` makes repeating it harmless. */
  readonly creates?: true;
  /** Not a change that people want to read of in the audit trail. */
  readonly isUnaudited?: true;
}

const strict = { additionalProperties: false } as const;
const VmName = Type.String({
  pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
  description: 'lower-case letters, digits and inner hyphens, at most 63',
});
const Vm = Type.Object({ vm: Type.String({ minLength: 1 }) });
const Host = Type.Object({ host: Type.String({ minLength: 1 }) });
const User = Type.Object({ user: Type.String({ minLength: 1 }) });
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
  healthLive: {
    method: 'GET',
    path: '/health/live',
    access: 'anyone',
    summary: "Whether the center's process answers; if not, restart it.",
    reply: Type.Object({ live: Type.Literal(true) }),
  },
  healthReady: {
    method: 'GET',
    path: '/health/ready',
    access: 'anyone',
    summary:
      'Whether the center can decide: its store takes writes. 503 if not; send nobody there.',
    reply: Type.Object({ ready: Type.Literal(true), epoch: Type.Integer() }),
  },
  openApi: {
    method: 'GET',
    path: '/openapi.json',
    access: 'anyone',
    summary: 'This API as an OpenAPI 3.1 document; for reading, see /api/reference.',
    reply: Type.Record(Type.String(), Type.Unknown()),
  },
  join: {
    method: 'POST',
    path: '/join',
    access: 'anyone',
    summary: 'A daemon trades a join token and a certificate request for its identity.',
    body: JoinRequest,
    reply: JoinReply,
  },
  joinCenter: {
    method: 'POST',
    path: '/join-center',
    access: 'anyone',
    summary: "A further center trades a join token for the cluster's certificate authority.",
    body: JoinCenterRequest,
    reply: JoinCenterReply,
  },
  listJoinTokens: {
    method: 'GET',
    path: '/join-tokens',
    access: 'administrator',
    summary: 'Join tokens of the last weeks, without their secrets.',
    reply: Type.Array(JoinTokenView),
  },
  createJoinToken: {
    method: 'POST',
    path: '/join-tokens',
    access: 'administrator',
    summary:
      'Makes a token with which one daemon, or one center, may join; for a day if not told otherwise.',
    creates: true,
    body: Type.Object(
      { ttlSeconds: Type.Optional(Lifetime), kind: Type.Optional(JoinerKind) },
      strict,
    ),
    reply: Type.Object({ id: Type.String(), token: Type.String(), expires: Type.String() }),
  },
  revokeJoinToken: {
    method: 'DELETE',
    path: '/join-tokens/:token',
    access: 'administrator',
    summary: 'Revokes a join token; daemons that have joined with it stay.',
    params: Type.Object({ token: Type.String({ minLength: 1 }) }),
    reply: Type.Null(),
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
    isUnaudited: true,
    summary: 'Asks who is live, or to change it. Only for processes of the calling host.',
    body: ArbiterAsk,
    reply: ArbiterReply,
  },
  listHosts: {
    method: 'GET',
    path: '/hosts',
    access: 'viewer',
    summary: 'Hosts and gateways with their VM processes.',
    reply: Type.Array(HostView),
  },
  showHost: {
    method: 'GET',
    path: '/hosts/:host',
    access: 'viewer',
    summary: 'One host or gateway.',
    params: Host,
    reply: HostView,
  },
  removeHost: {
    method: 'DELETE',
    path: '/hosts/:host',
    access: 'administrator',
    summary: 'Forgets a host that is gone for good: the word that nothing of it runs any more.',
    params: Host,
    reply: Type.Null(),
  },
  revokeHost: {
    method: 'POST',
    path: '/hosts/:host/revoke',
    access: 'administrator',
    summary: 'Refuses a host or gateway from now on, whatever runs there: it is not trusted.',
    params: Host,
    reply: Type.Null(),
  },
  listVms: {
    method: 'GET',
    path: '/vms',
    access: 'viewer',
    summary: 'Virtual machines.',
    reply: Type.Array(VmView),
  },
  createVm: {
    method: 'POST',
    path: '/vms',
    access: 'operator',
    summary: 'Creates a VM from an image; it is powered off.',
    creates: true,
    body: Type.Object(
      {
        name: VmName,
        image: Type.String({ minLength: 1 }),
        imageDigest: Type.Optional(
          Type.String({
            pattern: '^[0-9a-f]{64}$',
            description: 'SHA-256 of its image.json: refused if the image is another one',
          }),
        ),
        cpus: Type.Optional(Type.Integer({ minimum: 1, maximum: 8 })),
        memoryBytes: Type.Optional(
          Type.Integer({ minimum: 2 ** 24, maximum: 3 * 2 ** 30, multipleOf: 4096 }),
        ),
        append: Type.Optional(Type.String({ maxLength: 1024 })),
        vlan: Type.Optional(
          Type.Integer({ minimum: 1, maximum: 4094, description: 'the VLAN of its port' }),
        ),
        ports: Type.Optional(Type.Array(PublishedPortView)),
        host: Type.Optional(Type.String({ description: 'where to power it on' })),
        datastore: Type.Optional(
          Type.String({ description: 'where its disks are to be; by default on its hosts' }),
        ),
        ft: Type.Optional(Type.Boolean()),
      },
      strict,
    ),
    reply: VmView,
  },
  showVm: {
    method: 'GET',
    path: '/vms/:vm',
    access: 'viewer',
    summary: 'One VM.',
    params: Vm,
    reply: VmView,
  },
  deleteVm: {
    method: 'DELETE',
    path: '/vms/:vm',
    access: 'operator',
    summary: 'Deletes a powered-off VM with its disks.',
    params: Vm,
    reply: Type.Null(),
  },
  startVm: {
    method: 'POST',
    path: '/vms/:vm/start',
    access: 'operator',
    summary: 'Powers a VM on, or lets a suspended one go on.',
    params: Vm,
    body: Type.Object(
      {
        acceptStale: Type.Optional(
          Type.Boolean({
            description: 'start on a disk replica that may lack acknowledged writes',
          }),
        ),
        discardState: Type.Optional(
          Type.Boolean({ description: 'power on without the saved state of a suspended VM' }),
        ),
      },
      strict,
    ),
    reply: VmView,
  },
  stopVm: {
    method: 'POST',
    path: '/vms/:vm/stop',
    access: 'operator',
    summary: 'Powers a VM off, or presses its power button.',
    params: Vm,
    body: Type.Object({ how: Type.Enum(['power-button', 'power-off', 'suspend']) }, strict),
    reply: VmView,
  },
  resetVm: {
    method: 'POST',
    path: '/vms/:vm/reset',
    access: 'operator',
    summary: 'Resets a powered-on VM.',
    params: Vm,
    reply: VmView,
  },
  turnFtOn: {
    method: 'POST',
    path: '/vms/:vm/ft/on',
    access: 'operator',
    summary: 'Turns fault tolerance on, after prechecks.',
    params: Vm,
    reply: FtStatusView,
  },
  turnFtOff: {
    method: 'POST',
    path: '/vms/:vm/ft/off',
    access: 'operator',
    summary: 'Turns fault tolerance off and ends the shadow.',
    params: Vm,
    reply: FtStatusView,
  },
  ftStatus: {
    method: 'GET',
    path: '/vms/:vm/ft',
    access: 'viewer',
    summary: 'State of protection, where both copies are, and the lag.',
    params: Vm,
    reply: FtStatusView,
  },
  testFailover: {
    method: 'POST',
    path: '/vms/:vm/ft/test-failover',
    access: 'operator',
    summary: 'Hands over to the shadow as in a failure; a new shadow is started.',
    params: Vm,
    reply: FtStatusView,
  },
  ...stateEndpoints,
  ...recordingEndpoints,
  ...timelineEndpoints,
  ...lifecycleEndpoints,
  ...measurementEndpoints,
  ...imageEndpoints,
  listEvents: {
    method: 'GET',
    path: '/events',
    access: 'viewer',
    summary: 'What has happened, oldest first.',
    query: Type.Object(
      {
        after: Type.Optional(Type.Integer({ minimum: 0, description: 'a sequence number' })),
        before: Type.Optional(Type.Integer({ minimum: 0, description: 'a sequence number' })),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
        vm: Type.Optional(Type.String()),
        last: Type.Optional(
          Type.Boolean({ description: 'the last ones instead of the first ones' }),
        ),
      },
      strict,
    ),
    reply: EventList,
  },
  listTasks: {
    method: 'GET',
    path: '/tasks',
    access: 'viewer',
    summary: 'Operations that take a while, oldest first: those that run, and the last that ended.',
    query: Type.Object(
      {
        state: Type.Optional(Type.Enum([...taskStates])),
        vm: Type.Optional(Type.String()),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
      },
      strict,
    ),
    reply: Type.Array(TaskView),
  },
  showTask: {
    method: 'GET',
    path: '/tasks/:task',
    access: 'viewer',
    summary: 'One task.',
    params: Type.Object({ task: Type.String({ minLength: 1 }) }),
    reply: TaskView,
  },
  cancelTask: {
    method: 'POST',
    path: '/tasks/:task/cancel',
    access: 'operator',
    summary: 'Asks a task to stop; it has when its state says so.',
    params: Type.Object({ task: Type.String({ minLength: 1 }) }),
    reply: TaskView,
  },
  login: {
    method: 'POST',
    path: '/sessions',
    access: 'anyone',
    summary: 'Opens a session by name and password.',
    body: LoginRequest,
    reply: LoginReply,
  },
  showSession: {
    method: 'GET',
    path: '/sessions/current',
    access: 'viewer',
    summary: 'Who the caller is.',
    reply: SessionView,
  },
  logout: {
    method: 'DELETE',
    path: '/sessions/current',
    access: 'viewer',
    summary: "Ends the caller's session.",
    reply: Type.Null(),
  },
  listUsers: {
    method: 'GET',
    path: '/users',
    access: 'administrator',
    summary: 'Users and their roles.',
    reply: Type.Array(UserView),
  },
  createUser: {
    method: 'POST',
    path: '/users',
    access: 'administrator',
    summary: 'Adds a user.',
    creates: true,
    body: Type.Object({ name: UserName, role: RoleName, password: NewPassword }, strict),
    reply: UserView,
  },
  removeUser: {
    method: 'DELETE',
    path: '/users/:user',
    access: 'administrator',
    summary: 'Removes a user, with sessions and API tokens.',
    params: User,
    reply: Type.Null(),
  },
  setUserRole: {
    method: 'POST',
    path: '/users/:user/role',
    access: 'administrator',
    summary: 'Gives a user another role, for open sessions and tokens, too.',
    params: User,
    body: Type.Object({ role: RoleName }, strict),
    reply: UserView,
  },
  setUserPassword: {
    method: 'POST',
    path: '/users/:user/password',
    access: 'viewer',
    summary: "Changes a password: one's own with the present one, others' as administrator.",
    params: User,
    body: Type.Object({ password: NewPassword, present: Type.Optional(GivenPassword) }, strict),
    reply: UserView,
  },
  listApiTokens: {
    method: 'GET',
    path: '/api-tokens',
    access: 'viewer',
    summary: "The caller's API tokens; an administrator sees all.",
    reply: Type.Array(ApiTokenView),
  },
  createApiToken: {
    method: 'POST',
    path: '/api-tokens',
    access: 'viewer',
    summary: "Makes an API token with at most the caller's role and lifetime.",
    creates: true,
    body: Type.Object({ name: Label, role: RoleName, ttlSeconds: Type.Optional(Lifetime) }, strict),
    reply: Type.Object({ token: Type.String(), info: ApiTokenView }),
  },
  revokeApiToken: {
    method: 'DELETE',
    path: '/api-tokens/:token',
    access: 'viewer',
    summary: "Revokes an API token of the caller's, or any as administrator.",
    params: Type.Object({ token: Type.String({ minLength: 1 }) }),
    reply: Type.Null(),
  },
  listAudit: {
    method: 'GET',
    path: '/audit',
    access: 'administrator',
    summary: 'Every changing call: who, from where, what, and what came of it. Oldest first.',
    query: Type.Object(
      {
        after: Type.Optional(Type.Integer({ minimum: 0, description: 'a sequence number' })),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
        who: Type.Optional(Type.String()),
        vm: Type.Optional(Type.String()),
        last: Type.Optional(
          Type.Boolean({ description: 'the last ones instead of the first ones' }),
        ),
      },
      strict,
    ),
    reply: Type.Array(AuditView),
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
