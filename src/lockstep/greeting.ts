/**
 * The beginning of a connection: may this shadow be served at all?
 *
 * From: the shadow's `hello`. To: the protocol version, or a `refuse` that says why in words.
 */
import type { Hello, HelloBody, RefusalCode } from './messages.ts';
import { chooseVersion, encodeMessage, protocolVersions } from './messages.ts';
import type { Link } from './ports.ts';

export interface Greeting {
  readonly version: number;
  readonly body: HelloBody;
}

export interface Refusal {
  readonly code: RefusalCode;
  readonly text: string;
}

/** The same machine in the same configuration, in a language that both speak. */
export function judge(hello: Hello, vm: string, configuration: Uint8Array): Greeting | Refusal {
  const { versionMin, versionMax, body } = hello;
  const version = chooseVersion(versionMin, versionMax);
  if (version === undefined || body === undefined) {
    const { min, max } = protocolVersions;
    const text = `the shadow speaks protocol ${versionMin} to ${versionMax}, this is ${min} to ${max}`;
    return { code: 'version', text };
  }
  if (body.vm !== vm) return { code: 'vm', text: `this is ${vm}, not ${body.vm}` };
  const same = configuration.length === body.configuration.length;
  if (!same || configuration.some((byte, at) => byte !== body.configuration[at])) {
    return { code: 'configuration', text: 'the two machines are configured differently' };
  }
  return { version, body };
}

export function refuse(link: Link, { code, text }: Refusal): void {
  link.send(encodeMessage({ kind: 'refuse', code, text }));
  link.close(text);
}
