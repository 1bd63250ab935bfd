/**
 * HTTPS to the center: TLS 1.3, the cluster's CA pinned, keep-alive, problems turned into errors.
 *
 * The center's certificate carries the name `center.umbra` instead of an address, and only the CA
 * can issue it: a center may move, stand behind a forwarded port or have several addresses, and a
 * daemon's certificate never passes for the center's.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { UmbraError } from '../base/errors.ts';
import { apiPrefix, type Transport } from './calls.ts';
import type { Credentials } from './credentials.ts';
import { fromProblem } from './problems.ts';

/** The name in the center's certificate. */
export const centerName = 'center.umbra';
export { apiPrefix };

/** Whom to believe, and who to be: a certificate for daemons, a token for people. */
export interface Trust {
  readonly ca: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly token?: string;
}

export function daemonTrust(credentials: Credentials): Trust {
  return {
    ca: readFileSync(credentials.caFile, 'utf8'),
    certificate: readFileSync(credentials.certificateFile, 'utf8'),
    key: readFileSync(credentials.keyFile, 'utf8'),
  };
}

/** Options for `https.request` and for `new WebSocket`. */
export function tlsOptions(trust: Trust) {
  const { ca, certificate, key } = trust;
  return {
    ca,
    servername: centerName,
    minVersion: 'TLSv1.3' as const,
    ...(certificate !== undefined && { cert: certificate }),
    ...(key !== undefined && { key }),
  };
}

export const authorization = (trust: Trust): Record<string, string> =>
  trust.token === undefined ? {} : { authorization: `Bearer ${trust.token}` };

/** One center, reached over connections that are kept. */
export class Wire implements Transport {
  readonly url: string;
  readonly trust: Trust;
  readonly #agent: HttpsAgent;

  constructor(url: string, trust: Trust) {
    this.url = centerUrl(url);
    this.trust = trust;
    this.#agent = new HttpsAgent({ keepAlive: true, ...tlsOptions(trust) });
  }

  /** Sends a request and gives the reply's head; a status of 400 and above is thrown. */
  async open(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const reply = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = httpsRequest(
        new URL(apiPrefix + path, this.url),
        {
          method,
          agent: this.#agent,
          ...(signal && { signal }),
          headers: {
            accept: 'application/json',
            ...authorization(this.trust),
            ...headers,
            ...(text !== undefined && {
              'content-type': 'application/json',
              'content-length': Buffer.byteLength(text),
            }),
          },
        },
        resolve,
      );
      sent.on('error', (error) => reject(connectionError(this.url, error)));
      sent.end(text);
    });
    if (reply.statusCode! < 400) return reply;
    throw refusal(this.url, reply.statusCode!, await readText(reply));
  }

  /** A JSON reply; undefined where the reply has no content. */
  async json(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
    headers?: Readonly<Record<string, string>>,
  ): Promise<unknown> {
    const text = await readText(await this.open(method, path, body, signal, headers));
    return text === '' ? undefined : JSON.parse(text);
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Replies under way still come; nothing more is asked here. */
  closeIdle(): void {
    for (const sockets of Object.values(this.#agent.freeSockets)) {
      for (const socket of sockets ?? []) socket.destroy();
    }
  }
}

export async function readText(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** The center's address in one spelling; `HOST:PORT` stands for `https://HOST:PORT`. */
export function centerUrl(text: string): string {
  const whole = text.includes('://') ? text : `https://${text}`;
  if (URL.canParse(whole)) {
    const url = new URL(whole);
    if (url.protocol === 'https:' && url.hostname !== '') return url.origin;
  }
  throw new UmbraError(
    'center-url-malformed',
    `"${text}" is not the address of a center`,
    'Give it as https://ADDRESS:PORT.',
  );
}

export function refusal(url: string, status: number, text: string): UmbraError {
  return (
    fromProblem(text) ??
    new UmbraError(
      'center-not-umbra',
      `${url} answered with status ${status} and no explanation`,
      'Check that the address is that of an Umbra center.',
    )
  );
}

const untrusted = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'CERT_HAS_EXPIRED',
]);

/** What a failed connection means to whoever reads it. */
export function connectionError(url: string, cause: Error & { code?: string }): UmbraError {
  if (cause instanceof UmbraError) return cause;
  if (untrusted.has(cause.code ?? '')) {
    return new UmbraError(
      'center-not-trusted',
      `the center at ${url} is not of the cluster that the credentials are for (${cause.message})`,
      'Check the address, or obtain credentials of that cluster.',
      { cause },
    );
  }
  return new UmbraError(
    'center-unreachable',
    `the center at ${url} does not answer (${cause.code ?? cause.message})`,
    'Check that it runs (umbra center start) and that the address is right (--center URL).',
    { cause },
  );
}
