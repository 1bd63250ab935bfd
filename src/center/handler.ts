/** What a handler of an endpoint gets and gives; the rows are in api/endpoints.ts. */
import type { EndpointName, Input, Output } from '../api/endpoints.ts';
import type { Audit } from './audit.ts';
import type { Caller } from './callers.ts';
import type { Authority } from './certificates.ts';
import type { Cluster } from './cluster.ts';
import type { Idempotency } from './idempotency.ts';
import type { People } from './people/people.ts';

export interface Context {
  readonly cluster: Cluster;
  readonly authority: Authority;
  readonly people: People;
  readonly audit: Audit;
  readonly idempotency: Idempotency;
  readonly version: string;
}

/** One request, as far as it is not input. */
export interface Call {
  /** A login sets it: who has called is known only then. */
  caller: Caller;
  /** IP address. */
  readonly address: string;
  setHeader(name: string, value: string): void;
}

export type Handler<N extends EndpointName> = (
  context: Context,
  input: Input<N>,
  call: Call,
) => Output<N> | Promise<Output<N>>;

export type Handlers = { readonly [N in EndpointName]: Handler<N> };
