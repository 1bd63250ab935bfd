/**
 * The typed calls of the endpoint table, over whatever carries them: HTTPS of Node with a pinned CA
 * (wire.ts), or a browser's `fetch` (the console). Types, paths and methods come from the table;
 * nothing here knows Node or the DOM.
 */
import {
  type Endpoint,
  type EndpointName,
  endpoints,
  type Input,
  type Output,
} from './endpoints.ts';

export const apiPrefix = '/api/v1';

/** What carries a call. A refusal is thrown as an `UmbraError` (problems.ts). */
export interface Transport {
  /**
   * @param path below `apiPrefix`, with its query
   * @param body undefined: none
   * @returns the reply's JSON; undefined where it has no content
   */
  json(
    method: Endpoint['method'],
    path: string,
    body?: unknown,
    signal?: AbortSignal,
    headers?: Readonly<Record<string, string>>,
  ): Promise<unknown>;
}

interface Parts {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
}

export interface CallOptions {
  /** For rows that create: the same key gives the same reply again, and makes nothing twice. */
  readonly idempotencyKey?: string;
  /** For changes of a VM: only if its version still is this one. */
  readonly ifVersion?: number;
  readonly signal?: AbortSignal;
}

/** Endpoints without params, query and body take no input. */
export type Arguments<N extends EndpointName> =
  unknown extends Input<N>
    ? [input?: undefined, options?: CallOptions]
    : [input: Input<N>, options?: CallOptions];

export class Calls {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async call<N extends EndpointName>(
    name: N,
    ...[input, options = {}]: Arguments<N>
  ): Promise<Output<N>> {
    const endpoint: Endpoint = endpoints[name];
    const parts = (input ?? {}) as Parts;
    const { idempotencyKey, ifVersion, signal } = options;
    const reply = await this.#transport.json(
      endpoint.method,
      pathOf(endpoint, parts),
      parts.body,
      signal,
      {
        ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
        ...(ifVersion !== undefined && { 'if-match': `"${ifVersion}"` }),
      },
    );
    return reply as Output<N>;
  }
}

function pathOf(endpoint: Endpoint, { params, query }: Parts): string {
  const path = endpoint.path.replace(/:(\w+)/g, (_, name: string) =>
    encodeURIComponent(params![name]!),
  );
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) asked.set(name, String(value));
  }
  return asked.size === 0 ? path : `${path}?${asked}`;
}
