/**
 * A whole cluster as processes on loopback, as the demo has it (cli/demo/processes.ts), with what
 * tests do to one. Each process is started by the command that a user would type.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Client } from '../../src/api/client.ts';
import type { FtStatusView, HostView } from '../../src/api/views.ts';
import { answersPing, freePort } from '../../src/cli/demo/ports.ts';
import { type DaemonStart, DemoCluster } from '../../src/cli/demo/processes.ts';
import { imagesHome, temporaryFolder } from './umbra.fixture.ts';

const program = resolve(import.meta.dirname, '../../src/cli/main.ts');
/** A daemon that ends in order has ended its VM processes before, which may take a while each. */
const stopMsMax = 40_000;

export interface ClusterOptions {
  /** How many hosts: host1, host2, ... */
  readonly hosts?: number;
  /** true if not given. */
  readonly gateway?: boolean;
  /** Of `umbra center start`. */
  readonly center?: readonly string[];
  /** UMBRA_HOME with the images; by default the one that all tests share. */
  readonly home?: string;
  /** Called before anything runs. */
  readonly prepare?: (cluster: ProcessCluster) => void;
}

export class ProcessCluster {
  readonly #folder = temporaryFolder();
  readonly #demo: DemoCluster;
  readonly #centerOptions: readonly string[];
  /** What daemons find in their environment beside this process's own, by their names. */
  readonly environments = new Map<string, NodeJS.ProcessEnv>();

  private constructor({ center = [], home = imagesHome }: ClusterOptions) {
    this.#demo = new DemoCluster(this.#folder.path, home, program);
    this.#centerOptions = center;
  }

  static async start(options: ClusterOptions = {}): Promise<ProcessCluster> {
    const { hosts = 0, gateway = true, prepare = () => {} } = options;
    const cluster = new ProcessCluster(options);
    try {
      prepare(cluster);
      await cluster.startCenter();
      if (gateway) await cluster.daemon('gateway', 'gateway', ['--publish-address', '127.0.0.1']);
      for (let number = 1; number <= hosts; number++) await cluster.daemon('host', `host${number}`);
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  get client(): Client {
    return this.#demo.client;
  }

  folderOf(name: string): string {
    return this.#demo.folderOf(name);
  }

  /** What its daemon has written, and the center, in the file of each. */
  logOf(name: string): string {
    return readFileSync(this.#demo.logOf(name), 'utf8');
  }

  /** Again at the same address, if it was there before. */
  startCenter(): Promise<void> {
    return this.#demo.startCenter(this.#centerOptions);
  }

  /**
   * Joins, or comes back with the certificate it has.
   * @param node what executes a host's VM processes: by default this Node
   */
  async daemon(
    kind: 'host' | 'gateway',
    name: string,
    options: readonly string[] = [],
    { node, tokenBy = 'environment' }: { node?: string } & Pick<DaemonStart, 'tokenBy'> = {},
  ): Promise<void> {
    const environment = { ...this.environments.get(name), ...(node && { UMBRA_NODE: node }) };
    const { token } = await this.client.call('createJoinToken', { body: {} });
    await this.#demo.startDaemon(kind, name, options, { environment, token, tokenBy });
    const command = readFileSync(`/proc/${this.processOf(name).pid}/cmdline`, 'utf8');
    assert.ok(!command.includes(token.split('.')[0]!), 'everybody can read arguments');
  }

  processOf(name: string): ChildProcess {
    return this.#demo.processes.get(name)!;
  }

  async host(name: string): Promise<HostView | undefined> {
    return (await this.client.call('listHosts')).find((host) => host.name === name);
  }

  certificateOf(name: string): X509Certificate {
    return new X509Certificate(readFileSync(join(this.folderOf(name), 'identity.pem')));
  }

  /** The daemon's process ends, and with it, if it is a host, its VM processes. */
  async kill(name: string): Promise<void> {
    const child = this.processOf(name);
    const gone = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await gone;
  }

  /** A host's daemon and its VM processes, without a word, as when the power goes. */
  async killHost(name: string): Promise<void> {
    const { vmPids } = await this.client.call('showHost', { params: { host: name } });
    const gone = this.kill(name);
    for (const pid of vmPids) process.kill(pid, 'SIGKILL');
    await gone;
  }

  /** Redis, powered on, answering. @returns the published port */
  async redis(
    name: string,
    options: { ft: boolean; host?: string; image?: string; append?: string; cpus?: number },
  ): Promise<number> {
    const port = await freePort();
    const ports = [{ protocol: 'tcp', gatewayPort: port, guestPort: 6379 } as const];
    await this.client.call('createVm', { body: { name, image: 'redis', ports, ...options } });
    await this.client.call('startVm', { params: { vm: name }, body: {} });
    await this.until('Redis', () => answersPing(port), 180_000);
    if (options.ft) await this.state(name, 'running');
    return port;
  }

  ft(vm: string): Promise<FtStatusView> {
    return this.client.call('ftStatus', { params: { vm } });
  }

  async state(vm: string, state: FtStatusView['state']): Promise<FtStatusView> {
    await this.until(`${vm} to be ${state}`, async () => (await this.ft(vm)).state === state);
    return this.ft(vm);
  }

  /** Until it is so; failures on the way are no answer. */
  async until(what: string, done: () => Promise<boolean>, ms = 60_000): Promise<void> {
    let last: unknown;
    for (const end = performance.now() + ms; performance.now() < end; ) {
      try {
        if (await done()) return;
      } catch (error) {
        last = error;
      }
      await new Promise((next) => setTimeout(next, 20));
    }
    throw new Error(`waited ${ms} ms for ${what} in vain: ${last}\n${this.tails()}`);
  }

  /** Every daemon is told to end, and does. */
  async close(): Promise<void> {
    const killed = await this.#demo.stop(stopMsMax);
    const tails = killed.length === 0 ? '' : this.tails();
    this.#folder.remove();
    assert.deepEqual(killed, [], `these did not end when they were told to:\n${tails}`);
  }

  /** The last that each has written. */
  tails(): string {
    const tail = (name: string) => this.logOf(name).split('\n').slice(-6);
    return [...this.#demo.processes.keys()]
      .map((name) => [name, ...tail(name)].join('\n  '))
      .join('\n');
  }
}
