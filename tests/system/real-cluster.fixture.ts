/**
 * A whole cluster of `umbra` commands on loopback, each a process: a center and hosts. Its VMs boot
 * the small guest of vm-guest.fixture.ts, of which every console byte is known beforehand.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from '../../src/api/client.ts';
import { type Console, openConsole } from '../../src/api/console.ts';
import { readPersonCredentials } from '../../src/api/credentials.ts';
import type { FtStatusView, HostView } from '../../src/api/views.ts';
import { type Look, eventually as waitFor } from '../wait.fixture.ts';
import { temporaryFolder } from './umbra.fixture.ts';
import {
  consoleByteAt,
  defaultGuest,
  diskBytes,
  type VmGuest,
  vmGuestKernel,
} from './vm-guest.fixture.ts';

const program = resolve(import.meta.dirname, '../../src/cli/main.ts');
const waitMsMax = 40_000;

export const eventually = <T>(what: string, look: Look<T>): Promise<T> =>
  waitFor(what, waitMsMax, look);

export class RealCluster {
  readonly #folder = temporaryFolder();
  readonly #home = join(this.#folder.path, 'home');
  readonly #processes = new Map<string, ChildProcess>();
  readonly #centerOptions: readonly string[];
  #client: Client | undefined;
  #url = '';
  log = '';

  private constructor(centerOptions: readonly string[], guest: Partial<VmGuest> = {}) {
    this.#centerOptions = centerOptions;
    const folder = join(this.#home, 'images', 'test');
    mkdirSync(folder, { recursive: true });
    const file = (path: string, bytes: Uint8Array) => {
      writeFileSync(join(folder, path), bytes);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      return { path, bytes: bytes.length, sha256 };
    };
    const kernel = file('Image', vmGuestKernel({ ...defaultGuest, ...guest }));
    const initrd = file('initrd', new Uint8Array(16));
    const disks = guest.writes ? [file('disk', new Uint8Array(diskBytes))] : [];
    const about = { format: 1, name: 'test', summary: 'test', memory: 1 << 24, append: '' };
    writeFileSync(
      join(folder, 'image.json'),
      JSON.stringify({ ...about, kernel, initrd, disks, ports: [] }),
    );
  }

  static async start(...centerOptions: string[]): Promise<RealCluster> {
    const cluster = new RealCluster(centerOptions);
    await cluster.startCenter();
    return cluster;
  }

  /** Of a VM with a disk, if the guest writes. */
  static async withGuest(
    guest: Partial<VmGuest>,
    ...centerOptions: string[]
  ): Promise<RealCluster> {
    const cluster = new RealCluster(centerOptions, guest);
    await cluster.startCenter();
    return cluster;
  }

  get client(): Client {
    return this.#client!;
  }

  dataOf(name: string): string {
    return join(this.#folder.path, name);
  }

  /** Again on the same port. */
  async startCenter(): Promise<void> {
    const listen = this.#url === '' ? '127.0.0.1:0' : new URL(this.#url).host;
    const data = this.dataOf('center');
    const options = ['--data', data, '--listen', listen, '--json', ...this.#centerOptions];
    const child = this.#spawn('center', ['center', 'start', ...options]);
    const line = await new Promise<string>((done) => {
      createInterface({ input: child.stdout! }).once('line', done);
    });
    this.#url = (JSON.parse(line) as { url: string }).url;
    const { ca, token } = readPersonCredentials(join(data, 'admin.json'));
    this.#client?.close();
    this.#client = new Client(this.#url, { ca, token });
  }

  /** @param way in which the token is given; never as an argument, which everybody can read */
  async startHost(
    name: string,
    way: 'environment' | 'input' = 'environment',
    more: readonly string[] = [],
  ): Promise<void> {
    const { token } = await this.client.call('createJoinToken', { body: {} });
    const data = this.dataOf(name);
    const args = ['host', 'start', '--join', this.#url, '--data', data, ...more];
    if (way === 'input') {
      const child = this.#spawn(name, [...args, '--name', name, '--token', '-']);
      child.stdin!.write(`${token}\n`);
    } else this.#spawn(name, [...args, '--name', name], { UMBRA_JOIN_TOKEN: token });
    await eventually(`${name} is connected`, async () => (await this.host(name))?.pid);
    assert.ok(!this.argumentsOf(name).includes(token.split('.')[0]!));
  }

  argumentsOf(name: string): string {
    return readFileSync(`/proc/${this.#processes.get(name)!.pid}/cmdline`, 'utf8');
  }

  async host(name: string): Promise<HostView | undefined> {
    return (await this.client.call('listHosts')).find((host) => host.name === name);
  }

  certificateOf(name: string): X509Certificate {
    return new X509Certificate(readFileSync(join(this.dataOf(name), 'identity.pem')));
  }

  ft(): Promise<FtStatusView> {
    return this.client.call('ftStatus', { params: { vm: 'web' } });
  }

  /** A VM on this host, protected. */
  async protectedVm(host: string): Promise<void> {
    const params = { vm: 'web' };
    await this.client.call('createVm', { body: { name: 'web', image: 'test', host } });
    await this.client.call('startVm', { params, body: {} });
    await this.client.call('turnFtOn', { params });
    await this.state('running');
  }

  state(wanted: FtStatusView['state']): Promise<FtStatusView> {
    return eventually(`the state ${wanted}`, async () => {
      const ft = await this.ft();
      return ft.state === wanted ? ft : undefined;
    });
  }

  /** Its daemon and its VM processes, without a word. */
  async killHost(name: string): Promise<void> {
    const { vmPids } = (await this.host(name))!;
    this.signal(name, 'SIGKILL');
    for (const pid of vmPids) process.kill(pid, 'SIGKILL');
  }

  signal(name: string, signal: NodeJS.Signals): void {
    this.#processes.get(name)!.kill(signal);
  }

  exitCode(name: string): number | null {
    return this.#processes.get(name)!.exitCode;
  }

  /** Every byte that it shows is the guest's next one. */
  watch(): { readonly console: Console; readonly seen: () => number } {
    let at: number | undefined;
    let seen = 0;
    const console = openConsole(this.client, 'web', {
      onOutput: (bytes, offset) => {
        at ??= Number(offset);
        assert.equal(Number(offset), at, 'no byte is missing, and none comes twice');
        for (const byte of bytes) assert.equal(byte, consoleByteAt(at++));
        seen += bytes.length;
      },
      onEnd: () => {},
    });
    return { console, seen: () => seen };
  }

  async close(): Promise<void> {
    this.#client?.close();
    for (const child of this.#processes.values()) {
      child.kill('SIGCONT');
      child.kill('SIGTERM');
    }
    const gone = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;
    const children = [...this.#processes.values()];
    await eventually('all processes are gone', () => children.every(gone));
    this.#folder.remove();
  }

  #spawn(name: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = spawn(process.execPath, [program, ...args], {
      env: { ...process.env, UMBRA_HOME: this.#home, ...more },
      stdio: 'pipe',
    });
    for (const stream of [child.stderr, ...(name === 'center' ? [] : [child.stdout])]) {
      stream.on('data', (chunk: Buffer) => {
        this.log += `${name}: ${chunk}`;
      });
    }
    this.#processes.set(name, child);
    return child;
  }
}
