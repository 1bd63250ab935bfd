/**
 * A cluster of any size at a real center, for what only many hosts and VMs show: the center is real
 * and in this process, and so is everything behind its door; the hosts are not. They connect to
 * the center's agents as daemons do, and say every second what hosts of such a cluster would say.
 */
import { EventEmitter } from 'node:events';
import type { WebSocket } from 'ws';
import {
  agentProtocolVersion,
  type DaemonMessage,
  type RecordingInfo,
  type VmStatus,
} from '../../src/api/agent.ts';
import type { Cluster } from '../../src/center/cluster.ts';
import { InProcessCenter } from '../../src/center/in-process.fixture.ts';
import type { VmRecord } from '../../src/lockstep/arbiter.ts';

export interface SyntheticOptions {
  readonly hosts: number;
  readonly vms: number;
  /** Of so many VMs one is not protected; others may be off, or have lost their shadow. */
  readonly everyUnprotected?: number;
  readonly everyOff?: number;
  readonly everyDegraded?: number;
}

const gibibyte = 2 ** 30;
const names = ['web', 'cache', 'orders', 'billing', 'search', 'mail', 'build', 'metrics'];

/** What the center sees of a host's connection; what it says to the host goes nowhere. */
class HostSocket extends EventEmitter {
  readyState = 1;
  readonly OPEN = 1;
  bufferedAmount = 0;
  send(): void {}
  ping(): void {
    this.emit('pong');
  }
  close(): void {
    this.terminate();
  }
  terminate(): void {
    if (this.readyState !== 1) return;
    this.readyState = 3;
    this.emit('close', 1000);
  }
  say(message: DaemonMessage): void {
    this.emit('message', JSON.stringify(message));
  }
}

interface Host {
  readonly id: string;
  readonly name: string;
  readonly copies: Map<string, VmStatus>;
  socket: HostSocket;
}

interface SyntheticVm {
  readonly name: string;
  readonly isOff: boolean;
  readonly hasDisks: boolean;
}

export class SyntheticCluster {
  readonly center: InProcessCenter;
  readonly hosts: Host[] = [];
  readonly vms: SyntheticVm[] = [];
  readonly #timer: NodeJS.Timeout;
  #seconds = 0;

  private constructor(center: InProcessCenter) {
    this.center = center;
    this.#timer = setInterval(() => this.#tick(), 1_000);
  }

  static async start(options: SyntheticOptions): Promise<SyntheticCluster> {
    const center = await InProcessCenter.start({ limits: { ftVmsMax: 0, ftCpusMax: 0 } });
    const own = new SyntheticCluster(center);
    own.#populate(options);
    await Promise.all(own.#records);
    own.connect(own.hosts);
    return own;
  }

  get #cluster(): Cluster {
    return this.center.center.cluster;
  }

  readonly #records: Promise<unknown>[] = [];

  #populate({ hosts, vms, ...every }: SyntheticOptions): void {
    const { inventory, store } = this.#cluster;
    store.transaction(() => {
      for (let at = 1; at <= hosts; at++) {
        const [id, name] = [`host-${String(at).padStart(4, '0')}`, `host${at}`];
        const socket = new HostSocket();
        this.hosts.push({ id, name, copies: new Map(), socket });
        inventory.putDaemon({
          ...{ id, name, kind: 'host', addresses: [`10.0.${at >> 8}.${at & 255}`] },
          ...{ maintenance: false, trunkAddress: '10.0.0.1', trunkPort: 1, cpus: 32 },
          ...{ memoryBytes: 128 * gibibyte, version: '0.1.0' },
        });
      }
      for (let at = 0; at < vms; at++) this.#addVm(at, every);
    });
  }

  #addVm(at: number, every: Omit<SyntheticOptions, 'hosts' | 'vms'>): void {
    const is = (each: number | undefined) => each !== undefined && at % each === each - 1;
    const [isOff, isBare, isDegraded] = [
      is(every.everyOff),
      is(every.everyUnprotected),
      is(every.everyDegraded),
    ];
    const id = `vm-${String(at).padStart(5, '0')}`;
    const name = `${names[at % names.length]}-${Math.floor(at / names.length) + 1}`;
    const primary = this.hosts[at % this.hosts.length]!;
    const shadow = this.hosts[(at * 7 + 1 + (at % 3)) % this.hosts.length]!;
    const hasShadow = !isOff && !isBare && !isDegraded && shadow !== primary;
    this.vms.push({ name, isOff, hasDisks: at % 2 === 0 });
    const member = (host: Host) => ({ host: host.id, process: `${host.id}-${id}` });
    this.#cluster.inventory.putVm({
      spec: {
        ...{
          id,
          name,
          number: at + 1,
          image: at % 2 ? 'redis' : 'debian',
          imageDigest: 'f'.repeat(64),
        },
        ...{ cpus: 1 + (at % 4), memoryBytes: (1 + (at % 3)) * 2 ** 28, mac: macOf(at) },
        disks: at % 2 ? [] : [{ bytes: 2 * gibibyte }, { bytes: 8 * gibibyte }],
        ...{ epochOffset: '0', randomSeed: '' },
      },
      ports: [{ protocol: 'tcp', gatewayPort: 20_000 + at, guestPort: 6379 }],
      ...{ wanted: isOff ? 'off' : 'on', ftWanted: !isBare, preferredHost: undefined },
      ...{ host: isOff ? undefined : primary.id, shadowHost: hasShadow ? shadow.id : undefined },
      ...{ acceptStale: false, seedGeneration: 1 },
      ...(at === 0 && { recordings: [{ ...recorded(name), host: primary.id }] }),
    });
    const record: VmRecord = {
      ...{ epoch: this.#cluster.arbiter.epoch, generation: isOff ? 1 : 2, claimId: id },
      state: isOff ? 'stopped' : 'live',
      live: isOff ? undefined : member(primary),
      eligibleShadow: hasShadow ? member(shadow) : undefined,
      currentReplicas: [primary.id],
    };
    const entry = { record, recovery: undefined };
    this.#records.push(this.#cluster.store.arbiter.change(id, undefined, entry));
    if (isOff) return;
    primary.copies.set(id, status(id, primary.id, 'live', hasShadow));
    if (hasShadow) shadow.copies.set(id, status(id, shadow.id, 'shadow', true));
  }

  /** These hosts are there. */
  connect(hosts: readonly Host[]): void {
    for (const host of hosts) {
      host.socket = new HostSocket();
      this.#cluster.agents.accept(host.socket as unknown as WebSocket, host.id);
      host.socket.say({
        ...{ kind: 'hello', protocol: agentProtocolVersion, daemonKind: 'host', pid: 1000 },
        ...{ version: '0.1.0', trunkAddress: '10.0.0.1', trunkPort: 1, logAddress: '10.1.0.1' },
        ...{ cpus: 32, memoryBytes: 128 * gibibyte, vms: [...host.copies.values()] },
      });
      const others = this.hosts.filter((other) => other !== host);
      host.socket.say({
        ...{ kind: 'status', vms: [] },
        trunks: others.map(({ id: peer }) => ({ peer, roundTripMs: tripOf(host.id, peer) })),
      });
    }
  }

  /** Those that were taken for lost, because a busy machine let the center wait, are there again. */
  reconnect(): void {
    this.connect(this.hosts.filter(({ socket }) => socket.readyState !== 1));
  }

  /** One host is lost, as far as the center sees. */
  lose(host: Host): void {
    host.socket.terminate();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    for (const { socket } of this.hosts) socket.terminate();
    await this.center.close();
  }

  #tick(): void {
    this.#seconds += 1;
    for (const { copies, socket } of this.hosts) {
      if (socket.readyState !== 1) continue;
      for (const [id, before] of copies) {
        copies.set(id, later(before, this.#seconds + Number(id.slice(3))));
      }
      socket.say({ kind: 'status', vms: [...copies.values()] });
    }
  }
}

/** One that has ended; its host, which hears nothing, never tells what is in it. */
const recorded = (vm: string): RecordingInfo => ({
  ...{ id: '0123456789abcdef', name: 'night', vm, startedAtMs: Date.now() - 7_200_000 },
  ...{ endedAtMs: Date.now() - 3_600_000, seconds: 3_600, count: '5', bytes: 2 ** 28 },
  ended: { kind: 'stopped' },
});

/** The same from both ends; such as 0.17. */
const tripOf = (one: string, other: string): number =>
  0.12 + ((Number(one.slice(5)) + Number(other.slice(5))) % 7) / 50;

const macOf = (at: number): string =>
  `52:54:00:00:${[at >> 8, at & 255].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`;

function status(vm: string, host: string, role: 'live' | 'shadow', isPair: boolean): VmStatus {
  return {
    ...{ vm, pid: 1000, process: `${host}-${vm}`, role, count: '1430000000', epoch: 1 },
    ...{ generation: 2, logAddress: '10.1.0.1', logPort: 1, lagMs: 4, logBytesSent: 1_000_000 },
    ...(role === 'live' && isPair && { logRoundTripMs: 0.24 }),
    ...{ ftState: isPair ? 'running' : 'needShadow', fingerprintsCompared: 40, divergences: 0 },
    ...(role === 'live' && isPair && { gate: { medianMs: 0.31, p99Ms: 1.2, held: 0 } }),
    ...(role === 'shadow' && { lastFingerprint: { position: 5100, count: '1420000000' } }),
    ...{ cpuMicros: 1_000_000, residentBytes: 2 ** 27 },
    ...(role === 'shadow' && {
      replica: { bytesTotal: 10 * gibibyte, bytesCompared: 10 * gibibyte, bytesSent: 2 ** 20 },
    }),
    network: { bytesReceived: 0, bytesSent: 0, framesReceived: 0, framesSent: 0 },
    disk: { bytesRead: 0, bytesWritten: 0, reads: 0, writes: 0 },
  };
}

/** A second later, each a little otherwise. */
function later(before: VmStatus, phase: number): VmStatus {
  const wave = 1 + Math.sin(phase / 3) / 2;
  const cpuMicros = (before.cpuMicros ?? 0) + Math.round(180_000 * wave);
  return {
    ...before,
    count: String(BigInt(before.count) + BigInt(Math.round(210_000_000 * wave))),
    lagMs: before.role === 'live' ? Math.round(40 * wave) / 10 : 0,
    logBytesSent: before.logBytesSent + Math.round(24_000 * wave),
    fingerprintsCompared: before.fingerprintsCompared + (before.role === 'shadow' ? 1 : 0),
    cpuMicros,
    network: {
      bytesReceived: Math.round((before.network?.bytesReceived ?? 0) + 60_000 * wave),
      bytesSent: Math.round((before.network?.bytesSent ?? 0) + 240_000 / wave),
      ...{ framesReceived: 0, framesSent: 0 },
    },
    disk: {
      bytesRead: (before.disk?.bytesRead ?? 0) + 4_096 * (phase % 5),
      bytesWritten: Math.round((before.disk?.bytesWritten ?? 0) + 90_000 * wave),
      ...{ reads: 0, writes: 0 },
    },
  };
}
