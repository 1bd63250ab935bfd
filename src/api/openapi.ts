/**
 * The API as an OpenAPI 3.1 document, from the same table and schemas that the center checks by.
 *
 * Shared views become components: a schema that is one of `components` is a reference wherever it
 * occurs. Every operation lists the problems that its kind can meet; the codes are told once, with
 * status and meaning, in `x-problem-codes` and in the description of `Problem`.
 */
import { type Endpoint, endpoints } from './endpoints.ts';
import {
  ApiTokenView,
  AuditView,
  JoinTokenView,
  LoginRequest,
  SessionView,
  UserView,
} from './people.ts';
import { ProblemView, problemCodes } from './problems.ts';
import { TaskView } from './tasks.ts';
import { EventView, FtStatusView, HostView, JoinRequest, VmView } from './views.ts';
import { apiPrefix } from './wire.ts';

const components = new Map<unknown, string>([
  [HostView, 'Host'],
  [VmView, 'Vm'],
  [FtStatusView, 'FtStatus'],
  [EventView, 'Event'],
  [TaskView, 'Task'],
  [UserView, 'User'],
  [SessionView, 'Session'],
  [LoginRequest, 'LoginRequest'],
  [ApiTokenView, 'ApiToken'],
  [JoinTokenView, 'JoinToken'],
  [JoinRequest, 'JoinRequest'],
  [AuditView, 'AuditRecord'],
  [ProblemView, 'Problem'],
]);

type Json = Record<string, unknown>;

export function openApiDocument(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const [name, endpoint] of Object.entries(endpoints) as [string, Endpoint][]) {
    const path = endpoint.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [endpoint.method.toLowerCase()]: operation(name, endpoint) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Umbra',
      version,
      summary: 'Fault tolerance for virtual machines.',
      description: introduction,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: apiPrefix }],
    paths,
    components: {
      schemas: Object.fromEntries(
        [...components].map(([schema, name]) => [name, shown(schema, schema)]),
      ),
      parameters: { idempotencyKey, ifMatch, csrfToken },
      responses: { problem },
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'a session or an API token' },
        cookie: {
          ...{ type: 'apiKey', in: 'cookie', name: '__Host-umbra-session' },
          description: 'set by a login with `cookie: true`; changing calls need X-CSRF-Token',
        },
        certificate: { type: 'mutualTLS', description: 'hosts and gateways of the cluster' },
      },
    },
    'x-problem-codes': Object.fromEntries(
      Object.entries(problemCodes).map(([code, [status, means]]) => [code, { status, means }]),
    ),
  };
}

const introduction = [
  'Errors are problem documents (RFC 9457) with a stable `code` and a `remedy`.',
  'Roles: a viewer looks, an operator acts on VMs, an administrator on hosts and people; each',
  'operation names the least role. WebSockets beside these operations: `/vms/{vm}/console`,',
  '`/events/stream?after=N&vm=NAME` (one event a message), `/live` (all views, then what changes).',
  '`GET /vms/{vm}/archive` gives a VM that is powered off as a file (`.tar.zst`), its SHA-256 in the',
  'trailer `Content-Digest`; a reply that breaks off is none, and the task named by `X-Umbra-Task`',
  'says why.',
].join(' ');

const idempotencyKey = {
  ...{ name: 'Idempotency-Key', in: 'header', required: false },
  description: 'The same key with the same body gives the same reply again, for 24 hours.',
  schema: { type: 'string', minLength: 1, maxLength: 255 },
};
const ifMatch = {
  ...{ name: 'If-Match', in: 'header', required: false },
  description: 'Only if the VM still has this version, such as `"7"`; otherwise 412.',
  schema: { type: 'string' },
};
const csrfToken = {
  ...{ name: 'X-CSRF-Token', in: 'header', required: false },
  description: 'Of the session; for calls by cookie.',
  schema: { type: 'string' },
};
const problem = {
  description: 'What went wrong, why, and what to do.',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
};

function operation(name: string, endpoint: Endpoint): Json {
  const { access, summary, body, reply, method, creates } = endpoint;
  const hasVm = endpoint.params !== undefined && 'vm' in endpoint.params.properties;
  const isChange = method !== 'GET';
  const isPersons = access !== 'anyone' && access !== 'daemon';
  const parameters = [
    ...fields(endpoint.params, 'path'),
    ...fields(endpoint.query, 'query'),
    ...(creates ? [{ $ref: '#/components/parameters/idempotencyKey' }] : []),
    ...(isChange && hasVm ? [{ $ref: '#/components/parameters/ifMatch' }] : []),
    ...(isChange && isPersons ? [{ $ref: '#/components/parameters/csrfToken' }] : []),
  ];
  return {
    operationId: name,
    summary,
    tags: [tagOf(endpoint.path)],
    'x-least-role': access,
    security:
      access === 'anyone'
        ? []
        : access === 'daemon'
          ? [{ certificate: [] }]
          : [{ bearer: [] }, { cookie: [] }],
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && {
      requestBody: {
        required: 'required' in body,
        content: { 'application/json': { schema: shown(body) } },
      },
    }),
    responses: {
      200: {
        description: 'Done.',
        content: { 'application/json': { schema: shown(reply) } },
      },
      default: { $ref: '#/components/responses/problem' },
    },
  };
}

const tagOf = (path: string): string => path.split('/')[1]!;

function fields(schema: Endpoint['params'], where: 'path' | 'query'): Json[] {
  return Object.entries(schema?.properties ?? {}).map(([name, property]) => {
    const { description, ...rest } = shown(property) as Json;
    const required = where === 'path' || (schema!.required as string[] | undefined)?.includes(name);
    return {
      ...{ name, in: where, required: required ?? false },
      ...(description !== undefined && { description }),
      schema: rest,
    };
  });
}

/** Plain JSON, with references in the place of components. @param except shown in full itself */
function shown(schema: unknown, except?: unknown): unknown {
  if (schema !== except && components.has(schema)) {
    return { $ref: `#/components/schemas/${components.get(schema)}` };
  }
  if (Array.isArray(schema)) return schema.map((each) => shown(each));
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, shown(value)]));
}
