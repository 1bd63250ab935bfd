/** For tests: a real etcd of one member on loopback, its data in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Etcd3 } from 'etcd3';

export const hasEtcd = existsSync('/usr/bin/etcd');

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class TestEtcd {
  readonly folder = mkdtempSync(join(tmpdir(), 'umbra-etcd-'));
  #process: ChildProcess | undefined;
  #ports: readonly [number, number] = [0, 0];

  static async start(): Promise<TestEtcd> {
    const etcd = new TestEtcd();
    etcd.#ports = [await freePort(), await freePort()];
    await etcd.start();
    return etcd;
  }

  get endpoint(): string {
    return `127.0.0.1:${this.#ports[0]}`;
  }

  /** Again, with the data that are there. */
  async start(): Promise<void> {
    const [client, peer] = this.#ports.map((port) => `http://127.0.0.1:${port}`);
    const args = [
      ...['--name', 'test', '--data-dir', join(this.folder, 'data'), '--logger', 'zap'],
      ...['--listen-client-urls', client!, '--advertise-client-urls', client!],
      ...['--listen-peer-urls', peer!, '--initial-advertise-peer-urls', peer!],
      ...['--initial-cluster', `test=${peer}`, '--log-level', 'error'],
    ];
    this.#process = spawn('/usr/bin/etcd', args, { stdio: ['ignore', 'ignore', 'inherit'] });
    for (const end = performance.now() + 10_000; performance.now() < end; ) {
      const answer = await fetch(`${client}/health`).catch(() => undefined);
      if (answer?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error('etcd did not start within 10 s');
  }

  /** Behind everybody's back. */
  async remove(key: string): Promise<void> {
    const client = new Etcd3({ hosts: `http://${this.endpoint}` });
    await client.delete().key(key).exec();
    client.close();
  }

  signal(signal: NodeJS.Signals): void {
    this.#process!.kill(signal);
  }

  async end(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  async close(): Promise<void> {
    await this.end();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
