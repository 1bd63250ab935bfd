/**
 * A cluster of processes whose VM boots the small guest of vm-guest.fixture.ts: every byte of its
 * console is known beforehand.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from '../../src/api/client.ts';
import { type Console, openConsole } from '../../src/api/console.ts';
import type { FtStatusView } from '../../src/api/views.ts';
import { type Look, eventually as waitFor } from '../wait.fixture.ts';
import { ProcessCluster } from './cluster.fixture.ts';
import { temporaryFolder } from './umbra.fixture.ts';
import {
  consoleByteAt,
  defaultGuest,
  diskBytes,
  type VmGuest,
  vmGuestKernel,
} from './vm-guest.fixture.ts';

const waitMsMax = 40_000;
const vm = 'web';

export const eventually = <T>(what: string, look: Look<T>): Promise<T> =>
  waitFor(what, waitMsMax, look);

/** With its image `test`. @param center options of `umbra center start` */
export function guestCluster(...center: string[]): Promise<GuestCluster> {
  return clusterOf({}, ...center);
}

/** Its image has a disk, if the guest writes. */
export async function clusterOf(
  guest: Partial<VmGuest>,
  ...center: string[]
): Promise<GuestCluster> {
  const home = temporaryFolder();
  addImage(join(home.path, 'images', 'test'), { ...defaultGuest, ...guest });
  const cluster = await ProcessCluster.start({ gateway: false, center, home: home.path });
  return new GuestCluster(cluster, home.remove);
}

function addImage(folder: string, guest: VmGuest): void {
  mkdirSync(folder, { recursive: true });
  const file = (path: string, bytes: Uint8Array) => {
    writeFileSync(join(folder, path), bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return { path, bytes: bytes.length, sha256 };
  };
  const kernel = file('Image', vmGuestKernel(guest));
  const initrd = file('initrd', new Uint8Array(16));
  const disks = guest.writes > 0 ? [file('disk', new Uint8Array(diskBytes))] : [];
  const about = { format: 1, name: 'test', summary: 'test', memory: 1 << 24, append: '' };
  const text = JSON.stringify({ ...about, kernel, initrd, disks, ports: [] });
  writeFileSync(join(folder, 'image.json'), text);
}

export class GuestCluster {
  readonly cluster: ProcessCluster;
  readonly #remove: () => void;

  constructor(cluster: ProcessCluster, remove: () => void) {
    this.cluster = cluster;
    this.#remove = remove;
  }

  ft(): Promise<FtStatusView> {
    return this.cluster.ft(vm);
  }

  /** The VM on this host, protected. */
  async protectedVm(host: string): Promise<void> {
    const { client } = this.cluster;
    await client.call('createVm', { body: { name: vm, image: 'test', host } });
    await client.call('startVm', { params: { vm }, body: {} });
    await client.call('turnFtOn', { params: { vm } });
    await this.cluster.state(vm, 'running');
  }

  /** Every byte that it shows is the guest's next one. */
  watch(client: Client = this.cluster.client): {
    readonly console: Console;
    readonly seen: () => number;
  } {
    let at: number | undefined;
    let seen = 0;
    const console = openConsole(client, vm, {
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
    await this.cluster.close();
    this.#remove();
  }
}
