/**
 * For tests: a real center process on loopback, and hosts that are real at the wire (they join with
 * a token, speak over mutual TLS, ask the arbiter) and run no VMs: the test says what they say.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  agentProtocolVersion,
  type CenterMessage,
  type DatastoreInfo,
  type VmStatus,
} from '../api/agent.ts';
import { type AgentLink, connectAgent } from '../api/agent-link.ts';
import { Client } from '../api/client.ts';
import { type DaemonCredentials, readPersonCredentials } from '../api/credentials.ts';
import { joinCluster } from '../api/join.ts';
import type { EventView } from '../api/views.ts';
import { daemonTrust } from '../api/wire.ts';
import type { UmbraError } from '../base/errors.ts';
import type { Operation, Reply, VmRecord } from '../lockstep/arbiter.ts';

const program = join(import.meta.dirname, '../cli/main.ts');

/** What may take its time on a machine that is short of everything, and comes; no claim about speed. */
const patienceMs = 30_000;

export async function until<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
  msMax = patienceMs,
): Promise<T> {
  for (const end = performance.now() + msMax; ; ) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`waited ${msMax} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export class TestCenter {
  readonly folder: string;
  readonly data: string;
  readonly home: string;
  #process: ChildProcess | undefined;
  #client: Client | undefined;
  url = '';
  joinToken: string | null = null;
  readonly hosts: TestHost[] = [];

  readonly #more: readonly string[];

  /** @param more further options of `umbra center start`; @param data a folder that is there */
  constructor(more: readonly string[] = [], data?: string) {
    this.#more = more;
    this.folder = mkdtempSync(join(tmpdir(), 'umbra-center-'));
    this.data = data ?? join(this.folder, 'data');
    this.home = join(this.folder, 'home');
    mkdirSync(this.home);
  }

  static async start(more: readonly string[] = []): Promise<TestCenter> {
    const center = new TestCenter(more);
    try {
      await center.start();
    } catch (error) {
      await center.close();
      throw error;
    }
    return center;
  }

  /** Again on the same port, so that hosts find it. */
  async start(): Promise<void> {
    const listen = this.url === '' ? '127.0.0.1:0' : new URL(this.url).host;
    const child = spawn(
      process.execPath,
      [
        program,
        'center',
        'start',
        '--data',
        this.data,
        '--listen',
        listen,
        '--json',
        ...this.#more,
      ],
      { env: { ...process.env, UMBRA_HOME: this.home }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.#process = child;
    let errors = '';
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    const [line] = await new Promise<string[]>((resolve, reject) => {
      createInterface({ input: child.stdout }).once('line', (text) => resolve([text]));
      child.once('exit', (code) => reject(new Error(`the center ended with ${code}: ${errors}`)));
    });
    const ready = JSON.parse(line!) as { url: string; joinToken: string | null };
    this.url = ready.url;
    this.joinToken = ready.joinToken;
    const { ca, token } = readPersonCredentials(join(this.data, 'admin.json'));
    this.#client?.close();
    this.#client = new Client(this.url, { ca, token });
  }

  get client(): Client {
    return this.#client!;
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const child = this.#process!;
    const gone = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill(signal);
    return gone;
  }

  async close(): Promise<void> {
    for (const host of this.hosts) host.close();
    this.#client?.close();
    if (this.#process?.exitCode === null && this.#process.signalCode === null) {
      await this.end('SIGTERM');
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  async token(kind?: 'host' | 'gateway' | 'center'): Promise<string> {
    const body = kind === undefined ? {} : { kind };
    return (await this.client.call('createJoinToken', { body })).token;
  }

  /** A host that is connected. */
  async host(name: string, datastores: readonly DatastoreInfo[] = []): Promise<TestHost> {
    const host = await TestHost.join(this, name);
    host.datastores = datastores;
    await host.connect();
    this.hosts.push(host);
    return host;
  }

  /** An image with one disk, put in the place of an earlier one. @returns its digest */
  addImage(name: string, version = 'first'): string {
    const folder = join(this.home, 'images', name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const file = (path: string) => {
      writeFileSync(join(folder, path), `${path} of the ${version} ${name}`);
      return { path, bytes: 1, sha256: '' };
    };
    const text = JSON.stringify({
      ...{ format: 1, name, summary: version, memory: 2 ** 27, disks: [file('disk')] },
      kernel: file('Image'),
      initrd: file('initrd'),
    });
    writeFileSync(join(folder, 'image.json'), text);
    return createHash('sha256').update(text).digest('hex');
  }

  async events(kind: string): Promise<EventView[]> {
    const events = await this.client.call('listEvents', { query: {} });
    return events.filter((event) => event.kind === kind);
  }
}

export class TestHost {
  readonly name: string;
  readonly credentials: DaemonCredentials;
  readonly heard: CenterMessage[] = [];
  readonly #client: Client;
  /** Where it looks for centers. */
  urls: () => readonly string[];
  /** What it says that it reaches. */
  datastores: readonly DatastoreInfo[] = [];
  /** By VM; what the host reports of it. */
  readonly copies = new Map<string, VmStatus>();
  #link: AgentLink | undefined;
  refused: UmbraError | undefined;
  #claims = 0;

  constructor(url: string, name: string, credentials: DaemonCredentials) {
    this.urls = () => [url];
    this.name = name;
    this.credentials = credentials;
    this.#client = new Client(url, daemonTrust(credentials));
  }

  static async join(
    center: Pick<TestCenter, 'url' | 'folder' | 'token'>,
    name: string,
  ): Promise<TestHost> {
    const credentials = await joinCluster({
      url: center.url,
      token: await center.token(),
      kind: 'host',
      name,
      addresses: ['127.0.0.1'],
      directory: join(center.folder, name),
    });
    return new TestHost(center.url, name, credentials);
  }

  get id(): string {
    return this.credentials.daemonId;
  }

  get client(): Client {
    return this.#client;
  }

  /** Connects, and waits for the welcome or the refusal. */
  async connect(
    protocol = agentProtocolVersion,
    daemonKind: 'host' | 'gateway' = 'host',
  ): Promise<void> {
    this.#link = connectAgent({
      urls: () => this.urls(),
      credentials: this.credentials,
      hello: () => ({
        ...{ kind: 'hello', protocol, daemonKind, pid: process.pid, version: 'test' },
        ...{ trunkAddress: '127.0.0.1', trunkPort: 1, logAddress: '127.0.0.1' },
        ...{ cpus: 4, memoryBytes: 2 ** 32, vms: [...this.copies.values()] },
        datastores: this.datastores,
      }),
      onMessage: (message) => this.heard.push(message),
      onRefused: (why) => {
        this.refused = why;
      },
    });
    await until(`the center's answer to ${this.name}`, () =>
      this.#link!.connected || this.refused !== undefined ? true : undefined,
    );
  }

  get isConnected(): boolean {
    return this.#link?.connected === true;
  }

  /** What the center speaks with it. */
  get protocol(): number {
    return this.#link?.protocol ?? 0;
  }

  disconnect(): void {
    this.#link?.close();
  }

  close(): void {
    this.disconnect();
    this.#client.close();
  }

  send(message: Parameters<AgentLink['send']>[0]): void {
    this.#link!.send(message);
  }

  /**
   * The next order of this kind, from now on or not yet taken. The center gives one again that has
   * not been followed for a second: behind a stall, an earlier one may come twice.
   *
   * @param isMeant which of them; the others are left
   */
  async order<K extends CenterMessage['kind']>(
    kind: K,
    isMeant: (order: Extract<CenterMessage, { kind: K }>) => boolean = () => true,
  ): Promise<Extract<CenterMessage, { kind: K }>> {
    type Order = Extract<CenterMessage, { kind: K }>;
    return until(`the order ${kind} to ${this.name}`, () => {
      const index = this.heard.findIndex(
        (message) => message.kind === kind && isMeant(message as Order),
      );
      return index < 0 ? undefined : (this.heard.splice(index, 1)[0] as Order);
    });
  }

  /** The process that this host runs of a VM, by its name at the arbiter. */
  process(vm: string): string {
    return `${this.name}-${vm}`;
  }

  report(vm: string, role: VmStatus['role'], changes: Partial<VmStatus> = {}): void {
    const status: VmStatus = {
      ...{ vm, pid: 4242, process: this.process(vm), role, count: '0', epoch: 1, generation: 0 },
      ...{ logAddress: '127.0.0.1', logPort: 99, ftState: 'needShadow', lagMs: 1.5 },
      ...{ logBytesSent: 10, fingerprintsCompared: 0, divergences: 0 },
      ...changes,
    };
    this.copies.set(vm, status);
    if (role === 'ended') this.copies.delete(vm);
    this.send({ kind: 'status', vms: [status] });
  }

  /** @param changes in the name of another host; at another center */
  async ask(
    vm: string,
    operation: Operation,
    changes: { host?: string; at?: string } = {},
  ): Promise<Reply> {
    const member = { host: changes.host ?? this.id, process: this.process(vm) };
    const client = changes.at === undefined ? this.#client : this.#clientAt(changes.at);
    try {
      const known = await this.#record(client, vm);
      const { epoch, generation } = known ?? { epoch: 1, generation: 0 };
      const claimId = `${this.process(vm)}:${this.#claims++}`;
      const body = { vm, member, epoch, generation, claimId, operation };
      return (await client.call('askArbiter', { body: body as never })) as Reply;
    } finally {
      if (client !== this.#client) client.close();
    }
  }

  /**
   * Renews the lease of a VM that is live here, as its process would: whatever becomes of the daemon.
   *
   * One that is refused is the arbiter's matter; one that fails is told by what ends it.
   *
   * @returns ends it, and resolves behind the last renewal
   */
  keepLease(vm: string, leaseMs: number): () => Promise<void> {
    const end = new AbortController();
    const kept = (async () => {
      while (!end.signal.aborted) {
        await this.ask(vm, { kind: 'renew' });
        await sleep(leaseMs / 4, undefined, { signal: end.signal }).catch(() => {});
      }
    })();
    kept.catch(() => {});
    return () => {
      end.abort();
      return kept;
    };
  }

  #clientAt(url: string): Client {
    return new Client(url, daemonTrust(this.credentials));
  }

  async #record(client: Client, vm: string): Promise<VmRecord | undefined> {
    const member = { host: this.id, process: this.process(vm) };
    const place = { vm, member, epoch: 0, generation: 0, claimId: 'read' };
    const body = { ...place, operation: { kind: 'read' as const } };
    return ((await client.call('askArbiter', { body })) as Reply).record;
  }
}
