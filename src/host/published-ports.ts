/**
 * The ports that the gateway publishes: listeners on this machine, each standing for a port of a
 * guest. `set` says what is wanted as a whole; listeners that are there already stay, and so do
 * connections over listeners that go.
 *
 * A port that cannot be had is reported, and tried again with the next `set`.
 */
import { createSocket, type Socket as DatagramSocket, type RemoteInfo } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import type { Gateway } from '../network/gateway/gateway.ts';
import type { Ipv4 } from '../network/wire.ts';
import type { Ethernet } from './ethernet.ts';
import type { GatewaySockets } from './gateway-sockets.ts';

export interface Publication {
  readonly protocol: 'tcp' | 'udp';
  readonly gatewayPort: number;
  readonly guestPort: number;
  /** The VM's name, for messages. */
  readonly vm: string;
  /** The guest's address now; undefined while it has none. */
  readonly guest: () => Ipv4 | undefined;
}

export interface PublishedPortsOptions {
  readonly ethernet: Ethernet;
  readonly gateway: Gateway;
  readonly sockets: GatewaySockets;
  /** The address of this machine at which ports are published. */
  readonly address: string;
  readonly failed: (publication: Publication, error: Error & { code?: string }) => void;
}

interface Listener {
  publication: Publication;
  readonly handle: Server | DatagramSocket;
  /** Settles when it listens, or has failed to. */
  readonly ready: Promise<void>;
}

/** Senders of datagrams get a port of the gateway each, by which the guest tells them apart. */
const SENDER_PORT_FIRST = 49_152;
const SENDER_PORTS = 65_536 - SENDER_PORT_FIRST;

const keyOf = ({ protocol, gatewayPort }: Publication): string => `${protocol}/${gatewayPort}`;

export class PublishedPorts {
  readonly #options: PublishedPortsOptions;
  readonly #listeners = new Map<string, Listener>();
  readonly #senderPorts = new Map<string, number>();
  readonly #usedSenderPorts = new Set<number>();
  #nextSenderPort = 0;

  constructor(options: PublishedPortsOptions) {
    this.#options = options;
  }

  /** All that is to be published. @returns once each listens or has been reported */
  async set(publications: readonly Publication[]): Promise<void> {
    const wanted = new Map(publications.map((publication) => [keyOf(publication), publication]));
    for (const [key, { handle }] of this.#listeners) {
      if (wanted.has(key)) continue;
      this.#listeners.delete(key);
      handle.close();
    }
    for (const [key, publication] of wanted) {
      const known = this.#listeners.get(key);
      if (known !== undefined) known.publication = publication;
      else this.#listen(key, publication);
    }
    await Promise.all([...this.#listeners.values()].map(({ ready }) => ready));
  }

  /** The port of this machine behind a publication, which differs from the wish only if that was 0. */
  portOf(protocol: 'tcp' | 'udp', gatewayPort: number): number | undefined {
    const address = this.#listeners.get(`${protocol}/${gatewayPort}`)?.handle.address();
    return typeof address === 'object' && address !== null ? address.port : undefined;
  }

  close(): void {
    for (const { handle } of this.#listeners.values()) handle.close();
    this.#listeners.clear();
  }

  #listen(key: string, publication: Publication): void {
    const { address, failed } = this.#options;
    const handle =
      publication.protocol === 'tcp'
        ? createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true })
        : createSocket('udp4');
    const ready = new Promise<void>((resolve) => {
      handle.once('listening', () => resolve());
      handle.on('error', (error) => {
        if (this.#listeners.get(key)?.handle === handle) this.#listeners.delete(key);
        handle.close();
        failed(publication, error);
        resolve();
      });
    });
    const listener = { publication, handle, ready };
    this.#listeners.set(key, listener);
    if ('bind' in handle) {
      handle.on('message', (bytes, from) => this.#datagram(listener, handle, bytes, from));
      handle.bind(publication.gatewayPort, address);
    } else {
      handle.on('connection', (socket: Socket) => this.#connection(listener, socket));
      handle.listen(publication.gatewayPort, address);
    }
  }

  #connection({ publication }: Listener, socket: Socket): void {
    const { ethernet, gateway, sockets } = this.#options;
    const guest = publication.guest();
    ethernet.turn((now) => {
      const id = guest && gateway.open(guest, publication.guestPort, now);
      if (id !== undefined) sockets.attach(id, socket);
      else socket.resetAndDestroy();
    });
  }

  #datagram(
    { publication }: Listener,
    handle: DatagramSocket,
    bytes: Uint8Array,
    from: RemoteInfo,
  ): void {
    const { ethernet, gateway, sockets } = this.#options;
    const guest = publication.guest();
    const sender = `${publication.gatewayPort} ${from.address} ${from.port}`;
    const port = this.#senderPort(sender);
    if (guest === undefined || port === undefined) return;
    ethernet.turn((now) => {
      const flow = gateway.openFlow(guest, publication.guestPort, port, now);
      if (flow === undefined) return this.#forgetSender(sender, port);
      sockets.attachFlow(flow, {
        send: (answer) => handle.send(answer, from.port, from.address, () => {}),
        close: () => this.#forgetSender(sender, port),
      });
      gateway.datagram(flow, bytes, now);
    });
  }

  #senderPort(sender: string): number | undefined {
    const known = this.#senderPorts.get(sender);
    if (known !== undefined || this.#usedSenderPorts.size >= SENDER_PORTS) return known;
    let port: number;
    do {
      port = SENDER_PORT_FIRST + this.#nextSenderPort;
      this.#nextSenderPort = (this.#nextSenderPort + 1) % SENDER_PORTS;
    } while (this.#usedSenderPorts.has(port));
    this.#senderPorts.set(sender, port);
    this.#usedSenderPorts.add(port);
    return port;
  }

  #forgetSender(sender: string, port: number): void {
    this.#senderPorts.delete(sender);
    this.#usedSenderPorts.delete(port);
  }
}
