/**
 * Who calls, and whether they may.
 *
 * Daemons show a certificate of the cluster's CA. People show a secret: as a bearer token, or as the
 * cookie that a login has set. A cookie comes along with whatever a browser sends, so a call by
 * cookie that changes something must also carry the session's CSRF token, which pages of another
 * origin cannot know, and a WebSocket by cookie must come from our own origin.
 */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';
import type { Access } from '../api/endpoints.ts';
import { mayAct } from '../api/roles.ts';
import { UmbraError } from '../base/errors.ts';
import type { Context } from './handler.ts';
import type { Daemon } from './inventory.ts';
import type { Person } from './people/people.ts';
import { csrfTokenOf, sessionTtlSeconds } from './people/sessions.ts';

/** Who calls; of a daemon, which. */
export type Caller =
  | { readonly kind: 'anyone' }
  | Person
  | { readonly kind: 'daemon'; readonly daemon: Daemon };

const cookieName = '__Host-umbra-session';

export function sessionCookie(secret: string): string {
  return cookie(secret, sessionTtlSeconds);
}

export function noCookie(): string {
  return cookie('', 0);
}

function cookie(value: string, maxAge: number): string {
  return `${cookieName}=${value}; Path=/; Max-Age=${maxAge}; Secure; HttpOnly; SameSite=Strict`;
}

/**
 * @param access what is called. Where anyone may call no secret is looked at: an old cookie must not
 *   keep anybody from logging in again.
 */
export function callerOf(
  { cluster, people, forwarding }: Context,
  request: FastifyRequest,
  access: Access,
): Caller {
  const { headers } = request;
  const daemon = cluster.daemonConnections.daemonOf(request.raw.socket as TLSSocket);
  if (daemon !== undefined) return { kind: 'daemon', daemon };
  if (access === 'anyone') return { kind: 'anyone' };
  const given = headers.authorization;
  if (given !== undefined) {
    const token = given.match(/^Bearer ([\w.~+/=-]+)$/i)?.[1];
    if (token !== undefined) return people.personOf(token);
    throw new UmbraError(
      'credentials-refused',
      'the Authorization header is not "Bearer TOKEN"',
      'Send the token of a session or an API token that way.',
    );
  }
  const secret = cookieOf(request.raw);
  if (secret === undefined) return { kind: 'anyone' };
  const person = people.personOf(secret);
  refuseForgery(request, forwarding.originOf(request).host, secret);
  return person;
}

function cookieOf({ headers }: IncomingMessage): string | undefined {
  for (const part of (headers.cookie ?? '').split(';')) {
    const [name, value] = part.trim().split('=', 2);
    if (name === cookieName && value) return value;
  }
  return undefined;
}

function refuseForgery({ headers, method }: FastifyRequest, host: string, secret: string): void {
  const isOwnOrigin =
    headers.origin === undefined
      ? headers.upgrade === undefined
      : headers.origin === `https://${host}`;
  const isReading = method === 'GET' || method === 'HEAD';
  if (isOwnOrigin && (isReading || headers['x-csrf-token'] === csrfTokenOf(secret))) return;
  throw new UmbraError(
    'csrf-refused',
    isOwnOrigin
      ? 'a call by cookie that changes something needs the header X-CSRF-Token'
      : 'a call by cookie has come from another origin',
    'The token is in the reply to the login, and in GET /sessions/current.',
  );
}

/** @throws UmbraError credentials-missing, access-denied */
export function admit(caller: Caller, access: Access): void {
  if (access === 'anyone') return;
  if (access === 'daemon' ? caller.kind === 'daemon' : isPersonOf(caller, access)) return;
  if (caller.kind === 'anyone') {
    throw new UmbraError(
      'credentials-missing',
      access === 'daemon'
        ? 'this is for hosts and gateways, which show a certificate of the cluster'
        : 'this needs a token (Authorization: Bearer ...)',
      'Log in (umbra login), or use the file that the center wrote: admin.json in its folder of data.',
    );
  }
  const who = access === 'daemon' ? 'hosts and gateways' : `people of the role ${access} or higher`;
  throw new UmbraError(
    'access-denied',
    `this is for ${who}, and ${nameOf(caller)} is ${roleOf(caller) ?? 'somebody else'}`,
    'Use the credentials that are meant for it, or ask an administrator for the role.',
  );
}

/** Who calls. @throws UmbraError where the caller may not */
export function admitted(context: Context, request: FastifyRequest, access: Access): Caller {
  const caller = callerOf(context, request, access);
  admit(caller, access);
  return caller;
}

function isPersonOf(caller: Caller, access: Exclude<Access, 'anyone' | 'daemon'>): boolean {
  return caller.kind === 'person' && mayAct(caller.role, access);
}

/** For the audit trail, tasks and words. */
export function nameOf(caller: Caller): string {
  if (caller.kind === 'anyone') return '-';
  return caller.kind === 'daemon' ? caller.daemon.name : caller.name;
}

export function roleOf(caller: Caller): string | null {
  if (caller.kind === 'anyone') return null;
  return caller.kind === 'daemon' ? caller.daemon.kind : caller.role;
}
