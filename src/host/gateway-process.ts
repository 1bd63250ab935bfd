/**
 * The gateway's process: one more switch in the full mesh of trunks, with the gateway's stack on it.
 *
 * Because it is apart from the hosts, a client's connection outlives any of them: it ends here, and
 * what a guest has not acknowledged goes again to wherever the guest is announced next. Leases are
 * kept in the folder of data, so that a guest has its address after a restart too.
 */
import { readFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { agentProtocolVersion, type CenterMessage } from '../api/agent.ts';
import type { HelloMessage } from '../api/agent-link.ts';
import { writePrivateFile } from '../api/credentials.ts';
import { MalformedBytes } from '../base/bytes.ts';
import type { UmbraError } from '../base/errors.ts';
import type { GatewayConfig } from '../network/gateway/gateway.ts';
import { type Ipv4, type Mac, parseMacText } from '../network/wire.ts';
import { nowUs } from './clock.ts';
import { GatewayStack, machineResolver } from './gateway-stack.ts';
import { portFailure } from './local-network.ts';
import { Member, type MemberOptions } from './member.ts';
import { packageVersion } from './package-version.ts';
import type { Publication } from './published-ports.ts';

export interface GatewayOptions extends MemberOptions {
  /** The address of this machine at which ports are published; by default all IPv4 ones. */
  readonly publishAddress?: string | undefined;
  readonly config?: Partial<GatewayConfig>;
  readonly onRefused?: (why: UmbraError) => void;
}

type PublishMessage = Extract<CenterMessage, { kind: 'publish' }>;

export class GatewayProcess {
  readonly #member: Member;
  readonly #onRefused: (why: UmbraError) => void;
  readonly #stack: GatewayStack;
  readonly #names = new Map<string, Ipv4>();
  readonly #leasesFile: string;
  #vms: PublishMessage['vms'] = [];
  #version = '';

  private constructor(options: GatewayOptions, member: Member) {
    this.#member = member;
    this.#onRefused = options.onRefused ?? (() => {});
    this.#leasesFile = join(member.dataDirectory, 'leases');
    const dnsForward = machineResolver();
    this.#stack = new GatewayStack({
      ethernet: member.ethernet,
      config: { names: this.#names, ...(dnsForward && { dnsForward }), ...options.config },
      publishAddress: options.publishAddress ?? '0.0.0.0',
      publishFailed: (publication, error) => this.#publishFailed(publication, error),
      leasesChanged: (now) => this.#leasesChanged(now),
    });
  }

  static async start(options: GatewayOptions): Promise<GatewayProcess> {
    const member = await Member.join('gateway', options);
    const gateway = new GatewayProcess(options, member);
    try {
      await gateway.#start();
    } catch (error) {
      await gateway.close();
      throw error;
    }
    return gateway;
  }

  get id(): string {
    return this.#member.id;
  }

  get name(): string {
    return this.#member.name;
  }

  get trunkEndpoint(): string {
    return `${this.#member.trunkAddress}:${this.#member.trunkPort}`;
  }

  /** The port of this machine behind a published one. */
  portOf(protocol: 'tcp' | 'udp', gatewayPort: number): number | undefined {
    return this.#stack.ports.portOf(protocol, gatewayPort);
  }

  async close(): Promise<void> {
    this.#stack.close();
    await this.#member.close();
  }

  async #start(): Promise<void> {
    await this.#member.claim();
    this.#version = await packageVersion();
    await this.#restoreLeases();
    await this.#member.start({
      hello: () => this.#hello(),
      onMessage: (message) => {
        if (message.kind === 'publish') void this.#publish(message.vms);
        else if (message.kind === 'place') this.#member.place(message);
      },
      onAnnounced: (announcement, now) => this.#stack.announced(announcement, now),
      onRefused: (why) => {
        this.#member.log.error({ code: why.code }, `${why.message} ${why.remedy}`);
        this.#onRefused(why);
      },
    });
  }

  #hello(): HelloMessage {
    return {
      kind: 'hello',
      protocol: agentProtocolVersion,
      daemonKind: 'gateway',
      pid: process.pid,
      version: this.#version,
      trunkAddress: this.#member.trunkAddress,
      trunkPort: this.#member.trunkPort,
      logAddress: this.#member.logAddress,
      cpus: availableParallelism(),
      memoryBytes: totalmem(),
      vms: [],
    };
  }

  async #publish(vms: PublishMessage['vms']): Promise<void> {
    this.#vms = vms;
    this.#nameGuests();
    await this.#stack.ports.set(
      vms.flatMap(({ mac, name, ports }) => {
        const known = parseMacText(mac);
        const guest = (): Ipv4 | undefined => this.#addressOf(known);
        return ports.map((port): Publication => ({ ...port, vm: name, guest }));
      }),
    );
  }

  #publishFailed({ vm, gatewayPort }: Publication, error: Error): void {
    const { code, message, remedy } = portFailure(gatewayPort, error);
    this.#member.log.warn({ vm }, message);
    this.#member.send({ kind: 'failed', vm, command: 'publish', code, message, remedy });
  }

  #addressOf(mac: Mac | undefined): Ipv4 | undefined {
    return mac === undefined ? undefined : this.#stack.gateway.leaseOf(mac);
  }

  /** Guests find each other by the names of their VMs. */
  #nameGuests(): void {
    this.#names.clear();
    for (const { mac, name } of this.#vms) {
      const address = this.#addressOf(parseMacText(mac));
      if (address !== undefined) this.#names.set(name.toLowerCase(), address);
    }
  }

  /** Some hundred bytes, rarely: written at once, whole or not at all. */
  #leasesChanged(now: number): void {
    this.#nameGuests();
    const text = Buffer.from(this.#stack.gateway.saveLeases(now)).toString('base64');
    try {
      writePrivateFile(this.#leasesFile, text);
    } catch (error) {
      this.#member.log.error(`leases are not saved: ${(error as Error).message}`);
    }
  }

  async #restoreLeases(): Promise<void> {
    const text = await readFile(this.#leasesFile, 'utf8').catch(() => undefined);
    if (text === undefined) return;
    try {
      this.#stack.gateway.restoreLeases(Buffer.from(text, 'base64'), nowUs());
    } catch (error) {
      if (!(error instanceof MalformedBytes)) throw error;
      this.#member.log.warn(`${this.#leasesFile} is damaged, guests ask for new leases`);
    }
  }
}
