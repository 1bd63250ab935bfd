/**
 * The host daemon: the center's hands on one machine.
 *
 * Orders of the center become VM processes and messages to them; what the processes say goes to the
 * center. Beside that the daemon runs the host's switch with its trunks, and fetches images. It
 * decides nothing about who is live. VM processes end with it: the machine's shadow, on another
 * host, is what survives.
 */
import { accessSync, constants, existsSync, readdirSync, rmSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import {
  agentProtocolVersion,
  type CenterMessage,
  type DaemonMessage,
  type VmSpec,
} from '../api/agent.ts';
import type { HelloMessage } from '../api/agent-link.ts';
import { umbraHome } from '../api/credentials.ts';
import { apiPrefix, daemonTrust, Wire } from '../api/wire.ts';
import { UmbraError } from '../base/errors.ts';
import { type DatastorePath, Datastores } from './datastores.ts';
import { ImageStore } from './image-store.ts';
import { Member, type MemberOptions } from './member.ts';
import { packageVersion } from './package-version.ts';
import { RecordingLooks } from './recording-looks.ts';
import { HostRecordings } from './recordings.ts';
import type { Tier } from './tiers.ts';
import { TapDevice } from './uplink/tap-device.ts';
import { Uplink } from './uplink/uplink.ts';
import type { ToVm, VmLaunch } from './vm/protocol.ts';
import { VmProcesses } from './vm-processes.ts';
import type { VmRole } from './vm-slot.ts';
import { VmStates } from './vm-states.ts';

export interface HostOptions extends MemberOptions {
  /** How this host executes its VMs; nobody else needs to know. */
  readonly tier?: Tier;
  /** A bridge or TAP device of this machine that puts guests on a real LAN. */
  readonly uplink?: string | undefined;
  /** Folders on storage that other hosts reach, too, by the names that all of them use. */
  readonly datastores?: readonly DatastorePath[];
  /** Where images built on this machine are; by default UMBRA_HOME. */
  readonly home?: string;
  /** The VM process's program, for tests. */
  readonly vmProgram?: string;
  /** What executes VM processes, as Node would: emulators, profilers. By default this Node. */
  readonly node?: string | undefined;
  /** The center refuses this daemon, and no VM runs or may run: nothing is left to do. */
  readonly onRefused?: (why: UmbraError) => void;
}

const clockMs = 5_000;
const idPattern = /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/;

export class HostDaemon {
  readonly #options: HostOptions;
  readonly #member: Member;
  readonly #vms: VmProcesses;
  readonly #states: VmStates;
  readonly #recordings: HostRecordings;
  readonly #looks: RecordingLooks;
  readonly #datastores: Datastores;
  readonly #images: ImageStore;
  /** To centers, by URL. */
  readonly #wires = new Map<string, Wire>();
  #version = '';
  #clock: NodeJS.Timeout | undefined;
  #uplink: Uplink | undefined;

  private constructor(options: HostOptions, member: Member, datastores: Datastores) {
    this.#options = options;
    this.#member = member;
    this.#datastores = datastores;
    this.#images = new ImageStore(
      this.#member.dataDirectory,
      options.home ?? umbraHome(),
      (digest, file) => this.#fetch(`/images/${digest}/files/${file}`),
    );
    this.#vms = new VmProcesses({
      prepare: (spec, role) => this.#prepare(spec, role),
      tell: (message) => this.#tell(message),
      ...(options.vmProgram !== undefined && { program: options.vmProgram }),
      ...(options.node !== undefined && { node: options.node }),
    });
    this.#states = new VmStates({
      hostId: member.id,
      vmsFolder: join(member.dataDirectory, 'vms'),
      exportsFolder: join(member.dataDirectory, 'exports'),
      datastores,
      credentials: member.credentials,
      arbiterUrls: () => this.#arbiterUrls(),
      leaderUrl: () => member.leaderUrl,
      isBusy: (vm) => this.#vms.isOccupied(vm),
      tell: (message) => this.#tell(message),
    });
    this.#recordings = new HostRecordings({
      vmsFolder: join(member.dataDirectory, 'vms'),
      credentials: member.credentials,
      leaderUrl: () => member.leaderUrl,
      isUnderWay: (vm, id) => this.#vms.isRecording(vm, id),
      isUnderstood: () => member.connected && member.protocol >= 4,
      tell: (message) => this.#tell(message),
    });
    this.#looks = new RecordingLooks({
      vmsFolder: join(member.dataDirectory, 'vms'),
      isUnderWay: (vm, id) => this.#vms.isRecording(vm, id),
      tell: (message) => this.#tell(message),
    });
  }

  static async start(options: HostOptions): Promise<HostDaemon> {
    const { node, uplink } = options;
    // First, so that a machine without the device or the rights costs no join token.
    if (node !== undefined) checkExecutable(node);
    const datastores = await Datastores.open(options.datastores ?? []);
    const device = uplink === undefined ? undefined : TapDevice.open(uplink);
    const member = await Member.join('host', options).catch((error: unknown) => {
      device?.close();
      throw error;
    });
    const daemon = new HostDaemon(options, member, datastores);
    if (device !== undefined) {
      const reopen = (): TapDevice => TapDevice.open(uplink!);
      daemon.#uplink = new Uplink(device, reopen, member.ethernet, member.log);
    }
    try {
      await daemon.#start();
    } catch (error) {
      await daemon.close();
      throw error;
    }
    return daemon;
  }

  get id(): string {
    return this.#member.id;
  }

  get name(): string {
    return this.#member.name;
  }

  get trunkEndpoint(): string {
    return `${this.#member.trunkAddress}:${this.#member.trunkPort}`;
  }

  async close(): Promise<void> {
    clearInterval(this.#clock);
    this.#abandonUploads();
    this.#looks.close();
    await this.#vms.close();
    this.#uplink?.close();
    await this.#member.close();
    for (const wire of this.#wires.values()) wire.close();
  }

  async #start(): Promise<void> {
    await this.#member.claim();
    this.#version = await packageVersion();
    await this.#images.open();
    await this.#states.tidy();
    await this.#recordings.tidy();
    await this.#member.start({
      hello: () => this.#hello(),
      onMessage: (message) => this.#receive(message),
      onConnected: () => this.#sayClock(),
      onDisconnected: () => this.#abandonUploads(),
      onTrunk: (peer, up) => {
        if (peer.kind === 'host') this.#vms.trunk(peer.id, up);
      },
      onRenewed: () => this.#renewed(),
      onStanding: (standing) => this.#vms.standing(standing),
      onRefused: (why) => this.#refused(why),
    });
    this.#clock = setInterval(() => this.#sayClock(), clockMs);
  }

  #abandonUploads(): void {
    this.#states.abandonUploads();
    this.#recordings.abandonUploads();
  }

  /** An image that is being fetched still comes over the connection that it has. */
  #renewed(): void {
    for (const wire of this.#wires.values()) wire.closeIdle();
    this.#wires.clear();
    this.#vms.renewed();
  }

  #tell(message: DaemonMessage): void {
    const { log } = this.#member;
    if (message.kind === 'failed')
      log.warn({ vm: message.vm, code: message.code }, message.message);
    if (message.kind === 'status') {
      for (const { vm, ended } of message.vms) if (ended) log.info({ vm }, `ended: ${ended.text}`);
    }
    if (message.kind === 'report' && message.report['kind'] === 'snapshot-taken') {
      // Whoever waits for it finds it in the list.
      void this.#states.tellSnapshots(message.vm).finally(() => this.#member.send(message));
      return;
    }
    const isOfRecording = message.kind === 'report' && message.report['recording'] !== undefined;
    if (isOfRecording && message.report['kind'] === 'work-done') {
      void this.#recordings.tellOf(message.vm).finally(() => this.#member.send(message));
      return;
    }
    // Before the status in which the recording is missing.
    this.#member.send(message);
    if (isOfRecording) void this.#recordings.tellOf(message.vm);
  }

  /** So that the center can tell whose clock is off; guests follow the clock of their host. */
  #sayClock(): void {
    const { connected, protocol } = this.#member;
    if (connected && protocol >= 2) this.#tell({ kind: 'clock', unixMs: Date.now() });
  }

  #hello(): HelloMessage {
    return {
      kind: 'hello',
      protocol: agentProtocolVersion,
      daemonKind: 'host',
      pid: process.pid,
      version: this.#version,
      trunkAddress: this.#member.trunkAddress,
      trunkPort: this.#member.trunkPort,
      logAddress: this.#member.logAddress,
      cpus: availableParallelism(),
      memoryBytes: totalmem(),
      vms: this.#vms.statuses(),
      datastores: this.#datastores.list,
    };
  }

  #receive(message: CenterMessage): void {
    this.#note(message);
    switch (message.kind) {
      case 'start':
        this.#vms.start(message.vm, {
          kind: 'live',
          fenced: message.fenced,
          acceptStale: message.acceptStale,
          ...(message.discardState && { discardState: true }),
          ...(message.leaseMs !== undefined && { leaseMs: message.leaseMs }),
          ...(message.lapsed !== undefined && { lapsed: message.lapsed }),
        });
        break;
      case 'startShadow': {
        const { host: primaryHost, address, port } = message.primary;
        this.#vms.start(message.vm, { kind: 'shadow', primaryHost, address, port });
        break;
      }
      case 'protect':
        this.#order(message.vm, { kind: 'protect', shadowHost: message.shadowHost });
        break;
      case 'handOver':
      case 'reset':
      case 'dismiss':
        this.#order(message.vm, { kind: message.kind });
        break;
      case 'watchdog': {
        const { vm, seconds } = message;
        this.#order(vm, { kind: 'watchdog', ...(seconds !== undefined && { seconds }) });
        break;
      }
      case 'forget':
        void this.#forget(message.vm);
        break;
      case 'removeReplica':
        this.#removeReplica(message.vm);
        break;
      case 'stop':
        this.#order(message.vm, { kind: 'stop', how: message.how });
        break;
      case 'consoleInput': {
        const { vm, bytes, at } = message;
        this.#order(vm, { kind: 'consoleInput', bytes, ...(at !== undefined && { at }) });
        break;
      }
      case 'centers':
        this.#vms.arbiters(this.#arbiterUrls());
        break;
      case 'place':
        this.#member.place(message);
        break;
      case 'snapshot':
        this.#order(message.vm, { kind: 'snapshot', id: message.id, name: message.name });
        break;
      case 'record': {
        const { id, name, bytesMax } = message;
        const limit = bytesMax !== undefined && { bytesMax };
        this.#order(message.vm, { kind: 'record', id, name, ...limit });
        break;
      }
      case 'stopRecording':
        this.#order(message.vm, { kind: 'stopRecording', id: message.id, work: message.work });
        break;
      case 'flight': {
        const { vm, seconds, bytesMax } = message;
        const isOff = seconds === undefined || bytesMax === undefined;
        this.#order(vm, { kind: 'flight', ...(!isOff && { seconds, bytesMax }) });
        break;
      }
      case 'keepFlight': {
        const { vm, name, work } = message;
        this.#order(vm, { kind: 'keepFlight', name, work });
        break;
      }
      case 'deleteRecording':
        void this.#deleteRecording(message);
        break;
      case 'lookAtRecording':
        void this.#looks.timeline(message);
        break;
      case 'replayRecording':
        void this.#looks.replay(message);
        break;
      case 'goLive':
        void this.#looks.goLive(message);
        break;
      case 'endReplay':
        this.#looks.endReplay(message);
        break;
      case 'readRecordingConsole':
        void this.#looks.console(message);
        break;
      case 'sendRecording':
        void this.#recordings.send(message);
        break;
      case 'snapshotDisks':
        this.#states.snapshotDisks(message);
        break;
      case 'deleteSnapshot':
        void this.#states.deleteSnapshot(message);
        break;
      case 'register':
        if (idPattern.test(message.vm)) this.#states.register(message);
        break;
      case 'revert':
        this.#states.revert(message);
        break;
      case 'prepareRewind':
        if (idPattern.test(message.vm.id)) this.#states.prepareRewind(message);
        break;
      case 'rewind':
        if (idPattern.test(message.vm)) this.#states.rewind(message);
        break;
      case 'clone':
        this.#states.clone(message);
        break;
      case 'export':
        this.#states.export(message);
        break;
      case 'sendArchive':
        this.#states.sendArchive(message);
        break;
      case 'welcome':
        this.#vms.sayConsoles();
        void this.#states.tellAll();
        void this.#recordings.tellAll();
        break;
      case 'peers':
      case 'publish':
        break;
    }
  }

  #arbiterUrls(): string[] {
    return this.#member.urls.map((url) => `${url}${apiPrefix}/arbiter`);
  }

  /** From the first center that has it. */
  async #fetch(path: string): Promise<AsyncIterable<Uint8Array>> {
    let failure: unknown;
    for (const url of this.#member.urls) {
      let wire = this.#wires.get(url);
      if (wire === undefined) {
        wire = new Wire(url, daemonTrust(this.#member.credentials));
        this.#wires.set(url, wire);
      }
      try {
        return await wire.open('GET', path);
      } catch (error) {
        failure ??= error;
      }
    }
    throw failure;
  }

  /** Orders about VMs, for whoever reads the log. */
  #note(message: CenterMessage): void {
    if (!('vm' in message) || message.kind === 'consoleInput') return;
    const vm = typeof message.vm === 'string' ? message.vm : message.vm.id;
    this.#member.log.info({ vm }, `order: ${message.kind}`);
  }

  /** And what was found out about it. */
  async #deleteRecording(message: Extract<CenterMessage, { kind: 'deleteRecording' }>) {
    const { vm, id } = message;
    if (idPattern.test(vm) && idPattern.test(id)) await this.#looks.forget(vm, id).catch(() => {});
    await this.#recordings.delete(message);
  }

  /** Disks included: the center has asked whoever deleted the VM. */
  async #forget(vm: string): Promise<void> {
    if (!idPattern.test(vm)) return;
    await this.#vms.forget(vm);
    await this.#states.idle(vm);
    try {
      await this.#looks.forget(vm);
      await rm(this.#folderOf(vm), { recursive: true, force: true });
      await this.#datastores.remove(vm);
    } catch (error) {
      this.#member.log.error({ vm }, `its folder stays: ${(error as Error).message}`);
    }
  }

  /** The disks alone: what this host knows at the arbiter stays. At once: a shadow may be next. */
  #removeReplica(vm: string): void {
    if (!idPattern.test(vm) || this.#vms.isOccupied(vm)) return;
    const folder = this.#folderOf(vm);
    try {
      for (const name of existsSync(folder) ? readdirSync(folder) : []) {
        if (/^disk-\d+\.raw$/.test(name)) rmSync(join(folder, name), { force: true });
      }
    } catch (error) {
      this.#member.log.error({ vm }, `its replica stays: ${(error as Error).message}`);
    }
  }

  #folderOf(vm: string): string {
    return join(this.#member.dataDirectory, 'vms', vm);
  }

  #order(vm: string, message: ToVm): void {
    this.#vms.order(vm, message);
  }

  /** All that a VM process is told at its start; its image is there then. */
  async #prepare(vm: VmSpec, role: VmRole): Promise<VmLaunch> {
    if (!idPattern.test(vm.id)) {
      throw new UmbraError(
        'vm-id-malformed',
        `"${vm.id}" is no id of a VM`,
        'This is a bug of the center; please report it.',
      );
    }
    const { credentials, logAddress, switchSocketPath } = this.#member;
    const { caFile, certificateFile, keyFile, daemonId } = credentials;
    const imageDirectory = await this.#images.find(vm.image, vm.imageDigest);
    const directory = this.#folderOf(vm.id);
    await this.#states.idle(vm.id);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const sharedDirectory = vm.datastore && (await this.#datastores.folderOf(vm.datastore, vm.id));
    return {
      kind: 'launch',
      vm,
      ...(sharedDirectory !== undefined && { sharedDirectory }),
      tier: this.#options.tier ?? 'auto',
      hostId: daemonId,
      imageDirectory,
      directory,
      switchSocket: switchSocketPath,
      logAddress,
      credentials: { caFile, certificateFile, keyFile },
      arbiterUrls: this.#arbiterUrls(),
      role,
    };
  }

  #refused(why: UmbraError): void {
    this.#member.log.error({ code: why.code }, `${why.message} ${why.remedy}`);
    // Running VMs are worth more than order: the operator stops this daemon when it suits. Unless
    // its VMs are being started elsewhere, because it is not believed any more.
    if (this.#vms.running === 0 || why.code === 'host-revoked') this.#options.onRefused?.(why);
  }
}

/** @throws UmbraError before a VM would find out */
function checkExecutable(node: string): void {
  try {
    accessSync(node, constants.X_OK);
  } catch (cause) {
    throw new UmbraError(
      'node-not-executable',
      `VM processes cannot be executed by ${node}: ${(cause as Error).message}`,
      'Name a program that is there and may be executed with UMBRA_NODE, or unset it.',
      { cause },
    );
  }
}
