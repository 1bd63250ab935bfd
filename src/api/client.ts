/**
 * The typed client: `client.call('showVm', { params: { vm: 'web' } })`. Types, paths and methods
 * come from the endpoint table.
 */
import {
  type Endpoint,
  type EndpointName,
  endpoints,
  type Input,
  type Output,
} from './endpoints.ts';
import { type Trust, Wire } from './wire.ts';

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
type Arguments<N extends EndpointName> =
  unknown extends Input<N>
    ? [input?: undefined, options?: CallOptions]
    : [input: Input<N>, options?: CallOptions];

export class Client {
  readonly wire: Wire;

  constructor(url: string, trust: Trust) {
    this.wire = new Wire(url, trust);
  }

  async call<N extends EndpointName>(
    name: N,
    ...[input, options = {}]: Arguments<N>
  ): Promise<Output<N>> {
    const endpoint: Endpoint = endpoints[name];
    const parts = (input ?? {}) as Parts;
    const { idempotencyKey, ifVersion, signal } = options;
    const reply = await this.wire.json(
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

  /** Closes kept connections. */
  close(): void {
    this.wire.close();
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
