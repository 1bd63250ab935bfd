/**
 * Calls of the API by `fetch`, as whoever is logged in: the cookie comes along by itself, the CSRF
 * token from the session. A call that meets an ended session waits for a new one and is made again.
 */
import { apiPrefix, type Transport } from '../../api/calls.ts';
import { fromProblem, UmbraError } from '../../api/problems.ts';
import { endsSession, type Session } from './session.ts';

export class FetchTransport implements Transport {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async json(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<unknown> {
    const send = () => this.#send(method, path, body, signal, headers);
    const shown = this.#session.current;
    try {
      return await send();
    } catch (error) {
      const isOurs = error instanceof UmbraError && endsSession(error);
      if (!isOurs || path.startsWith('/sessions')) throw error;
      await this.#session.renewed(error, shown);
      return send();
    }
  }

  async #send(
    method: string,
    path: string,
    body: unknown,
    signal: AbortSignal | undefined,
    headers: Readonly<Record<string, string>>,
  ): Promise<unknown> {
    const { csrfToken } = this.#session;
    let reply: Response;
    try {
      reply = await fetch(apiPrefix + path, {
        method,
        credentials: 'same-origin',
        cache: 'no-store',
        ...(signal && { signal }),
        ...(body !== undefined && { body: JSON.stringify(body) }),
        headers: {
          accept: 'application/json',
          ...(csrfToken !== null && { 'x-csrf-token': csrfToken }),
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
      });
    } catch (cause) {
      if (signal?.aborted) throw cause;
      throw new UmbraError(
        'center-unreachable',
        'the center does not answer',
        'Protected VMs are not affected. Check that it runs and can be reached, then try again.',
        { cause },
      );
    }
    const text = await reply.text();
    if (reply.ok) return text === '' ? undefined : JSON.parse(text);
    throw (
      fromProblem(text) ??
      new UmbraError(
        'center-not-umbra',
        `the answer has the status ${reply.status} and no explanation`,
        'Something between this browser and the center answers in its place.',
      )
    );
  }
}
