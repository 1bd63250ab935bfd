/**
 * A laboratory of network namespaces in which a real cluster runs: every process in a namespace,
 * every wire a veth pair, all of it gone when the test ends. Namespaces stand for machines; the
 * traffic never leaves them. Needs root and iproute2; `labMissing` says what is not there.
 */
import { type ChildProcess, execFileSync, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Client } from '../../src/api/client.ts';
import { eventually, type Look } from '../wait.fixture.ts';
import type { LanReport } from './lan-client.ts';
import { buildLanImage } from './lan-guest.fixture.ts';

const root = resolve(import.meta.dirname, '../..');
const program = join(root, 'src/cli/main.ts');
const busybox = '/usr/bin/busybox';
const waitMsMax = 30_000;

export function labMissing(): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux';
  if (process.getuid?.() !== 0) return 'needs root, for network namespaces and TAP devices';
  for (const [path, what] of [
    ['/dev/net/tun', 'the TUN/TAP driver'],
    [busybox, 'busybox'],
    ['/usr/bin/riscv64-unknown-elf-gcc', 'gcc-riscv64-unknown-elf'],
  ] as const) {
    try {
      accessSync(path);
    } catch {
      return `needs ${what} (${path})`;
    }
  }
  const probe = `umbra-probe-${process.pid}`;
  try {
    execFileSync('ip', ['netns', 'add', probe], { stdio: 'pipe' });
    execFileSync('ip', ['-n', probe, 'link', 'add', 'name', 'probe', 'type', 'bridge'], {
      stdio: 'pipe',
    });
    return undefined;
  } catch (error) {
    return `needs ip and bridges in network namespaces: ${(error as Error).message.trim()}`;
  } finally {
    execFileSync('ip', ['netns', 'del', probe], { stdio: 'ignore' });
  }
}

export const until = <T>(what: string, look: Look<T>): Promise<T> =>
  eventually(what, waitMsMax, look);

export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));

/** One namespace: a machine with its own interfaces. */
export class Machine {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
    execFileSync('ip', ['netns', 'add', name]);
    this.ip('link', 'set', 'lo', 'up');
  }

  ip(...words: string[]): string {
    return execFileSync('ip', ['-n', this.name, ...words], { encoding: 'utf8' });
  }

  run(...command: string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.name, ...command], { encoding: 'utf8' });
  }

  /** Whether a program of busybox ends well. */
  succeeds(...command: string[]): boolean {
    try {
      execFileSync('ip', ['netns', 'exec', this.name, busybox, ...command], { stdio: 'pipe' });
      return true;
    } catch {
      return false;
    }
  }

  pings(address: string): boolean {
    const ping = address.includes(':') ? 'ping6' : 'ping';
    return this.succeeds(ping, '-c', '1', '-W', '2', address);
  }

  bridge(name: string, ...ports: string[]): void {
    this.ip('link', 'add', 'name', name, 'type', 'bridge');
    this.ip('link', 'set', name, 'up');
    for (const port of ports) this.ip('link', 'set', port, 'master', name);
  }

  /** The bridge's port behind which it has learned a MAC. */
  portOf(mac: string): string | undefined {
    const table = JSON.parse(this.run('bridge', '-j', 'fdb', 'show')) as {
      mac: string;
      ifname: string;
      state?: string;
      vlan?: number;
    }[];
    return table.find((row) => row.mac === mac && row.state !== 'permanent')?.ifname;
  }

  /** The bridge's ports behind which somebody listens to a group, by snooping. */
  portsOfGroup(group: string): string[] {
    const [table] = JSON.parse(this.run('bridge', '-j', 'mdb', 'show')) as {
      mdb: { grp: string; port: string }[];
    }[];
    return (table?.mdb ?? []).filter(({ grp }) => grp === group).map(({ port }) => port);
  }

  /** The MAC that this machine uses for a neighbour now. */
  neighbour(address: string): string | undefined {
    const rows = JSON.parse(this.ip('-j', 'neigh', 'show', 'to', address)) as { lladdr?: string }[];
    return rows[0]?.lladdr;
  }

  forgetNeighbours(): void {
    this.ip('neigh', 'flush', 'all');
  }
}

/** A host that was struck, by its processes. */
export interface Struck {
  readonly host: string;
  readonly pids: readonly number[];
  readonly vms: readonly number[];
}

/** A process that the laboratory started, and what it has written. */
export interface LabProcess {
  readonly child: ChildProcess;
  readonly log: () => string;
}

export class Lab {
  readonly folder = mkdtempSync(join(tmpdir(), 'umbra-lab-'));
  readonly home = join(this.folder, 'home');
  readonly #machines: Machine[] = [];
  readonly #children = new Set<ChildProcess>();
  /** Processes of hosts that may be stopped, by id: the lab lets none of them behind. */
  readonly #pids = new Set<number>();
  #api: ChildProcess | undefined;
  #calls = 0;
  #closed = false;
  readonly #onExit = (): void => this.close();
  readonly #onSignal = (): void => process.exit(1);

  constructor() {
    process.on('exit', this.#onExit);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, this.#onSignal);
    buildLanImage(this.home);
  }

  machine(name: string): Machine {
    const machine = new Machine(`umbra-${process.pid}-${name}`);
    this.#machines.push(machine);
    return machine;
  }

  /** A wire between two machines, up at both ends. */
  wire(a: Machine, aName: string, b: Machine, bName: string): void {
    a.ip('link', 'add', aName, 'type', 'veth', 'peer', 'name', bName, 'netns', b.name);
    a.ip('link', 'set', aName, 'up');
    b.ip('link', 'set', bName, 'up');
  }

  /** The `umbra` command in a machine. */
  umbra(machine: Machine, name: string, ...args: string[]): LabProcess {
    return this.#start(machine, name, [program, ...args], false);
  }

  async startCenter(machine: Machine, listen = '127.0.0.1:7443'): Promise<void> {
    const data = join(this.folder, 'center');
    this.umbra(machine, 'center', 'center', 'start', '--data', data, '--listen', listen);
    const admin = join(data, 'admin.json');
    await until('the center', () => existsSync(admin) && readFileSync(admin).length > 0);
    const script = join(import.meta.dirname, 'api-call.ts');
    this.#api = this.#start(machine, 'api', [script, admin], true).child;
    await until('the center answers', () =>
      this.call('health').then(
        () => true,
        () => false,
      ),
    );
  }

  readonly call = ((name: string, input?: unknown) => {
    const id = this.#calls++;
    const api = this.#api!;
    return new Promise<unknown>((resolve, reject) => {
      const hear = ([of, reply, error]: [number, unknown, string?]): void => {
        if (of !== id) return;
        api.off('message', hear);
        if (error === undefined) resolve(reply);
        else reject(new Error(error));
      };
      api.on('message', hear);
      api.send([id, name, input]);
    });
  }) as unknown as Client['call'];

  /** A host or gateway; one that was here before comes back as what it was. */
  async startDaemon(
    machine: Machine,
    kind: 'host' | 'gateway',
    name: string,
    ...options: string[]
  ): Promise<LabProcess> {
    const { token } = await this.call('createJoinToken', { body: {} });
    const { url } = JSON.parse(readFileSync(join(this.folder, 'center/admin.json'), 'utf8'));
    const data = join(this.folder, name);
    const started = this.umbra(
      machine,
      name,
      ...[kind, 'start', '--join', url, '--token', token, '--data', data, '--name', name],
      ...options,
    );
    await until(`${name} to join`, async () => {
      if (started.child.exitCode !== null) throw new Error(`${name} ended: ${started.log()}`);
      const hosts = await this.call('listHosts');
      return hosts.some((host) => host.name === name && host.state === 'connected');
    });
    return started;
  }

  /** A VM of the LAN image, running, and protected if it shall be. */
  async startVm(name: string, options: { host?: string; ft?: boolean; vlan?: number } = {}) {
    const vm = await this.call('createVm', { body: { name, image: 'lan', ...options } });
    await this.call('startVm', { params: { vm: name }, body: {} });
    await until(`${name} to run`, async () => {
      const { state } = await this.call('showVm', { params: { vm: name } });
      return state === 'poweredOn';
    });
    if (options.ft) await this.protected(name);
    return vm;
  }

  async protected(vm: string): Promise<void> {
    await until(`${vm} to be protected`, async () => {
      const { state } = await this.call('ftStatus', { params: { vm } });
      return state === 'running';
    });
  }

  async primaryOf(vm: string): Promise<string | undefined> {
    return (await this.call('ftStatus', { params: { vm } })).primary?.host;
  }

  /** The ids of a host's processes: its daemon and its VMs. */
  async pidsOf(host: string): Promise<{ daemon: number; vms: readonly number[] }> {
    const { pid, vmPids } = await this.call('showHost', { params: { host } });
    for (const each of [pid!, ...vmPids]) this.#pids.add(each);
    return { daemon: pid!, vms: vmPids };
  }

  /**
   * A signal to all processes of the host where a VM is live, while it is protected: a busy machine
   * may have lost its shadow for a moment, and then nobody could go on.
   */
  async strike(vm: string, signal: NodeJS.Signals): Promise<Struck> {
    return until(`${vm} to be protected, and stay so`, async () => {
      const before = await this.call('ftStatus', { params: { vm } });
      const host = before.primary?.host;
      if (before.state !== 'running' || host === undefined) return false;
      const { daemon, vms } = await this.pidsOf(host);
      const now = await this.call('ftStatus', { params: { vm } });
      if (now.state !== 'running' || now.generation !== before.generation) return false;
      for (const pid of [daemon, ...vms]) process.kill(pid, signal);
      return { host, pids: [daemon, ...vms], vms };
    });
  }

  /** A client of the guest at an address, in a machine of its own. */
  client(machine: Machine, address: string): LanClient {
    const script = join(import.meta.dirname, 'lan-client.ts');
    return new LanClient(this.#start(machine, `client-${address}`, [script, address], true).child);
  }

  /** A station on a bridge: asks by ARP in a VLAN, and gives the MAC that answers. */
  probe(machine: Machine, bridge: string): (vlan: number, of: string) => Promise<string | null> {
    const script = join(import.meta.dirname, 'lan-probe.ts');
    const { child } = this.#start(machine, 'probe', [script, bridge], true);
    return async (vlan, of) => {
      child.send([vlan, of]);
      const [answer] = await once(child, 'message');
      return answer as string | null;
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    process.off('exit', this.#onExit);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.off(signal, this.#onSignal);
    for (const { name } of this.#machines) {
      // Every process of these namespaces is one that was started here.
      const pids = execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8' });
      for (const pid of pids.split('\n').filter(Boolean)) kill(Number(pid));
      execFileSync('ip', ['netns', 'del', name]);
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #start(machine: Machine, name: string, args: readonly string[], channel: boolean): LabProcess {
    const path = join(this.folder, `${name}.log`);
    const log = openSync(path, 'a');
    const stdio: StdioOptions = ['ignore', log, log, ...(channel ? (['ipc'] as const) : [])];
    const child = spawn('ip', ['netns', 'exec', machine.name, process.execPath, ...args], {
      stdio,
      env: { ...process.env, UMBRA_HOME: this.home },
    });
    closeSync(log);
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return { child, log: () => readFileSync(path, 'utf8') };
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone by itself.
  }
}

export class LanClient {
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  async report(): Promise<LanReport> {
    if (!this.#child.connected) throw new Error('the client has ended');
    this.#child.send('report');
    const [report] = await once(this.#child, 'message');
    return report as LanReport;
  }

  /** Waits until so many more answers have come. @returns the longest gap since the last report */
  async progress(count: number): Promise<LanReport> {
    let { answers, longestGapMs: longest } = await this.report();
    const report = await until(`${count} answers`, async () => {
      const now = await this.report();
      longest = Math.max(longest, now.longestGapMs);
      if (now.problem !== undefined) throw new Error(now.problem);
      return now.answers >= answers + count && now;
    });
    return { ...report, longestGapMs: longest };
  }

  close(): void {
    this.#child.disconnect();
  }
}
