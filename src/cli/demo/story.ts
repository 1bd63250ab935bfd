/**
 * The demo's story: protect a Redis VM, count without pause, take its host away by force and by
 * silence, and see that the count goes on over the same connection.
 *
 * Everything is observed from outside, as an operator and a client would: through the API, the
 * published port and the processes. Nothing here knows how a failover works.
 */

import type { FtStatusView } from '../../api/views.ts';
import type { Tier } from '../../host/tiers.ts';
import { CounterClient } from './counter-client.ts';
import { type FailoverReport, type FaultKind, failOver } from './failover.ts';
import { answersPing, freePort } from './ports.ts';
import type { DemoCluster } from './processes.ts';

export interface DemoReport {
  readonly ok: boolean;
  readonly image: string;
  readonly bootSeconds: number;
  readonly cpus: number;
  /** By which tier each host has executed its copies. */
  readonly tiers: Readonly<Record<string, string>>;
  readonly failovers: readonly FailoverReport[];
  readonly log: { readonly idleMbitPerSecond: number; readonly busyMbitPerSecond: number };
  readonly fingerprintsCompared: number;
  readonly divergences: number;
}

export interface StoryOptions {
  readonly hosts: number;
  /** One per host in their order, the last one for the rest. */
  readonly tiers: readonly Tier[];
  readonly failovers: number;
  readonly cpus: number;
  readonly say: (text: string) => void;
}

const vmName = 'redis';
const image = 'redis';

export class Story {
  readonly #cluster: DemoCluster;
  readonly #options: StoryOptions;
  /** The tier that each host is started with, by its name. */
  readonly #hosts: ReadonlyMap<string, Tier>;
  #compared = 0;
  #divergences = 0;

  constructor(cluster: DemoCluster, options: StoryOptions) {
    this.#cluster = cluster;
    this.#options = options;
    const { hosts, tiers } = options;
    const tier = (index: number): Tier => tiers[index] ?? tiers.at(-1)!;
    const names = Array.from({ length: hosts }, (_, index) => `host${index + 1}`);
    this.#hosts = new Map(names.map((name, index) => [name, tier(index)]));
  }

  async tell(): Promise<DemoReport> {
    const { cpus, failovers, say } = this.#options;
    await this.#startCluster();
    const port = await freePort();
    const bootSeconds = await this.#startVm(port);
    say(`Redis answers on port ${port} after ${bootSeconds.toFixed(1)} s`);
    await this.#protected('its first protection');
    const ft = await this.#status();
    say(`protected: live on ${this.#by(ft.primary?.host)}, shadow on ${this.#by(ft.shadow?.host)}`);
    const idleMbitPerSecond = await this.#logRate(4_000);
    const client = await CounterClient.connect(port);
    const busyMbitPerSecond = await this.#logRate(4_000);
    const reports: FailoverReport[] = [];
    for (let round = 0; round < failovers; round++) {
      reports.push(await this.#failover(round % 2 === 0 ? 'kill' : 'silence', client));
    }
    await client.stop();
    await this.#status();
    const clean = reports.every(
      ({ lost, repeated, connectionsReset }) => lost + repeated + connectionsReset === 0,
    );
    return {
      ok: clean && this.#divergences === 0 && client.problem === undefined,
      image,
      bootSeconds,
      cpus,
      tiers: this.#tiers(),
      failovers: reports,
      log: { idleMbitPerSecond, busyMbitPerSecond },
      fingerprintsCompared: this.#compared,
      divergences: this.#divergences,
    };
  }

  async #startCluster(): Promise<void> {
    const { hosts, say } = this.#options;
    await this.#cluster.startCenter();
    await this.#cluster.startDaemon('gateway', 'gateway', ['--publish-address', '127.0.0.1']);
    for (const host of this.#hosts.keys()) await this.#startHost(host);
    say(`a center, a gateway and ${hosts} hosts are up, ${hosts + 2} processes`);
    const { url, user, password } = await this.#cluster.consoleLogin();
    say(`web console: ${url} (user ${user}, password ${password}; its certificate is its own)`);
  }

  #startHost(name: string): Promise<void> {
    return this.#cluster.startDaemon('host', name, ['--tier', this.#hosts.get(name)!]);
  }

  /** @returns seconds from power-on to Redis's first answer through the gateway */
  async #startVm(port: number): Promise<number> {
    const { client } = this.#cluster;
    const ports = [{ protocol: 'tcp', gatewayPort: port, guestPort: 6379 } as const];
    const body = { name: vmName, image, cpus: this.#options.cpus, ports, ft: true };
    await client.call('createVm', { body });
    const started = performance.now();
    await client.call('startVm', { params: { vm: vmName }, body: {} });
    await this.#cluster.until('Redis to answer', () => answersPing(port), 180_000);
    return (performance.now() - started) / 1000;
  }

  #failover(kind: FaultKind, client: CounterClient): Promise<FailoverReport> {
    return failOver(kind, {
      cluster: this.#cluster,
      vm: vmName,
      client,
      status: () => this.#status(),
      restart: (host) => this.#startHost(host),
      say: this.#options.say,
      by: (host) => this.#by(host),
    });
  }

  async #protected(what: string): Promise<void> {
    await this.#cluster.until(what, async () => (await this.#status()).state === 'running');
  }

  async #status(): Promise<FtStatusView> {
    const status = await this.#cluster.client.call('ftStatus', { params: { vm: vmName } });
    this.#compared = Math.max(this.#compared, status.fingerprintsCompared);
    this.#divergences = Math.max(this.#divergences, status.divergences);
    return status;
  }

  /** A host as the story names it: with its tier where they are not all alike. */
  #by(host: string | undefined): string {
    const tier = this.#hosts.get(host ?? '');
    const alike = new Set(this.#hosts.values()).size === 1;
    return tier === undefined || alike ? `${host}` : `${host} (${tier})`;
  }

  #tiers(): Record<string, string> {
    const said: Record<string, string> = {};
    for (const host of this.#hosts.keys()) {
      const tier = this.#cluster.tierOf(host);
      if (tier !== undefined) said[host] = tier;
    }
    return said;
  }

  /** Mbit/s of log from the primary to the shadow, heartbeats included. */
  async #logRate(ms: number): Promise<number> {
    const [before, from] = [(await this.#status()).logBytesSent, performance.now()];
    await new Promise((resolve) => setTimeout(resolve, ms));
    const [after, to] = [(await this.#status()).logBytesSent, performance.now()];
    return Math.round((((after - before) * 8) / ((to - from) * 1000)) * 1000) / 1000;
  }
}
