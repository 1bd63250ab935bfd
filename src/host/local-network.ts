/**
 * The network of `umbra run`: one guest, a switch and a gateway in the guest's own process, nothing
 * of a cluster. The guest always has the same address, so that published ports reach it from the
 * moment its programs listen.
 */
import type { PublishedPort } from '../api/agent.ts';
import { UmbraError } from '../base/errors.ts';
import { copyBytes, formatIpv4, type Mac, parseIpv4Text } from '../network/wire.ts';
import { Ethernet } from './ethernet.ts';
import { GatewayStack, machineResolver } from './gateway-stack.ts';

export interface LocalNetworkOptions {
  /** The guest's MAC. */
  readonly mac: Mac;
  /** Ports of this machine that stand for ports of the guest. */
  readonly publish?: readonly PublishedPort[];
  /** Where DNS queries go: by default the machine's resolver; null: nowhere. */
  readonly dns?: { readonly address: string; readonly port: number } | null;
  /** By default only this machine reaches published ports. */
  readonly publishAddress?: string;
}

/** The guest's end of the cable. */
export interface LocalNetwork {
  /** The address that the guest gets by DHCP. */
  readonly guestAddress: string;
  /**
   * A frame that the guest sends, the network's from now on. It is dealt with after the task under
   * way, so that no answer comes back into the middle of whoever sends.
   */
  send(frame: Uint8Array): void;
  /** Receives the guest's frames, and owns them. */
  onFrame: (frame: Uint8Array) => void;
  /** The port of this machine behind a published one; of use where that was 0. */
  portOf(published: PublishedPort): number | undefined;
  close(): void;
}

const guestAddress = parseIpv4Text('10.86.0.15')!;

/** @throws UmbraError `port-taken` if a port cannot be published */
export async function createLocalNetwork(options: LocalNetworkOptions): Promise<LocalNetwork> {
  const { mac, publish = [] } = options;
  const ethernet = new Ethernet();
  const dnsForward = resolverOf(options.dns);
  let failure: UmbraError | undefined;
  const stack = new GatewayStack({
    ethernet,
    config: {
      reservations: new Map([[mac, guestAddress]]),
      ...(dnsForward && { dnsForward }),
    },
    publishAddress: options.publishAddress ?? '127.0.0.1',
    publishFailed: ({ gatewayPort }, cause) => {
      failure = portFailure(gatewayPort, cause);
    },
  });
  const port = ethernet.switch.addPort(1, 1, {
    deliver: (frame) => network.onFrame(copyBytes(frame)),
  });
  let sent: Uint8Array[] = [];
  const receive = (): void => {
    const frames = sent;
    sent = [];
    ethernet.turn((now) => {
      for (const frame of frames) ethernet.switch.receive(port, frame, now);
    });
  };
  const network: LocalNetwork = {
    guestAddress: formatIpv4(guestAddress),
    send: (frame) => {
      if (sent.push(frame) === 1) queueMicrotask(receive);
    },
    onFrame: () => {},
    portOf: ({ protocol, gatewayPort }) => stack.ports.portOf(protocol, gatewayPort),
    close: () => {
      stack.close();
      ethernet.close();
    },
  };
  await stack.ports.set(
    publish.map((wanted) => ({ ...wanted, vm: 'the guest', guest: () => guestAddress })),
  );
  if (failure !== undefined) {
    network.close();
    throw failure;
  }
  return network;
}

function resolverOf(dns: LocalNetworkOptions['dns']): ReturnType<typeof machineResolver> {
  if (dns === null) return undefined;
  if (dns === undefined) return machineResolver();
  const address = parseIpv4Text(dns.address);
  return address === undefined ? undefined : { address, port: dns.port };
}

/** Why a port could not be published, for people. */
export function portFailure(port: number, cause: Error & { code?: string }): UmbraError {
  if (cause.code === 'EADDRINUSE') {
    return new UmbraError(
      'port-taken',
      `port ${port} is in use by another program of this machine`,
      'Publish the VM at another port, or stop the program that has this one.',
      { cause },
    );
  }
  return new UmbraError(
    'port-unusable',
    `port ${port} cannot be published: ${cause.message}`,
    'Publish the VM at another port; ports below 1024 need rights of an administrator.',
    { cause },
  );
}
