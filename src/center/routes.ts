/**
 * The way of a request through a row of the endpoint table:
 *
 *   who calls -> may they -> is it well formed -> If-Match -> Idempotency-Key -> handler
 *     -> audit trail -> durable -> reply
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import Value from 'typebox/value';
import { type Endpoint, type EndpointName, endpoints } from '../api/endpoints.ts';
import { VmView } from '../api/views.ts';
import { apiPrefix } from '../api/wire.ts';
import { assert } from '../base/assert.ts';
import { UmbraError } from '../base/errors.ts';
import { auditedInput } from './audit.ts';
import { admit, callerOf, nameOf, roleOf } from './callers.ts';
import type { Cluster } from './cluster.ts';
import type { Call, Context } from './handler.ts';
import { handlers } from './handlers.ts';
import { versionOf } from './inventory.ts';

interface Checked {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
}

type Handle = (context: Context, input: Checked, call: Call) => unknown;

export function addEndpoint(server: FastifyInstance, context: Context, name: EndpointName): void {
  const endpoint: Endpoint = endpoints[name];
  const handle = handlers[name] as Handle;
  const check = requestChecker(endpoint);
  const reply = Compile(endpoint.reply);
  const { audit, cluster, people } = context;
  const isAudited = endpoint.method !== 'GET' && !endpoint.isUnaudited;

  const perform = async (call: Call, request: FastifyRequest): Promise<unknown> => {
    call.caller = callerOf(cluster.daemonConnections, people, request, endpoint.access);
    admit(call.caller, endpoint.access);
    const input = check(request);
    if (endpoint.method !== 'GET') refuseIfChanged(cluster, request, input.params);
    const act = async () => {
      const result = await handle(context, input, call);
      assert(reply.Check(result), `${name} replied with what it does not promise`);
      return result;
    };
    const key = request.headers['idempotency-key'];
    if (!endpoint.creates || typeof key !== 'string' || call.caller.kind !== 'person') return act();
    const { caller } = call;
    const done = await context.idempotency.once(caller, name, key, input.body, act);
    if (done.isReplayed) call.setHeader('idempotent-replayed', 'true');
    return done.reply;
  };

  server.route({
    method: endpoint.method,
    url: apiPrefix + endpoint.path,
    ...(endpoint.method === 'GET' ? { exposeHeadRoute: false } : {}),
    handler: async (request, response) => {
      const began = performance.now();
      const call: Call = {
        caller: { kind: 'anyone' },
        address: request.ip,
        setHeader: (header, value) => response.header(header, value),
      };
      const note = (outcome: string): void => {
        if (!isAudited) return;
        const record = {
          ...{ who: nameOf(call.caller), role: roleOf(call.caller), address: request.ip },
          ...{ action: name, outcome },
          input: auditedInput(endpoint, request.params, request.body),
          milliseconds: Math.round(performance.now() - began),
        };
        audit.add(record, call.caller.kind === 'anyone' && outcome !== 'done');
      };
      let result: unknown;
      try {
        result = await perform(call, request);
      } catch (error) {
        note(error instanceof UmbraError ? error.code : 'bug');
        throw error;
      }
      note('done');
      // Nobody is told what could still be forgotten.
      await cluster.store.settled();
      if (endpoint.reply === VmView) response.header('etag', `"${(result as VmView).version}"`);
      return response.type('application/json').send(JSON.stringify(result));
    },
  });
}

/** Every other method on a path that there is: 405 in words, before anything of it is read. */
export function addRefusals(server: FastifyInstance): void {
  const methods = new Map<string, Set<string>>();
  for (const { method, path } of Object.values(endpoints)) {
    methods.set(path, (methods.get(path) ?? new Set()).add(method));
  }
  for (const [path, allowed] of methods) {
    const others = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].filter(
      (method) => !allowed.has(method),
    );
    const allow = [...allowed].sort().join(', ');
    server.route({
      method: others,
      url: apiPrefix + path,
      exposeHeadRoute: false,
      onRequest: async (request, response) => {
        response.header('allow', allow);
        throw new UmbraError(
          'method-not-allowed',
          `${apiPrefix}${path} does not take ${request.method}`,
          `It takes ${allow}.`,
        );
      },
      handler: async () => {},
    });
  }
}

// --- what is well formed ------------------------------------------------------------------------

function requestChecker(endpoint: Endpoint): (request: FastifyRequest) => Checked {
  const params = checker(endpoint.params, 'the path');
  const query = checker(endpoint.query, 'the query', true);
  const body = checker(endpoint.body, 'the body');
  return (request) => ({
    params: params(request.params),
    query: query(request.query),
    body: body(request.body ?? {}),
  });
}

/** @param isText numbers and booleans come as text */
function checker(schema: TSchema | undefined, where: string, isText = false) {
  if (schema === undefined) return () => undefined;
  const compiled = Compile(schema);
  return (given: unknown): unknown => {
    const value = isText ? Value.Convert(schema, given) : given;
    if (compiled.Check(value)) return value;
    const [error] = compiled.Errors(value).filter(({ keyword }) => keyword !== 'boolean');
    const at = error?.instancePath.replaceAll('/', '.').slice(1);
    throw malformed(`${where}${at ? `, ${at}` : ''} ${error?.message ?? 'is malformed'}`);
  };
}

function malformed(what: string): UmbraError {
  return new UmbraError(
    'request-malformed',
    `the request is malformed: ${what}`,
    `See the help of the command, or GET ${apiPrefix}/openapi.json.`,
  );
}

/** `If-Match` (RFC 9110): the caller has decided by what it has seen, and that must still be so. */
function refuseIfChanged(cluster: Cluster, request: FastifyRequest, params: unknown): void {
  const header = request.headers['if-match']?.trim();
  const name = (params as { vm?: string } | undefined)?.vm;
  if (header === undefined || name === undefined || header === '*') return;
  const tags = header.split(',').map((tag) => /^(?:W\/)?"([^"]*)"$/.exec(tag.trim()));
  if (tags.includes(null)) throw malformed('If-Match is not a list of versions such as "7"');
  const version = versionOf(cluster.findVm(name));
  // A weak tag never matches here.
  if (tags.some((tag) => tag![0] === `"${version}"`)) return;
  throw new UmbraError(
    'changed-meanwhile',
    `${name} has been changed meanwhile: it has version ${version} now, not ${header}`,
    `Look at it again (umbra vm show ${name}), then decide.`,
  );
}
