/**
 * A gateway on an Ethernet: the pure stack (network/gateway), its sockets, its published ports, and
 * the turn that joins them. The gateway's process and `umbra run` both use it.
 *
 * A request crosses it in one turn: the socket's bytes become segments, the segments frames on the
 * switch, the frames one write towards the guest.
 */
import { getServers } from 'node:dns';
import { Gateway, type GatewayConfig } from '../network/gateway/gateway.ts';
import type { TrunkAnnouncement } from '../network/trunk.ts';
import { type Ipv4, type Mac, parseIpv4Text } from '../network/wire.ts';
import { Alarm } from './clock.ts';
import type { Ethernet } from './ethernet.ts';
import { GatewaySockets } from './gateway-sockets.ts';
import { PublishedPorts, type PublishedPortsOptions } from './published-ports.ts';

/** Where the guests of a cluster live unless told otherwise; the MAC is a local one. */
export const gatewayDefaults = {
  mac: 0x02_55_4d_42_00_01 as Mac,
  address: parseIpv4Text('10.86.0.1')!,
  prefixLength: 16,
  domain: 'umbra',
} as const;

export interface GatewayStackOptions {
  readonly ethernet: Ethernet;
  readonly config?: Partial<GatewayConfig>;
  /** The address at which ports are published. */
  readonly publishAddress: string;
  readonly publishFailed: PublishedPortsOptions['failed'];
  /** A lease was given or returned; called at the end of that turn. */
  readonly leasesChanged?: (now: number) => void;
}

export class GatewayStack {
  readonly gateway: Gateway;
  readonly ports: PublishedPorts;
  readonly #sockets: GatewaySockets;
  readonly #alarm: Alarm;

  constructor(options: GatewayStackOptions) {
    const { ethernet, leasesChanged } = options;
    const config = { ...gatewayDefaults, ...options.config };
    this.#alarm = new Alarm(() => ethernet.turn(() => {}));
    const port = ethernet.switch.addPort(0, 0, {
      deliver: (frame) => this.gateway.receiveFrame(frame, ethernet.now),
    });
    this.#sockets = new GatewaySockets(ethernet, (frame) =>
      ethernet.switch.receive(port, frame, ethernet.now),
    );
    this.gateway = new Gateway(config, this.#sockets);
    this.#sockets.serve(this.gateway);
    this.ports = new PublishedPorts({
      ethernet,
      gateway: this.gateway,
      sockets: this.#sockets,
      address: options.publishAddress,
      failed: options.publishFailed,
    });
    ethernet.atTurnEnd((now) => {
      this.#alarm.set(this.gateway.tick(now));
      this.#sockets.flush();
      if (leasesChanged !== undefined && this.gateway.takeLeasesChanged()) leasesChanged(now);
    });
    ethernet.turn((now) => {
      const addresses = [{ mac: config.mac, ipv4: [config.address], ipv6: [] }];
      ethernet.goLive(port, 0, addresses, now);
    });
  }

  /** A VM has gone live elsewhere: what is unacknowledged goes there at once. */
  announced(announcement: TrunkAnnouncement, now: number): void {
    this.gateway.announced(announcement.addresses, now);
  }

  close(): void {
    this.#alarm.clear();
    this.ports.close();
    this.#sockets.close();
  }
}

/** The machine's first resolver that IPv4 reaches, for queries that the gateway cannot answer. */
export function machineResolver(): { address: Ipv4; port: number } | undefined {
  for (const server of getServers()) {
    const [text, port] = server.split(':');
    const address = server.includes('::') ? undefined : parseIpv4Text(text ?? '');
    if (address !== undefined) return { address, port: Number(port ?? 53) };
  }
  return undefined;
}
