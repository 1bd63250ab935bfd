/**
 * Files from a mirror, at most six at a time: mirrors throttle more than that into time-outs.
 *
 * What arrives is handed on in chunks and not judged here, except for its length: a body shorter
 * than announced is a failure. Signature and hashes are the callers' affair.
 */
import { type ClientRequest, Agent as HttpAgent, type IncomingMessage, request } from 'node:http';
import { Agent as HttpsAgent, request as secureRequest } from 'node:https';
import { UmbraError } from '../base/errors.ts';

const connectionsMax = 6;
const redirectionsMax = 5;
const silenceMsMax = 30_000;

export interface Download {
  /** The offset at which the body begins: the one asked for, or 0 if the server gives it all. */
  readonly from: number;
  /** Bytes of this body, if the server says. */
  readonly length: number | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

export class Downloader {
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;
  readonly #signal: AbortSignal | undefined;

  constructor(proxies: Readonly<Record<string, string>>, signal?: AbortSignal) {
    const options = { keepAlive: true, maxSockets: connectionsMax, timeout: silenceMsMax };
    const proxyEnv = { HTTP_PROXY: proxies['http'], HTTPS_PROXY: proxies['https'] };
    this.#http = new HttpAgent({ ...options, proxyEnv });
    this.#https = new HttpsAgent({ ...options, proxyEnv });
    this.#signal = signal;
  }

  /** Opens a file at `from` bytes. An absent file is `undefined`. */
  async open(address: string, from = 0): Promise<Download | undefined> {
    let url = new URL(address);
    for (let hop = 0; hop <= redirectionsMax; hop++) {
      const response = await this.#get(url, from);
      const status = response.statusCode ?? 0;
      if (status >= 300 && status < 400 && response.headers.location !== undefined) {
        response.resume();
        url = new URL(response.headers.location, url);
        continue;
      }
      if (status === 200 || status === 206) return this.#download(url, response, from);
      response.resume();
      if (status === 404 || status === 410) return undefined;
      if (status === 416 && from > 0) return this.open(address);
      throw unreachable(url, `it answers with status ${status}`);
    }
    throw unreachable(url, `it redirects more than ${redirectionsMax} times`);
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  #get(url: URL, from: number): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const secure = url.protocol === 'https:';
      const headers = {
        'accept-encoding': 'identity',
        ...(from > 0 && { range: `bytes=${from}-` }),
      };
      const signal = this.#signal;
      const options = { headers, timeout: silenceMsMax, ...(signal && { signal }) };
      const sent: ClientRequest = secure
        ? secureRequest(url, { ...options, agent: this.#https })
        : request(url, { ...options, agent: this.#http });
      sent.on('timeout', () => sent.destroy(new Error(`silent for ${silenceMsMax / 1000} s`)));
      sent.on('error', (error) => reject(this.#failure(url, error)));
      sent.on('response', resolve);
      sent.end();
    });
  }

  #download(url: URL, response: IncomingMessage, from: number): Download {
    const announced = response.headers['content-length'];
    const length = announced === undefined ? undefined : Number(announced);
    const failure = (error: unknown): Error => this.#failure(url, error);
    async function* body(): AsyncGenerator<Uint8Array> {
      let received = 0;
      try {
        for await (const chunk of response) {
          received += chunk.length;
          yield chunk;
        }
      } catch (error) {
        throw failure(error);
      }
      if (length !== undefined && received !== length) throw truncated(url, received, length);
    }
    return { from: response.statusCode === 206 ? from : 0, length, body: body() };
  }

  #failure(url: URL, error: unknown): Error {
    if (this.#signal?.aborted) return this.#signal.reason as Error;
    const cause = error as NodeJS.ErrnoException;
    if (cause.code === 'ECONNRESET' && cause.message === 'aborted') return truncated(url);
    return unreachable(url, cause.message || (cause.code ?? String(error)), error);
  }
}

function unreachable(url: URL, why: string, cause?: unknown): UmbraError {
  return new UmbraError(
    'image-mirror-unreachable',
    `cannot get ${url.href}: ${why}`,
    'Check the network and the machine’s apt sources, or name another mirror with --mirror URL.',
    { cause },
  );
}

function truncated(url: URL, received?: number, length?: number): UmbraError {
  const much = received === undefined ? '' : ` after ${received} of ${length} bytes`;
  return new UmbraError(
    'image-download-truncated',
    `the mirror broke off ${url.href}${much}`,
    'Run the build again: it continues where it stopped. If it recurs, try --mirror URL.',
  );
}
