/**
 * A cluster as separate processes on loopback, for the demo and for benches: a center, a gateway and
 * hosts, each started with the same commands that a user would type, and ended by id.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  globSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { Client } from '../../api/client.ts';
import { readPersonCredentials } from '../../api/credentials.ts';
import { UmbraError } from '../../base/errors.ts';
import { imagesFolder } from '../../images/image.ts';

interface Daemon {
  readonly name: string;
  process: ChildProcess;
}

export class DemoCluster {
  readonly #folder: string;
  readonly #home: string;
  readonly #program: string;
  readonly #daemons = new Map<string, Daemon>();
  /** Processes that a fault has stopped: whoever ends the cluster lets them go on to their end. */
  readonly #frozen = new Set<number>();
  #client: Client | undefined;
  #url = '';

  /**
   * @param folder of its own, for everything the cluster writes
   * @param home where images are
   * @param program umbra's: by default this very one, TypeScript here and JavaScript in a package
   */
  constructor(folder: string, home: string, program = process.argv[1]!) {
    this.#folder = folder;
    this.#program = program;
    // A home of its own with the user's images: the user's credentials stay as they are.
    this.#home = join(folder, 'home');
    mkdirSync(this.#home, { recursive: true });
    symlinkSync(imagesFolder(home), imagesFolder(this.#home));
  }

  /** UMBRA_HOME for commands that are to talk to this cluster. */
  get home(): string {
    return this.#home;
  }

  get client(): Client {
    return this.#client!;
  }

  /** A person of the cluster's, for whoever wants to look on in a browser. */
  async consoleLogin(): Promise<{ url: string; user: string; password: string }> {
    const [user, password] = ['demo', randomBytes(9).toString('base64url')];
    await this.client.call('createUser', { body: { name: user, role: 'administrator', password } });
    return { url: this.#url, user, password };
  }

  logOf(name: string): string {
    return join(this.#folder, `${name}.log`);
  }

  async startCenter(options: readonly string[] = []): Promise<void> {
    const data = join(this.#folder, 'center');
    const args = ['center', 'start', '--data', data, '--listen', '127.0.0.1:0'];
    this.#spawn('center', [...args, ...options]);
    const admin = join(data, 'admin.json');
    await this.until('the center', () => existsSync(admin) && readFileSync(admin).length > 0);
    const credentials = readPersonCredentials(admin);
    this.#url = credentials.url;
    this.#client = new Client(credentials.url, { ca: credentials.ca, token: credentials.token });
    await this.until('the center', () => this.#answers());
  }

  /** A host or gateway; one that was here before comes back with the certificate it has. */
  async startDaemon(
    kind: 'host' | 'gateway',
    name: string,
    options: readonly string[],
  ): Promise<void> {
    const { token } = await this.client.call('createJoinToken', { body: {} });
    const data = join(this.#folder, name);
    const args = ['--join', this.#url, '--data', data, '--name', name];
    this.#spawn(name, [kind, 'start', ...args, ...options], { UMBRA_JOIN_TOKEN: token });
    await this.until(name, async () => {
      const hosts = await this.client.call('listHosts');
      return hosts.some((host) => host.name === name && host.state === 'connected');
    });
  }

  /** By which tier a host executes, as its VM's log says; none if it has had no copy. */
  tierOf(host: string): string | undefined {
    const [log] = globSync(join(this.#folder, host, 'vms', '*', 'log'));
    const said = log === undefined ? [] : readFileSync(log, 'utf8').matchAll(/by the tier (\w+)/g);
    return [...said].at(-1)?.[1];
  }

  /** Whether the daemon's own process has ended. */
  hasEnded(name: string): boolean {
    const daemon = this.#daemons.get(name);
    return (
      daemon === undefined || daemon.process.exitCode !== null || daemon.process.signalCode !== null
    );
  }

  async until(what: string, done: () => boolean | Promise<boolean>, ms = 60_000): Promise<void> {
    const deadline = performance.now() + ms;
    while (!(await done())) {
      if (performance.now() > deadline) {
        throw new UmbraError(
          'demo-timeout',
          `Waited ${Math.round(ms / 1000)} s for ${what} in vain.`,
          `Look at the logs in ${this.#folder}.`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** A fault of a host: its processes are killed, frozen, or go on. */
  signal(pids: readonly number[], name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    for (const pid of pids) {
      if (name === 'SIGSTOP') this.#frozen.add(pid);
      else this.#frozen.delete(pid);
      signal(pid, name);
    }
  }

  /** Ends the cluster without waiting: VM processes end when they see that their daemon is gone. */
  kill(): void {
    this.signal([...this.#frozen], 'SIGCONT');
    for (const { process: child } of this.#daemons.values()) child.kill('SIGKILL');
  }

  /** Ends every process of the cluster, frozen ones too. */
  async stop(): Promise<void> {
    this.#client?.close();
    this.signal([...this.#frozen], 'SIGCONT');
    for (const { process: child } of this.#daemons.values()) {
      child.kill('SIGCONT');
      child.kill('SIGTERM');
    }
    const deadline = performance.now() + 3_000;
    for (const { name, process: child } of this.#daemons.values()) {
      while (!this.hasEnded(name) && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      if (!this.hasEnded(name)) child.kill('SIGKILL');
    }
  }

  async #answers(): Promise<boolean> {
    try {
      await this.client.call('health');
      return true;
    } catch {
      return false;
    }
  }

  #spawn(name: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): void {
    mkdirSync(this.#folder, { recursive: true });
    const log = openSync(this.logOf(name), 'a');
    const child = spawn(process.execPath, [this.#program, ...args], {
      stdio: ['ignore', log, log],
      env: { ...process.env, UMBRA_HOME: this.#home, ...more },
    });
    closeSync(log);
    this.#daemons.set(name, { name, process: child });
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
