/**
 * A cluster for a bench, as `umbra demo` makes it: a center, a gateway and hosts as processes of
 * their own on loopback. It ends with the bench, however that ends.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { EventView, FtStatusView } from '../../src/api/views.ts';
import { answersPing, freePort } from '../../src/cli/demo/ports.ts';
import { DemoCluster } from '../../src/cli/demo/processes.ts';
import { builtImage, imagesHome } from '../../tests/images/built-image.ts';
// For what it does about interrupts.
import '../machine/workplace.ts';

const umbra = resolve(import.meta.dirname, '../../src/cli/main.ts');

export interface StageOptions {
  readonly hosts: number;
  /** Built before anything starts. */
  readonly images: readonly string[];
  /** Options of `umbra center start`. */
  readonly center?: readonly string[];
}

export class Stage {
  readonly cluster: DemoCluster;
  /** Where daemons have their folders, by their names. */
  readonly folder: string;

  constructor(cluster: DemoCluster, folder: string) {
    this.cluster = cluster;
    this.folder = folder;
  }

  startHost = (name: string): Promise<void> => this.cluster.startDaemon('host', name, []);

  /** Creates a VM and powers it on. */
  async startVm(name: string, options: VmOptions): Promise<StagedVm> {
    const { client } = this.cluster;
    await client.call('createVm', { body: { name, ...options } });
    await client.call('startVm', { params: { vm: name }, body: {} });
    return new StagedVm(this, name);
  }

  /** The recipe `redis`, published at a port, when it answers. */
  async startRedis({
    name = 'redis',
    ...options
  }: Omit<VmOptions, 'image' | 'ports'> & { readonly name?: string } = {}): Promise<RedisVm> {
    const port = await freePort();
    const ports = [{ protocol: 'tcp', gatewayPort: port, guestPort: 6379 } as const];
    await this.startVm(name, { ...options, image: 'redis', ports });
    await this.cluster.until('Redis to answer', () => answersPing(port), bootMsMax);
    return new RedisVm(this, name, port);
  }
}

interface VmOptions {
  readonly image: string;
  readonly cpus?: number;
  readonly memoryBytes?: number;
  readonly ft?: boolean;
  readonly ports?: { protocol: 'tcp'; gatewayPort: number; guestPort: number }[];
}

export const bootMsMax = 240_000;
const protectMsMax = 120_000;
const lastWordsMs = 500;

export class StagedVm {
  readonly name: string;
  protected readonly stage: Stage;

  constructor(stage: Stage, name: string) {
    this.stage = stage;
    this.name = name;
  }

  status(): Promise<FtStatusView> {
    return this.stage.cluster.client.call('ftStatus', { params: { vm: this.name } });
  }

  /** Until protected, and both copies' processes are known. */
  async protected(): Promise<{ readonly primary: number; readonly shadow: number }> {
    let pids: { primary: number; shadow: number } | undefined;
    const isProtected = async (): Promise<boolean> => {
      const { state, primary, shadow } = await this.status();
      if (state !== 'running' || primary?.pid == null || shadow?.pid == null) return false;
      pids = { primary: primary.pid, shadow: shadow.pid };
      return true;
    };
    await this.stage.cluster.until(`${this.name} to be protected`, isProtected, protectMsMax);
    return pids!;
  }

  async protect() {
    await this.stage.cluster.client.call('turnFtOn', { params: { vm: this.name } });
    return this.protected();
  }

  async unprotect(): Promise<void> {
    const { client } = this.stage.cluster;
    const { shadow } = await client.call('turnFtOff', { params: { vm: this.name } });
    const gone = async (): Promise<boolean> => {
      const hosts = await client.call('listHosts');
      return !hosts.some(({ vmPids }) => vmPids.some((pid) => pid === shadow?.pid));
    };
    await this.stage.cluster.until(`the shadow of ${this.name} to end`, gone);
  }

  /** The live copy's process, protected or not. */
  async primaryPid(): Promise<number> {
    let pid: number | null | undefined;
    await this.stage.cluster.until(`${this.name} to be live`, async () => {
      pid = (await this.status()).primary?.pid;
      return pid != null;
    });
    return pid!;
  }

  events(after: number): Promise<EventView[]> {
    return this.stage.cluster.client.call('listEvents', { query: { vm: this.name, after } });
  }
}

export class RedisVm extends StagedVm {
  readonly port: number;

  constructor(stage: Stage, name: string, port: number) {
    super(stage, name);
    this.port = port;
  }
}

/** Sets the stage, acts, and clears it. */
export async function onStage<T>(
  { hosts, images, center }: StageOptions,
  act: (stage: Stage) => Promise<T>,
): Promise<T> {
  for (const image of images) await builtImage(image);
  const folder = mkdtempSync(join(tmpdir(), 'umbra-bench-'));
  const cluster = new DemoCluster(folder, imagesHome, umbra);
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  const kill = (): void => {
    cluster.kill();
    // VM processes see that their daemons are gone, and write their last lines.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lastWordsMs);
    remove();
  };
  process.once('exit', kill);
  try {
    await cluster.startCenter(center);
    await cluster.startDaemon('gateway', 'gateway', ['--publish-address', '127.0.0.1']);
    const stage = new Stage(cluster, folder);
    for (let host = 1; host <= hosts; host++) await stage.startHost(`host${host}`);
    return await act(stage);
  } finally {
    await cluster.stop();
    process.removeListener('exit', kill);
    remove();
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
