/**
 * Whatever goes wrong on the way of a request leaves as a problem document (api/problems.ts), also
 * what the HTTP server itself refuses.
 */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply } from 'fastify';
import { type Problem, toProblem } from '../api/problems.ts';
import { apiPrefix } from '../api/wire.ts';
import { UmbraError } from '../base/errors.ts';
import { Throttled } from './people/people.ts';

export const bodyBytesMax = 256 * 2 ** 10;

/** A bug has surfaced in a request; the request fails, the center goes on. */
export type OnBug = (error: unknown) => void;

const api = `See the description of the API: GET ${apiPrefix}/openapi.json.`;

/** By the codes of the HTTP server's own errors. */
const refusals: Readonly<Record<string, readonly [code: string, why: string, remedy: string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: [
    'body-too-large',
    `the body is larger than ${bodyBytesMax} bytes`,
    'Send less.',
  ],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'media-type-unsupported',
    'the body is not of the type application/json',
    'Send JSON, with Content-Type: application/json.',
  ],
  FST_ERR_MAX_PARAM_LENGTH: ['path-too-long', 'a name in the path is too long', api],
  HPE_HEADER_OVERFLOW: ['headers-too-large', 'the headers are too large', 'Send fewer.'],
};

export function explain(error: unknown, onBug: OnBug): UmbraError {
  if (error instanceof UmbraError) return error;
  const { statusCode, code = '', message } = error as Partial<FastifyError>;
  const known = refusals[code];
  if (known !== undefined) return new UmbraError(...known, { cause: error });
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new UmbraError('request-malformed', `the request is malformed: ${message}`, api);
  }
  onBug(error);
  return new UmbraError(
    'bug',
    `the center has failed on this request: ${message}`,
    "This is a bug; the center's log has more. Please report it.",
    { cause: error },
  );
}

export function sendProblem(reply: FastifyReply, error: UmbraError): void {
  const problem = toProblem(error);
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer');
  if (error instanceof Throttled) reply.header('retry-after', error.retryAfterSeconds);
  reply.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
}

/** What is no HTTP at all, or came too slowly: told in words, then closed. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (socket.destroyed || !socket.writable) return;
  const [code, why, remedy] = refusals[error.code ?? ''] ?? [
    'request-malformed',
    `the request is malformed: ${error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'it came too slowly' : 'this is not HTTP'}`,
    api,
  ];
  const problem: Problem = toProblem(new UmbraError(code, why, remedy));
  const text = JSON.stringify(problem);
  socket.end(
    [
      `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
      'Content-Type: application/problem+json',
      `Content-Length: ${Buffer.byteLength(text)}`,
      'Connection: close',
      '',
      text,
    ].join('\r\n'),
  );
}
