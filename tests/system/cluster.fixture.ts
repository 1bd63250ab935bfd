/**
 * A whole cluster as processes on loopback, each started by the command that a user would type: a
 * center, a gateway and hosts. Ended by id.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Client } from '../../src/api/client.ts';
import { readPersonCredentials } from '../../src/api/credentials.ts';
import type { FtStatusView } from '../../src/api/views.ts';
import { answersPing, freePort } from '../../src/cli/demo/ports.ts';
import { imagesFolder } from '../../src/images/image.ts';
import { imagesHome, temporaryFolder } from './umbra.fixture.ts';

const program = resolve(import.meta.dirname, '../../src/cli/main.ts');

export class ProcessCluster {
  readonly #folder = temporaryFolder();
  readonly #home: string;
  readonly #processes = new Map<string, ChildProcess>();
  /** What daemons find in their environment beside this process's own, by their names. */
  readonly environments = new Map<string, NodeJS.ProcessEnv>();
  #client: Client | undefined;
  #url = '';

  private constructor() {
    this.#home = join(this.#folder.path, 'home');
    mkdirSync(this.#home);
    symlinkSync(imagesFolder(imagesHome), imagesFolder(this.#home));
  }

  /** @param prepare called before anything runs */
  static async start(
    hosts: number,
    prepare: (cluster: ProcessCluster) => void = () => {},
  ): Promise<ProcessCluster> {
    const cluster = new ProcessCluster();
    try {
      prepare(cluster);
      await cluster.startCenter();
      await cluster.daemon('gateway', 'gateway', ['--publish-address', '127.0.0.1']);
      for (let number = 1; number <= hosts; number++) await cluster.daemon('host', `host${number}`);
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  get client(): Client {
    return this.#client!;
  }

  folderOf(name: string): string {
    return join(this.#folder.path, name);
  }

  /** Again at the same address, if it was there before. */
  async startCenter(): Promise<void> {
    const data = this.folderOf('center');
    const listen = this.#url === '' ? '127.0.0.1:0' : new URL(this.#url).host;
    this.#spawn('center', ['center', 'start', '--data', data, '--listen', listen]);
    await this.until('the center', async () => {
      const { url, ca, token } = readPersonCredentials(join(data, 'admin.json'));
      this.#client?.close();
      this.#client = new Client(url, { ca, token });
      await this.#client.call('health');
      this.#url = url;
      return true;
    });
  }

  /**
   * Joins, or comes back with the certificate it has.
   * @param node what executes a host's VM processes: by default this Node
   */
  async daemon(
    kind: 'host' | 'gateway',
    name: string,
    options: readonly string[] = [],
    node?: string,
  ): Promise<void> {
    const { token } = await this.client.call('createJoinToken', { body: {} });
    const data = this.folderOf(name);
    const args = ['--join', this.#url, '--token', token, '--data', data, '--name', name];
    this.#spawn(name, [kind, 'start', ...args, ...options], node);
    await this.until(name, async () => {
      const all = await this.client.call('listHosts');
      return all.some((host) => host.name === name && host.state !== 'notResponding');
    });
  }

  /** The daemon's process ends, and with it, if it is a host, its VM processes. */
  async kill(name: string): Promise<void> {
    const child = this.#processes.get(name)!;
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
    throw new Error(`waited ${ms} ms for ${what} in vain: ${last}\n${this.#tails()}`);
  }

  async close(): Promise<void> {
    this.#client?.close();
    const running = [...this.#processes.values()].filter(isRunning);
    for (const child of running) child.kill('SIGTERM');
    const limit = setTimeout(() => {
      for (const child of running) child.kill('SIGKILL');
    }, 5_000);
    await Promise.all(
      running.map((child) => isRunning(child) && new Promise((done) => child.once('exit', done))),
    );
    clearTimeout(limit);
    this.#folder.remove();
  }

  #tails(): string {
    const tail = (name: string) =>
      readFileSync(this.folderOf(`${name}.log`), 'utf8')
        .split('\n')
        .slice(-6);
    return [...this.#processes.keys()].map((name) => [name, ...tail(name)].join('\n  ')).join('\n');
  }

  #spawn(name: string, args: readonly string[], node?: string): void {
    const log = openSync(this.folderOf(`${name}.log`), 'a');
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', log, log],
      env: {
        ...{ ...process.env, UMBRA_HOME: this.#home, ...this.environments.get(name) },
        ...(node && { UMBRA_NODE: node }),
      },
    });
    closeSync(log);
    this.#processes.set(name, child);
  }
}

const isRunning = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode === null && signalCode === null;
