/**
 * A cluster as separate processes on loopback, for the demo, benches and tests: a center, a gateway
 * and hosts, each started with the same commands that a user would type, and ended by id.
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

export interface DaemonStart {
  /** Beside this process's own. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
  /** By default one is made. */
  readonly token?: string;
  /** How it is given its token; never as an argument, which everybody can read. */
  readonly tokenBy?: 'environment' | 'input';
}

const stopMsMax = 3_000;

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

  /** A daemon's folder of data. */
  folderOf(name: string): string {
    return join(this.#folder, name);
  }

  /** Of all that was started, under its name; the last one if it was started again. */
  get processes(): ReadonlyMap<string, ChildProcess> {
    return new Map([...this.#daemons].map(([name, daemon]) => [name, daemon.process]));
  }

  /** Again at the same address, if it was there before. */
  async startCenter(options: readonly string[] = []): Promise<void> {
    const data = this.folderOf('center');
    const listen = this.#url === '' ? '127.0.0.1:0' : new URL(this.#url).host;
    this.#spawn('center', ['center', 'start', '--data', data, '--listen', listen, ...options]);
    const admin = join(data, 'admin.json');
    await this.until('the center', () => existsSync(admin) && readFileSync(admin).length > 0);
    const credentials = readPersonCredentials(admin);
    this.#url = credentials.url;
    this.#client?.close();
    this.#client = new Client(credentials.url, { ca: credentials.ca, token: credentials.token });
    await this.until('the center', () => this.#answers());
  }

  /** A host or gateway; one that was here before comes back with the certificate it has. */
  async startDaemon(
    kind: 'host' | 'gateway',
    name: string,
    options: readonly string[] = [],
    { environment = {}, tokenBy = 'environment', ...given }: DaemonStart = {},
  ): Promise<void> {
    const { token } = given.token
      ? { token: given.token }
      : await this.client.call('createJoinToken', { body: {} });
    const args = [kind, 'start', '--join', this.#url, '--data', this.folderOf(name)];
    const all = [...args, '--name', name, ...options];
    if (tokenBy === 'environment') {
      this.#spawn(name, all, { ...environment, UMBRA_JOIN_TOKEN: token });
    } else {
      const child = this.#spawn(name, [...all, '--token', '-'], environment, 'pipe');
      child.stdin!.write(`${token}\n`);
    }
    await this.until(name, async () => {
      const hosts = await this.client.call('listHosts');
      return hosts.some((host) => host.name === name && host.state !== 'notResponding');
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

  /**
   * Ends every process of the cluster, frozen ones too.
   * @returns whose daemons did not end by themselves within `msMax`, and were killed
   */
  async stop(msMax = stopMsMax): Promise<readonly string[]> {
    this.#client?.close();
    this.signal([...this.#frozen], 'SIGCONT');
    for (const { process: child } of this.#daemons.values()) {
      child.kill('SIGCONT');
      child.kill('SIGTERM');
    }
    const deadline = performance.now() + msMax;
    const killed: string[] = [];
    for (const { name, process: child } of this.#daemons.values()) {
      while (!this.hasEnded(name) && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      if (this.hasEnded(name)) continue;
      child.kill('SIGKILL');
      killed.push(name);
    }
    return killed;
  }

  async #answers(): Promise<boolean> {
    try {
      await this.client.call('health');
      return true;
    } catch {
      return false;
    }
  }

  #spawn(
    name: string,
    args: readonly string[],
    more: NodeJS.ProcessEnv = {},
    input: 'ignore' | 'pipe' = 'ignore',
  ): ChildProcess {
    mkdirSync(this.#folder, { recursive: true });
    const log = openSync(this.logOf(name), 'a');
    const child = spawn(process.execPath, [this.#program, ...args], {
      stdio: [input, log, log],
      env: { ...process.env, UMBRA_HOME: this.#home, ...more },
    });
    closeSync(log);
    this.#daemons.set(name, { name, process: child });
    return child;
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
