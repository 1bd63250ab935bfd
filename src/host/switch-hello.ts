/**
 * Reads the control message of a VM process on the switch's socket (vm/protocol.ts). Twin of
 * `encodeSwitchHello`, for whoever stands at the other end.
 *
 * The addresses in it were spoken by a guest: nothing is believed without a look.
 */
import { MalformedBytes } from '../base/bytes.ts';
import { VLAN_MAX, type Vlan } from '../network/frames/vlan.ts';
import { type PortGeneration, portGeneration } from '../network/switch.ts';
import type { VmAddresses } from '../network/trunk.ts';
import { parseIpv4Text, parseMacText, write32 } from '../network/wire.ts';
import { type SwitchHello, switchControlBit } from './vm/protocol.ts';

export const HELLO_BYTES_MAX = 8192;
/** As many as a trunk announcement carries. */
const ADDRESSES_MAX = 64;

export interface Hello {
  readonly vm: number;
  readonly generation: PortGeneration;
  readonly vlan: Vlan;
  readonly addresses: VmAddresses;
}

/** @throws MalformedBytes */
export function decodeSwitchHello(bytes: Uint8Array): Hello {
  const hello = parseJson(bytes);
  const vm = integer(hello.vmNumber, 1, 2 ** 32);
  const epoch = integer(hello.epoch, 0, 2 ** 21);
  const generation = integer(hello.generation, 0, 2 ** 32);
  const vlan = hello.vlan === undefined ? 0 : integer(hello.vlan, 1, VLAN_MAX + 1);
  const mac = parseMacText(String(hello.mac));
  if (mac === undefined) throw new MalformedBytes('a hello without its MAC');
  const ipv4 = addresses(hello.ipv4, parseIpv4Text);
  const ipv6 = addresses(hello.ipv6, parseIpv6Digits);
  const addressesOf = { mac, ipv4, ipv6 };
  return { vm, generation: portGeneration(epoch, generation), vlan, addresses: addressesOf };
}

/** The message with its length in front, ready for the socket. */
export function encodeSwitchHello(hello: SwitchHello): Uint8Array<ArrayBuffer> {
  const body = new TextEncoder().encode(JSON.stringify(hello));
  const message = new Uint8Array(4 + body.length);
  write32(message, 0, (switchControlBit + body.length) >>> 0);
  message.set(body, 4);
  return message;
}

function parseJson(bytes: Uint8Array): Partial<Record<keyof SwitchHello, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Falls through: text that is no JSON is as malformed as JSON that is no object.
  }
  throw new MalformedBytes('a hello that is no JSON object');
}

function integer(value: unknown, from: number, below: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= from && value < below) {
    return value;
  }
  throw new MalformedBytes(`no number of a hello: ${JSON.stringify(value)}`);
}

function addresses<A>(list: unknown, parse: (text: string) => A | undefined): A[] {
  if (!Array.isArray(list) || list.length > ADDRESSES_MAX) {
    throw new MalformedBytes('no list of addresses');
  }
  return list.map((text) => {
    const address = typeof text === 'string' ? parse(text) : undefined;
    if (address === undefined) throw new MalformedBytes(`no address: ${JSON.stringify(text)}`);
    return address;
  });
}

function parseIpv6Digits(text: string): Uint8Array | undefined {
  return /^[0-9a-f]{32}$/.test(text) ? new Uint8Array(Buffer.from(text, 'hex')) : undefined;
}
